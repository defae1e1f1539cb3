"""cuDNN's algorithm 2: im2col with the patches stored, then a matrix product.

The column matrix, C/G·kh·kw values for each output pixel, is written to the workspace and read
back in each run. Chellapilla, Puri & Simard 2006; Chetlur et al. 2014, section 3.
"""

from __future__ import annotations

import math

from convkernels.algorithms.libraries import _cudnn
from convkernels.problem import ITEMSIZE, Problem
from convkernels.registry import Cost, algorithm


@algorithm(
    name="cudnn-gemm",
    family="im2col",
    namespaces=("torch",),
    arithmetic="ieee (TF32 off), float32 for 16-bit storage",
    source="cudnnConvolutionForward, CUDNN_CONVOLUTION_FWD_ALGO_GEMM; Chellapilla et al. 2006",
)
class CuDNNGemm(_cudnn.Convolution):
    numbers = {"forward": 2}  # noqa: RUF012

    @staticmethod
    def cost(problem: Problem) -> Cost:
        """Of one image's column matrix at a time."""
        pixels = problem.groups * math.prod(problem.output)
        columns = float(pixels * problem.terms * ITEMSIZE[problem.dtype])
        traffic = problem.min_bytes + _cudnn.copied_bytes(problem) + 2 * problem.batch * columns
        return Cost(_cudnn.products(problem), traffic, columns)
