"""cupyx.scipy.signal.oaconvolve: overlap-add, the FFT of blocks that are some ten kernels long.

As SciPy's (see scipy-oaconvolve), with block lengths that cuFFT transforms well. An axis that is
one block, or no longer than two kernels, is transformed whole; where both axes are, it is
fftconvolve. The kernel is transformed once a call, all blocks at once. Stockham 1966.
"""

from __future__ import annotations

import math
from typing import Any

from convkernels.algorithms.fft._libraries import good_size
from convkernels.algorithms.libraries import _cupyx
from convkernels.algorithms.libraries._scipy_signal import SignalConvolution, blocked
from convkernels.problem import Problem
from convkernels.registry import Cost, algorithm


def blocks(image: int, kernel: int) -> tuple[int, int]:
    """(length, number) of the blocks along an axis: ``_calc_oa_lens`` and ``_oa_reshape_inputs`` of
    CuPy's ``_signaltools_core.py``."""
    longer, shorter = max(image, kernel), min(image, kernel)
    whole = (image + kernel - 1, 1)
    overlap = shorter - 1
    if overlap == 0 or longer == shorter or shorter >= longer // 2:
        return whole
    length = good_size(_best(overlap), "cupy", even=False)
    if length >= longer:
        return whole
    step = length - overlap
    number = math.ceil((longer + 1) / step)
    return length, number + (number * step < whole[0])


def _best(overlap: int) -> int:
    """⌈−overlap·W₋₁(−1/(2e·overlap))⌉, by four of Halley's steps, as CuPy."""
    z = -math.exp(-1) / (2 * overlap)
    w = -1 - math.log(2 * overlap)
    for _ in range(4):
        power = math.exp(w)
        off = w * power - z
        w -= off / (w * power + power - (w + 2) * off / (2 * w + 2))
    return math.ceil(-overlap * w)


@algorithm(
    name="cupyx-oaconvolve",
    family="fft",
    namespaces=("cupy",),
    arithmetic=_cupyx.ARITHMETIC,
    source="cupyx.scipy.signal.oaconvolve",
)
class CuPyXOAConvolve(SignalConvolution):
    module = "cupyx.scipy.signal"
    function = "oaconvolve"

    @staticmethod
    def cost(problem: Problem) -> Cost:
        cost = blocked(problem, *map(blocks, problem.image, problem.kernel))
        return _cupyx.called(cost, problem)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        super().plan(problem, xp, device)
        _cupyx.first_call(self._plane, problem, xp)

    def provenance(self) -> dict[str, Any]:
        lengths, numbers = zip(*map(blocks, self.problem.image, self.problem.kernel), strict=True)
        return {"block": list(lengths), "blocks": list(numbers)}
