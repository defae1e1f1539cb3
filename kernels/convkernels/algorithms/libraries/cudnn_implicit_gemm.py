"""cuDNN's algorithm 0: the matrix product of im2col whose patches are gathered, never stored.

Each block of threads reads its patches from the image as the product needs them, and works out
their addresses as it goes: no workspace, and the FLOP of the defining sum. Chetlur et al. 2014,
section 3.

Of its gradients: backward data's algorithm 1 and backward filter's 1, which are the same product,
and deterministic. Algorithm 0 of either, whose sums are atomic, is ``cudnn-atomic-gemm``.
"""

from __future__ import annotations

from convkernels.algorithms.libraries import _cudnn
from convkernels.problem import DIRECTIONS, Problem
from convkernels.registry import Cost, algorithm


@algorithm(
    name="cudnn-implicit-gemm",
    family="im2col",
    namespaces=("torch",),
    arithmetic="ieee (TF32 off), float32 for 16-bit storage",
    source="cudnnConvolutionForward, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM; Chetlur et al. 2014",
    directions=DIRECTIONS,
)
class CuDNNImplicitGemm(_cudnn.Convolution):
    numbers = {"forward": 0, "grad_input": 1, "grad_weight": 1}  # noqa: RUF012

    @staticmethod
    def cost(problem: Problem) -> Cost:
        return _cudnn.implicit(problem)
