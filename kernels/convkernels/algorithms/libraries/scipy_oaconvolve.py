"""scipy.signal.oaconvolve: overlap-add, the FFT of blocks that are some five to ten kernels long.

The block length minimises N·log₂(2N)/(N − n + 1) for an axis (``_calc_oa_lens`` of SciPy's
``_signaltools.py``, by Lambert's W), rounded up to a good size of pocketfft. An axis that is one
block, or no longer than two kernels, is transformed whole; where both axes are, it is fftconvolve.
The kernel is transformed once a call, all blocks at once: memory for the image's spectrum.

Costs O(N² log n) instead of O(N² log N), and a pass more to add the overlaps. Stockham 1966.
"""

from __future__ import annotations

import math
from typing import Any

from convkernels.algorithms.libraries._scipy_signal import SignalConvolution, blocked
from convkernels.problem import Problem
from convkernels.registry import Cost, algorithm


def blocks(image: int, kernel: int) -> tuple[int, int]:
    """(length, number) of the blocks along an axis."""
    from scipy.fft import next_fast_len
    from scipy.special import lambertw

    longer, shorter = max(image, kernel), min(image, kernel)
    whole = (image + kernel - 1, 1)
    overlap = shorter - 1
    if overlap == 0 or shorter >= longer / 2:
        return whole
    best = -overlap * lambertw(-1 / (2 * math.e * overlap), k=-1).real
    length = next_fast_len(math.ceil(best))
    if length >= longer:
        return whole
    step = length - overlap
    number = math.ceil((longer + 1) / step)
    return length, number + (number * step < whole[0])


@algorithm(
    name="scipy-oaconvolve",
    family="fft",
    namespaces=("numpy",),
    arithmetic="ieee",
    source="scipy.signal.oaconvolve",
)
class SciPyOAConvolve(SignalConvolution):
    function = "oaconvolve"

    @staticmethod
    def cost(problem: Problem) -> Cost:
        return blocked(problem, *map(blocks, problem.image, problem.kernel))

    def provenance(self) -> dict[str, Any]:
        lengths, numbers = zip(*map(blocks, self.problem.image, self.problem.kernel), strict=True)
        return {"block": list(lengths), "blocks": list(numbers)}
