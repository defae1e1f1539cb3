"""cuDNN's backward algorithms 0: matrix products whose parts are added by atomic operations.

Of an image's gradient and of the filters'. Each block of threads adds its product to the result
when it is done, in an order that no two runs share: the last bits differ from run to run. No
patches are stored. There is no forward algorithm of this kind. Chetlur et al. 2014.
"""

from __future__ import annotations

from convkernels.algorithms.libraries import _cudnn
from convkernels.problem import Problem
from convkernels.registry import Cost, algorithm


@algorithm(
    name="cudnn-atomic-gemm",
    family="im2col",
    namespaces=("torch",),
    arithmetic="ieee (TF32 off), float32 for 16-bit storage",
    source="cudnnConvolutionBackwardData, CUDNN_CONVOLUTION_BWD_DATA_ALGO_0, and BackwardFilter's",
    directions=("grad_input", "grad_weight"),
)
class CuDNNAtomicGemm(_cudnn.Convolution):
    numbers = {"grad_input": 0, "grad_weight": 0}  # noqa: RUF012

    @staticmethod
    def cost(problem: Problem) -> Cost:
        return _cudnn.implicit(problem)
