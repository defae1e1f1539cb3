"""The least time that a machine's ceilings allow a contender: what lies below it was not measured.

    floor = max(FLOP / peak rate, least bytes / bandwidth)

Every choice here errs towards a shorter floor: a time is called impossible only where no cache, no
matrix unit and no trick of the filter explains it.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from convkernels.problem import ITEMSIZE, STEP, Problem
from convkernels.registry import Algorithm, Implementation

# Rates that an arithmetic names for itself, as "tf32" or "bfloat16 products", but not "TF32 off".
NAMED = re.compile(r"\b(tf32|bfloat16|float16)\b(?! (?:off|storage))", re.IGNORECASE)


BUSY = 0.25  # of the cores, taken by others while the ceilings were measured


def floor(
    algorithm: Algorithm,
    problem: Problem,
    flushed: bool,
    ceilings: Mapping[str, Any] | None,
    threads: int | None = None,
) -> float | None:
    """The least seconds of one run.

    Parameters
    ----------
    flushed : bool
        Flushed, the operands come from main memory, while the result may stay in a cache. Else the
        data may be in a cache that holds them all.
    ceilings : what ``ceilings.load`` gives for the machine of the contender's device
    threads : int or None
        Of a contender on the CPU.

    Returns
    -------
    float or None
        None without ceilings, with more threads than they were measured with, where other
        processes had the machine then, and where the algorithm's own FLOP are no number.
    """
    if ceilings is None or (threads or 0) > (ceilings["threads"] or math.inf):
        return None
    if sum(ceilings["neighbours"].values()) > BUSY:
        return None
    arithmetic = _arithmetic(algorithm, problem, ceilings["flops"])
    if arithmetic is None:
        return None
    read, written = least_bytes(problem, filtered=algorithm.family != "separable")
    steps = ceilings["bytes"]
    memory = (read + written) / _bandwidth(steps, read + written)
    if flushed:
        memory = max(memory, read / _bandwidth(steps, math.inf))
    return max(arithmetic, memory)


def impossible(ci_high_s: float | None, floor_s: float | None) -> bool:
    """Whether a median's whole interval lies below the floor; not where either is unknown."""
    return ci_high_s is not None and floor_s is not None and ci_high_s < floor_s


def _arithmetic(algorithm: Algorithm, problem: Problem, rates: Mapping[str, float]) -> float | None:
    """Seconds of the FLOP that the algorithm declares, at the best rate open to it.

    A library may choose a cheaper algorithm than the one it declares, and an algorithm of any
    other idea than the sum that declares no cost has the sum's by default: neither answers for it.
    """
    undeclared = algorithm.implementation.cost is Implementation.cost and algorithm.family not in (
        "direct",
        "im2col",
    )
    if algorithm.family == "library" or undeclared:
        return 0.0
    flops = float(algorithm.cost(problem).flops)
    if not 0 <= flops < math.inf:
        return None
    names = {problem.dtype, *(name.lower() for name in NAMED.findall(algorithm.arithmetic))}
    if ITEMSIZE[problem.dtype] == 2:
        names.add("float32")  # a CPU may do products of halves best in float32
    return flops / max(rates[name] for name in names if name in rates)


@functools.lru_cache(maxsize=1024)
def least_bytes(problem: Problem, filtered: bool = True) -> tuple[int, int]:
    """(read, written): all operands once and all results once, as ``Problem.min_bytes``.

    Of an image only the rows and columns that meet the kernel are read: a stride may pass over
    others. Without ``filtered`` the filter is left out, for what was loaded in its place may be
    smaller (the factors of a separable one).
    """
    item = ITEMSIZE[problem.dtype]
    x, w, y = (item * math.prod(s) for s in (problem.x_shape, problem.w_shape, problem.y_shape))
    seen = x // math.prod(problem.image) * _touched(problem, 0) * _touched(problem, 1)
    w = w if filtered else 0
    return {
        "forward": (seen + w, y),
        "grad_input": (y + w, x),
        "grad_weight": (y + seen, w),
        STEP: (seen + w + y, x + w + y),
    }[problem.direction]


def _touched(problem: Problem, axis: int) -> int:
    """Rows (axis 0) or columns (axis 1) of the image that some output needs."""
    import numpy as np

    size, before = problem.image[axis], problem.pads[axis][0]
    needed = np.zeros(size, dtype=bool)
    outputs = np.arange(problem.output[axis]) * problem.stride[axis] - before
    for element in range(problem.kernel[axis]):
        places = outputs + element * problem.dilation[axis]
        if problem.boundary == "circular":
            places %= size
        needed[places[(places >= 0) & (places < size)]] = True
    return int(needed.sum())


def _bandwidth(steps: Sequence[Sequence[float]], size: float) -> float:
    """Bytes/s of the measured working sets from the largest that is no larger than this one."""
    start = max((step[0] for step in steps if step[0] <= size), default=0.0)
    return max(rate for measured, rate in steps if measured >= start)
