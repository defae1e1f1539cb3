"""Intel IPP's FFT convolution: ippiConv_32f_C1R with ippAlgFFT, one thread.

It works in tiles: a side of T, the power of two from four kernel sides on, gives T − n + 1 outputs,
and an impulse leaves rounding noise in the tile that it lies in and nowhere else. The kernel's
transform is made in each call; there is nothing to keep. In float32 alone.
"""

from __future__ import annotations

import math

from convkernels.algorithms.libraries._ipp import FFT, Convolution
from convkernels.problem import ITEMSIZE, Problem
from convkernels.registry import Cost, algorithm
from convkernels.toolbox import bounds


def tile(problem: Problem) -> tuple[int, int]:
    """(T1, T2), no more than the whole result needs."""
    height, width = (
        1 << (min(4 * kernel, output + kernel - 1) - 1).bit_length()
        for kernel, output in zip(problem.kernel, problem.output, strict=True)
    )
    return height, width


@algorithm(
    name="ipp-fft",
    family="fft",
    namespaces=("numpy",),
    arithmetic="ieee",
    source="ippiConv_32f_C1R, ippAlgFFT",
)
class IPPFFT(Convolution):
    method = FFT

    @staticmethod
    def cost(problem: Problem) -> Cost:
        size = tile(problem)
        points = math.prod(size)
        tiles = math.prod(
            math.ceil(output / (side - kernel + 1))
            for output, side, kernel in zip(problem.output, size, problem.kernel, strict=True)
        )
        planes = problem.batch * problem.out_channels * problem.in_channels // problem.groups
        # A real transform of M points is 2.5·M·log2 M FLOP, there and back; products are 3·M.
        transform = 2.5 * points * math.log2(max(2, points))
        flops = planes * (tiles * (2 * transform + 3 * points) + transform)
        item = ITEMSIZE[problem.dtype]
        return Cost(flops, problem.min_bytes, 2.0 * item * points)

    @staticmethod
    def error_bound(problem: Problem) -> float:
        return bounds.fourier(problem, math.prod(tile(problem)))
