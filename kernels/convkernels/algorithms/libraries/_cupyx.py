"""What CuPy's copies of SciPy's convolutions have in common: arrays on a GPU, and a first call.

CuPy compiles its kernels, for each kernel size, and makes cuFFT's plans when a call first needs
them. ``plan`` makes that call, on zeros, so that no run pays for it.
"""

from __future__ import annotations

import math
from typing import Any

from convkernels.problem import ITEMSIZE, Problem, Size
from convkernels.registry import Cost

COMPILED = 1e10  # FLOP in the time of compiling a kernel, at least
ARITHMETIC = "ieee, subnormals as zero"  # CuPy compiles with -ftz=true


def first_call(plane: Any, problem: Problem, xp: Any) -> None:
    """``plane(image, kernel)`` of zeros of the problem's sizes."""
    dtype = getattr(xp, problem.dtype)
    plane(xp.zeros(problem.image, dtype=dtype), xp.zeros(problem.kernel, dtype=dtype))


def direct(problem: Problem, size: Size) -> Cost:
    """A thread for each pixel of this size, which reads pixel and weight for each product."""
    pairs = problem.batch * problem.out_channels * problem.in_channels // problem.groups
    taps = float(pairs * math.prod(size) * math.prod(problem.kernel))
    traffic = 2 * taps * ITEMSIZE[problem.dtype]
    return Cost(2 * taps, traffic, once_flops=COMPILED)
