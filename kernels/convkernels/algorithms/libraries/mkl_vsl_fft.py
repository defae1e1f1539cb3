"""MKL's FFT convolution: vslsConvExec and vsldConvExec in VSL_CONV_MODE_FFT, one thread.

Transforms of the whole image, padded, and of the kernel, in each call: vslsConvNewTaskX, which is
said to keep the transform of one operand, took as long in every call (N = 1024, MKL 2026.0).
"""

from __future__ import annotations

import math

from convkernels.algorithms.libraries._mkl import FFT, Convolution, points
from convkernels.problem import ITEMSIZE, Problem
from convkernels.registry import Cost, algorithm
from convkernels.toolbox import bounds


@algorithm(
    name="mkl-vsl-fft",
    family="fft",
    namespaces=("numpy",),
    arithmetic="ieee",
    source="vslsConvExec, vsldConvExec, VSL_CONV_MODE_FFT",
)
class MKLVSLFFT(Convolution):
    method = FFT

    @staticmethod
    def cost(problem: Problem) -> Cost:
        size, item = points(problem), ITEMSIZE[problem.dtype]
        planes = problem.batch * problem.out_channels * problem.in_channels // problem.groups
        # Three real transforms of 2.5·M·log2 M FLOP, products of 3·M; two passes a transform.
        flops = planes * (7.5 * size * math.log2(max(2, size)) + 3 * size)
        return Cost(flops, planes * 15.0 * item * size, 2.0 * item * size)

    @staticmethod
    def error_bound(problem: Problem) -> float:
        return bounds.fourier(problem, 2 * points(problem))
