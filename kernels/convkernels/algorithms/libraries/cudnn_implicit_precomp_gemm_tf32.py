"""cuDNN's algorithm 1 on tensor cores: operands of 10 bits of fraction, sums in float32.

What torch's conv2d does in float32 unless TF32 is switched off. Where cuDNN does not list the
algorithm with tensor cores for a problem it is refused: it would be cudnn-implicit-precomp-gemm
under another name.

An operand that is cut to 10 bits loses less than 2⁻¹⁰ of itself, a product of two less than 2⁻⁹
(NVIDIA A100 white paper, 2020, "TF32"); the products are exact, and are summed in float32.
"""

from __future__ import annotations

from convkernels.algorithms.libraries import _cudnn
from convkernels.problem import Problem
from convkernels.registry import Cost, algorithm
from convkernels.toolbox import bounds


@algorithm(
    name="cudnn-implicit-precomp-gemm-tf32",
    family="im2col",
    namespaces=("torch",),
    arithmetic="tf32",
    source="cudnnConvolutionForward, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, "
    "CUDNN_TENSOR_OP_MATH",
)
class CuDNNImplicitPrecompGemmTF32(_cudnn.Convolution):
    numbers = {"forward": 1}  # noqa: RUF012
    arithmetic = _cudnn.TENSOR_OP_MATH

    @staticmethod
    def cost(problem: Problem) -> Cost:
        return _cudnn.implicit(problem)

    @staticmethod
    def error_bound(problem: Problem) -> float:
        return _cudnn.TF32 + bounds.summation(problem)
