"""im2col's matrix product in Triton, with the patches gathered and never stored.

A program multiplies BM output pixels (rows of the patch matrix) by BN filters, BK taps at a time:
``tl.dot`` in full float32, on the tensor cores for 16-bit storage alone. A product of Triton's has
16 columns at least, so that one filter does a sixteenth of the work that is paid for: a contender
for layers. Chetlur et al. 2014, section 3, for the gathering.
"""

from __future__ import annotations

import math
from typing import Any

from convkernels.algorithms.libraries._triton import COMPILED, TritonKernel
from convkernels.problem import ITEMSIZE, Problem
from convkernels.registry import Cost, algorithm

BM, BK = 64, 32
LEAST, MOST = 16, 64  # filters of a program


def filters(problem: Problem) -> int:
    """BN: the power of two that holds a group's filters, within what a program takes."""
    outputs = problem.out_channels // problem.groups
    return min(MOST, max(LEAST, 1 << (outputs - 1).bit_length()))


@algorithm(
    name="triton-implicit-gemm",
    family="im2col",
    namespaces=("torch",),
    arithmetic="ieee, float32 for 16-bit storage",
    source="Triton; Chetlur et al. 2014, section 3",
)
class TritonImplicitGemm(TritonKernel):
    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        if problem.dtype == "float64":
            return "Triton's matrix products have no float64"
        return TritonKernel.refuses(problem, namespace, device)

    @staticmethod
    def cost(problem: Problem) -> Cost:
        """Of whole blocks: each gathers its patches and its filters for itself."""
        columns = filters(problem)
        blocks = math.ceil(problem.batch * math.prod(problem.output) / BM) * problem.groups
        blocks *= math.ceil(problem.out_channels // problem.groups / columns)
        taps = math.ceil(problem.terms / BK) * BK
        gathered = float(blocks * taps * (BM + columns) * ITEMSIZE[problem.dtype])
        flops = 2.0 * blocks * taps * BM * columns
        return Cost(flops, gathered + problem.min_bytes, once_flops=COMPILED)

    def launch(self, x: Any, w: Any, y: Any) -> None:
        problem, columns = self.problem, filters(self.problem)
        pixels = problem.batch * math.prod(problem.output)
        grid = (self.blocks(pixels, BM), self.blocks(self.outputs, columns), problem.groups)
        steps = (*problem.kernel, *problem.stride, *problem.dilation, problem.batch)
        known = {"DTYPE": self.type, "BM": BM, "BN": columns, "BK": BK}
        self.kernels.implicit_gemm[grid](x, w, y, *self.sizes, *steps, **known)
