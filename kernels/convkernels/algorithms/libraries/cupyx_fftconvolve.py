"""cupyx.scipy.signal.fftconvolve: both transforms made in each call, real, by cuFFT.

At the next size whose factors are 2, 3, 5 and 7. An axis on which image or kernel have one element
is not transformed but multiplied, as in SciPy's.
"""

from __future__ import annotations

from typing import Any

from convkernels.algorithms.libraries import _cupyx
from convkernels.algorithms.libraries._scipy_signal import SignalConvolution
from convkernels.problem import Problem
from convkernels.registry import Cost, algorithm


@algorithm(
    name="cupyx-fftconvolve",
    family="fft",
    namespaces=("cupy",),
    arithmetic=_cupyx.ARITHMETIC,
    source="cupyx.scipy.signal.fftconvolve",
)
class CuPyXFFTConvolve(SignalConvolution):
    module = "cupyx.scipy.signal"
    function = "fftconvolve"

    @staticmethod
    def cost(problem: Problem) -> Cost:
        return _cupyx.called(SignalConvolution.cost(problem), problem)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        super().plan(problem, xp, device)
        _cupyx.first_call(self._plane, problem, xp)
