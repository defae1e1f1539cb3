"""CUDA's libraries loaded before a contender is watched.

The first product, transform and convolution of a process load cuBLAS, cuFFT and cuDNN, of up to a
gigabyte: seconds, from a cold disk many, which would be the first contender's plan and might
pass for a hang.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable

from convkernels import namespaces

SIDE = 32  # of the operands


@functools.cache
def load(namespace: str, device: str) -> None:
    """Have the array library call each of them once on this card, once a process."""
    with contextlib.suppress(Exception), namespaces.on(namespace, device):
        for call in _torch(device) if namespace == "torch" else _cupy():
            with contextlib.suppress(Exception):  # what is broken fails again, in a contender
                call()
        namespaces.synchronize(namespace, device)


def _torch(device: str) -> list[Callable[[], object]]:
    import torch

    x = torch.ones(1, 1, SIDE, SIDE, device=device)
    plane, row = x[0, 0], x[0, 0, 0]
    return [
        lambda: plane @ plane,
        lambda: torch.addmm(row, plane, plane),  # cuBLASLt
        lambda: torch.fft.irfft2(torch.fft.rfft2(x)),
        lambda: torch.nn.functional.conv2d(x, x[..., :3, :3]),
    ]


def _cupy() -> list[Callable[[], object]]:
    import cupy

    x = cupy.ones((SIDE, SIDE), dtype=cupy.float32)
    return [lambda: x @ x, lambda: cupy.fft.irfft2(cupy.fft.rfft2(x)), lambda: x * x + x]
