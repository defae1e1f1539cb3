"""cuDNN's algorithm 1: as algorithm 0, with the patches' addresses computed before.

A table of offsets in the workspace takes the index arithmetic out of the product's inner loop: it
is what cuDNN's heuristics take for most layers. Chetlur et al. 2014, section 3.

Of its gradients backward filter's algorithm 3, algorithm 0 with some indices computed before: its
sums are atomic, and so not deterministic.
"""

from __future__ import annotations

from convkernels.algorithms.libraries import _cudnn
from convkernels.problem import Problem
from convkernels.registry import Cost, algorithm


@algorithm(
    name="cudnn-implicit-precomp-gemm",
    family="im2col",
    namespaces=("torch",),
    arithmetic="ieee (TF32 off), float32 for 16-bit storage",
    source="cudnnConvolutionForward, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM; Chetlur et "
    "al. 2014",
    directions=("forward", "grad_weight"),
)
class CuDNNImplicitPrecompGemm(_cudnn.Convolution):
    numbers = {"forward": 1, "grad_weight": 3}  # noqa: RUF012

    @staticmethod
    def cost(problem: Problem) -> Cost:
        return _cudnn.implicit(problem)
