"""cuDNN's algorithm 4: transforms of whole images and filters, multiplied at each frequency.

Images and filters are transformed in each run, at sizes that are powers of two to judge by the
names of its kernels (fft2d_r2c_32x32); channels are summed as a complex matrix product at each
frequency. By its manual it takes padded images to 256×256, padding less than the kernel, no stride,
no dilation and no float64. The workspace holds every spectrum. Mathieu, Henaff & LeCun 2013;
Vasilache et al. 2015. Of its gradients: algorithms 2 of backward data and of backward filter.
"""

from __future__ import annotations

import math

from convkernels.algorithms.libraries import _cudnn
from convkernels.problem import DIRECTIONS, Problem, Size
from convkernels.registry import Cost, algorithm
from convkernels.toolbox import bounds

LARGEST = 256  # rows and columns of a padded image


def padded(problem: Problem) -> Size:
    rows, columns = (
        size + sum(pads) for size, pads in zip(problem.image, problem.pads, strict=True)
    )
    return rows, columns


def transform_size(problem: Problem) -> Size:
    """(M1, M2): the powers of two that hold the padded image."""
    rows, columns = (1 << (size - 1).bit_length() for size in padded(problem))
    return rows, columns


@algorithm(
    name="cudnn-fft",
    family="fft",
    namespaces=("torch",),
    arithmetic="ieee (TF32 off), float32 for 16-bit storage",
    source="cudnnConvolutionForward, CUDNN_CONVOLUTION_FWD_ALGO_FFT; Mathieu, Henaff & LeCun 2013",
    directions=DIRECTIONS,
)
class CuDNNFFT(_cudnn.Convolution):
    numbers = {"forward": 4, "grad_input": 2, "grad_weight": 2}  # noqa: RUF012

    @staticmethod
    def excludes(problem: Problem) -> str | None:
        rows, columns = padded(problem)
        if max(rows, columns) > LARGEST:
            limit = f"{LARGEST}×{LARGEST}"
            return f"cuDNN's FFT takes padded images to {limit}; this is {rows}×{columns}"
        return _cudnn.excludes_transforms(problem, "cuDNN's FFT")

    @staticmethod
    def cost(problem: Problem) -> Cost:
        return _cudnn.transformed(problem, math.prod(transform_size(problem)), tiles=1)

    @staticmethod
    def error_bound(problem: Problem) -> float:
        points = math.prod(transform_size(problem))
        return bounds.fourier(problem, points, _cudnn.summed(problem, 1))
