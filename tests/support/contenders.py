"""Algorithm × namespace × device: every registered one, found by walking the registry.

What is written on the array API, for all namespaces, also runs under array-api-strict, which has
nothing that the standard lacks.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from convkernels import Problem, UnsupportedProblem, exchanged, namespaces
from convkernels.discovery import algorithms
from convkernels.registry import Algorithm, Implementation

TEXTBOOK = ("direct", "fft", "im2col-gemm")
STRICT = "array-api-strict"
RANKS = {"integral": 0, "low-rank-2": 2, "low-rank-4": 4, "low-rank-8": 8}
DEVICES = {"numpy": ["cpu"], "torch": ["cpu", "cuda:0"], "cupy": ["cuda:0"]}


@dataclasses.dataclass(frozen=True)
class Contender:
    algorithm: Algorithm
    namespace: str
    device: str

    def __str__(self) -> str:
        at = "" if self.device == "cpu" else f"@{self.device}"
        return f"{self.algorithm.name}/{self.namespace}{at}"

    @property
    def rank(self) -> int | None:
        """The highest rank of kernels that it takes: 0 for constant ones, None for any."""
        if self.algorithm.family != "separable":
            return None
        return RANKS.get(self.algorithm.name, 1)

    def skip_unless_here(self) -> None:
        if self.namespace == STRICT:
            pytest.importorskip("array_api_strict")
        elif reason := self.algorithm.missing(self.namespace):
            pytest.skip(reason)
        elif self.device not in namespaces.devices(self.namespace):
            pytest.skip(f"{self.namespace} has no {self.device} here")
        elif reason := self._refusal_of_the_device():
            pytest.skip(reason)

    def _refusal_of_the_device(self) -> str | None:
        """Why it runs on other devices of its namespace alone, or None."""
        plain = Problem((8, 8), (3, 3))
        reasons = {
            device: self.algorithm.refuses(plain, self.namespace, device)
            for device in DEVICES[self.namespace]
        }
        return None if all(reasons.values()) else reasons[self.device]

    def has_dtype(self, dtype: str) -> bool:
        if self.namespace == STRICT:
            return dtype in ("float64", "float32")
        return namespaces.refuses_dtype(self.namespace, dtype) is None

    def prepare(self, problem: Problem) -> Implementation:
        """A planned instance. Raises UnsupportedProblem."""
        if self.namespace != STRICT:
            return self.algorithm.prepare(problem, self.namespace, self.device)
        import array_api_strict

        reason = self.algorithm.refuses(problem, "numpy", "cpu")
        if not self.has_dtype(problem.dtype):
            reason = f"array-api-strict has no {problem.dtype}"
        if reason is not None:
            raise UnsupportedProblem(reason)
        instance = exchanged.instance(self.algorithm.implementation, problem)
        instance.plan(problem, array_api_strict, "cpu")
        return instance

    def array(self, values: np.ndarray, dtype: str) -> Any:
        """Values as this namespace's array on this device; NumPy's own array where it is one."""
        if self.namespace == "numpy":
            return values
        if self.namespace == STRICT:
            import array_api_strict

            return array_api_strict.asarray(values.copy())
        return namespaces.from_numpy(values, self.namespace, self.device, dtype)

    def values(self, array: Any) -> np.ndarray:
        """Back in NumPy, in memory of its own."""
        if self.namespace == STRICT:
            return np.array(array)
        return np.array(namespaces.to_numpy(array))

    def solve(self, instance: Implementation, x: np.ndarray, w: np.ndarray) -> Any:
        dtype = instance.problem.dtype
        with namespaces.on(self.namespace, self.device):
            instance.load(self.array(w, dtype))
            return instance.run(self.array(x, dtype))


def contenders() -> list[Any]:
    """One pytest parameter each, named as the harness names it; ``gpu`` marks what needs one."""
    found = []
    for algorithm in algorithms().values():
        for name in algorithm.namespaces:
            places = filter(algorithm.runs_on, DEVICES[name])
            found += [Contender(algorithm, name, device) for device in places]
        if set(algorithm.namespaces) == set(namespaces.NAMES):  # written on the array API
            found.append(Contender(algorithm, STRICT, "cpu"))
    return [
        pytest.param(c, id=str(c), marks=[pytest.mark.gpu] if c.device != "cpu" else [])
        for c in found
    ]
