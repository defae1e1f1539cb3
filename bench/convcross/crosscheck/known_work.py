"""Contenders of known work or known length, which a stopwatch is held against.

``cross_check`` loads this file by its path: no sweep and no list has them. Both compute a
convolution with a 1×1 kernel, so that they are verified as every contender is.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from convcross.measure.timing import cuda as cuda_clock
from convkernels import Problem, algorithm
from convkernels.cuda import kernel as cuda
from convkernels.registry import Implementation, forward_only

# Hashed in some 0.3 ms. A loop of Python would not do: how fast one is differs from process to
# process by more than timers may (384 and 417 µs were seen).
BYTES = bytes(512 << 10)
SPINS = {"spin-1ms": 1e-3, "spin-4ms": 4e-3}  # seconds
KERNEL = cuda_clock.source("spin")


@algorithm(
    name="fixed-work",
    family="direct",
    namespaces=["numpy"],
    arithmetic="ieee",
    source="the cross-check: SHA-256 of half a mebibyte",
)
def fixed_work(x: Any, w: Any, problem: Problem) -> Any:
    hashlib.sha256(BYTES)
    return x * w[0, 0]


class Spin(Implementation):
    """``cuda/spin.cu``: one block that waits on the device's own clock."""

    seconds: float

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        if problem.kernel != (1, 1) or problem.dtype != "float32" or not problem.is_image:
            return "1×1 kernels on float32 images only"
        return forward_only(problem)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        super().plan(problem, xp, device)
        self.xp, self.launcher = xp, cuda.on_gpu(KERNEL, device)

    def run(self, a: Any) -> Any:
        y = self.xp.empty(self.problem.y_shape, dtype=self.xp.float32)
        length = np.uint64(round(1e9 * self.seconds))
        self.launcher((1,), (32,), (a, self.b, y, np.int32(y.size), length))
        return y


for _name, _seconds in SPINS.items():
    algorithm(
        name=_name,
        family="direct",
        namespaces=["cupy"],
        arithmetic="ieee",
        source="the cross-check: a wait of known length on %globaltimer",
    )(type(_name, (Spin,), {"seconds": _seconds}))
