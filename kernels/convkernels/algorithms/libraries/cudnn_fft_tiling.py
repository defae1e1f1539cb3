"""cuDNN's algorithm 5: the FFT of tiles of the image, for any size of it.

As algorithm 4, with the image cut into overlapping tiles: less memory where images are large. By
its manual it takes kernels to 32×32 (to 256 of one row or column), padding less than the kernel, no
stride, no dilation. The tile is not in the manual: the names of its kernels have 32×32
(fft2d_r2c_32x32), and the cost here takes a power of two that is at least 32 and twice the kernel.
Of its gradients: backward data's algorithm 3 and backward filter's 6.
"""

from __future__ import annotations

import math

from convkernels.algorithms.libraries import _cudnn
from convkernels.problem import DIRECTIONS, Problem
from convkernels.registry import Cost, algorithm
from convkernels.toolbox import bounds

LARGEST, LONGEST = 32, 256  # kernels: rows and columns, and of those with one of either
LEAST = 32  # rows and columns of a tile


def tile(problem: Problem) -> tuple[int, int]:
    """Rows and columns of a tile, as assumed."""
    rows, columns = (max(LEAST, 2 << (size - 1).bit_length()) for size in problem.kernel)
    return rows, columns


def tiles(problem: Problem) -> int:
    """Of an image."""
    counts = (
        math.ceil(size / (side - kernel + 1))
        for size, side, kernel in zip(problem.output, tile(problem), problem.kernel, strict=True)
    )
    return math.prod(counts)


@algorithm(
    name="cudnn-fft-tiling",
    family="fft",
    namespaces=("torch",),
    arithmetic="ieee (TF32 off), float32 for 16-bit storage",
    source="cudnnConvolutionForward, CUDNN_CONVOLUTION_FWD_ALGO_FFT_TILING; Vasilache et al. 2015",
    directions=DIRECTIONS,
)
class CuDNNFFTTiling(_cudnn.Convolution):
    numbers = {"forward": 5, "grad_input": 3, "grad_weight": 6}  # noqa: RUF012

    @staticmethod
    def excludes(problem: Problem) -> str | None:
        rows, columns = problem.kernel
        if max(rows, columns) > (LONGEST if 1 in (rows, columns) else LARGEST):
            return (
                f"cuDNN's tiled FFT takes kernels to {LARGEST}×{LARGEST}, or {LONGEST} of one row "
                f"or column; this is {rows}×{columns}"
            )
        return _cudnn.excludes_transforms(problem, "cuDNN's tiled FFT")

    @staticmethod
    def cost(problem: Problem) -> Cost:
        return _cudnn.transformed(problem, math.prod(tile(problem)), tiles(problem))

    @staticmethod
    def error_bound(problem: Problem) -> float:
        points = math.prod(tile(problem))
        return bounds.fourier(problem, points, _cudnn.summed(problem, tiles(problem)))
