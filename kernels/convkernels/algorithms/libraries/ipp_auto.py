"""Intel IPP's convolution as IPP chooses: ippiConv_32f_C1R with ippAlgAuto, one thread.

It sums directly for small kernels and transforms for others (from 11×11 on, measured with its
AVX2 and AVX-512 code), so it is of family ``library``; ``ipp-direct`` and ``ipp-fft`` are the two.
"""

from __future__ import annotations

from convkernels.algorithms.libraries._ipp import AUTO, Convolution
from convkernels.problem import Problem
from convkernels.registry import algorithm
from convkernels.toolbox import bounds


@algorithm(
    name="ipp-auto",
    family="library",
    namespaces=("numpy",),
    arithmetic="ieee",
    source="ippiConv_32f_C1R, ippAlgAuto",
)
class IPPAuto(Convolution):
    method = AUTO

    @staticmethod
    def error_bound(problem: Problem) -> float:
        points = 16 * problem.kernel[0] * problem.kernel[1]
        return max(bounds.summation(problem), bounds.fourier(problem, points))
