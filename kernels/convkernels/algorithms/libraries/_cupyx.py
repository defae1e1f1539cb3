"""What CuPy's copies of SciPy's convolutions have in common: arrays on a GPU, and a first call.

CuPy compiles its kernels, for each kernel size, and makes cuFFT's plans when a call first needs
them. ``plan`` makes that call, on zeros, so that no run pays for it.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from convkernels.problem import ITEMSIZE, Problem, Size
from convkernels.registry import Cost

LAUNCHED = 1e8  # FLOP in the time that a call takes to be launched, some 10 µs
COMPILED = 1e10  # FLOP in the time of compiling a kernel, at least
ARITHMETIC = "ieee, subnormals as zero"  # CuPy compiles with -ftz=true


def first_call(plane: Any, problem: Problem, xp: Any) -> None:
    """``plane(image, kernel)`` of zeros of the problem's sizes."""
    dtype = getattr(xp, problem.dtype)
    plane(xp.zeros(problem.image, dtype=dtype), xp.zeros(problem.kernel, dtype=dtype))


def pairs(problem: Problem) -> int:
    """Of an image's plane and a kernel's, each of them a call."""
    return problem.batch * problem.out_channels * problem.in_channels // problem.groups


def direct(problem: Problem, size: Size) -> Cost:
    """A thread for each pixel of this size, which reads pixel and weight for each product."""
    taps = float(pairs(problem) * math.prod(size) * math.prod(problem.kernel))
    cost = called(Cost(2 * taps, 2 * taps * ITEMSIZE[problem.dtype]), problem)
    return dataclasses.replace(cost, once_flops=cost.once_flops + COMPILED)


def called(cost: Cost, problem: Problem) -> Cost:
    """The cost with that of ``first_call`` and, but for one, of launching the calls."""
    calls = pairs(problem)
    return dataclasses.replace(
        cost,
        flops=cost.flops + (calls - 1) * LAUNCHED,
        once_flops=cost.flops / calls,
        once_bytes=cost.bytes / calls,
    )
