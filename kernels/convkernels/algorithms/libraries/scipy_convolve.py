"""scipy.signal.convolve with method="auto": the direct sum or fftconvolve, by a fitted model.

``choose_conv_method`` compares operations, weighed by constants fitted on one machine of 2017 for
each mode (``_fftconv_faster`` of SciPy's ``_signaltools.py``); only sizes count. So it is of family
``library``. Its direct sum (``_correlateND``) pads the image in memory and is not convolve2d's.
"""

from __future__ import annotations

from typing import Any

from convkernels.algorithms.libraries._scipy_signal import SignalConvolution
from convkernels.problem import ITEMSIZE, Problem
from convkernels.registry import Cost, algorithm
from convkernels.toolbox import bounds


@algorithm(
    name="scipy-convolve",
    family="library",
    namespaces=("numpy",),
    arithmetic="ieee",
    source='scipy.signal.convolve(method="auto")',
)
class SciPyConvolve(SignalConvolution):
    function = "convolve"

    @staticmethod
    def cost(problem: Problem) -> Cost:
        """The cheaper one's: what it is meant to take."""
        direct = Cost(problem.flops, float(problem.flops * ITEMSIZE[problem.dtype]))
        return min(direct, SignalConvolution.cost(problem), key=lambda cost: cost.bytes)

    @staticmethod
    def error_bound(problem: Problem) -> float:
        return max(SignalConvolution.error_bound(problem), bounds.summation(problem))

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        import numpy as np
        from scipy import signal

        super().plan(problem, xp, device)
        operands = (
            np.broadcast_to(np.zeros((), problem.dtype), size)
            for size in (problem.image, problem.kernel)
        )
        self.method = signal.choose_conv_method(*operands, mode=self.mode)

    def provenance(self) -> dict[str, Any]:
        return {"method": self.method}
