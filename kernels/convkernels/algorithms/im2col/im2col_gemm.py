"""Patches as the columns of a matrix, and one matrix product a group (GEMM).

Y = W · P, with P of shape (C/G·kh·kw, OH·OW): each output is the Frobenius inner product of its
patch with the kernel, ⟨A, W⟩ = tr(Aᵀ W), and one product of matrices takes them all.

Costs the FLOP of the defining sum, and n²·N² elements written and read: the memory is what is
paid for the use of a tuned GEMM (Chellapilla, Puri & Simard 2006). Where P would take more than
``LIMIT``, the output rows are taken in strips, one product each.
"""

from __future__ import annotations

from typing import Any

from convkernels.algorithms.im2col._patches import filter_matrix, patches
from convkernels.problem import ITEMSIZE, Problem
from convkernels.registry import Cost, Implementation, algorithm, workspace_bytes
from convkernels.toolbox import layout
from convkernels.toolbox.bounds import compute_dtype
from convkernels.toolbox.stages import stage

LIMIT = 256 << 20  # bytes of P


def _rows(problem: Problem) -> int:
    """Output rows whose patches fit in LIMIT."""
    columns = problem.batch * problem.output[1] * problem.groups
    row = columns * problem.terms * ITEMSIZE[compute_dtype(problem.dtype)]
    return max(1, min(problem.output[0], LIMIT // row))


@algorithm(
    name="im2col-gemm",
    family="im2col",
    namespaces=("numpy", "torch", "cupy"),
    arithmetic="ieee, float32 for 16-bit storage",
    source="Chellapilla, Puri & Simard 2006, section 3",
)
class Im2colGemm(Implementation):
    @staticmethod
    def cost(problem: Problem) -> Cost:
        width = problem.output[1]
        patches = problem.batch * problem.groups * problem.terms * width
        traffic = 2.0 * patches * problem.output[0] * ITEMSIZE[problem.dtype]
        workspace = workspace_bytes(problem, patches * _rows(problem))
        return Cost(problem.flops, problem.min_bytes + traffic, workspace)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, self.xp = problem, xp
        self.rows = _rows(problem)

    def load(self, b: Any) -> None:
        self.w = filter_matrix(b, self.problem, self.xp)

    def run(self, a: Any) -> Any:
        problem, xp = self.problem, self.xp
        x = layout.padded(layout.images(a, problem, xp), problem, xp)
        height, width = problem.output
        strips = []
        for first in range(0, height, self.rows):
            rows = (first, min(height, first + self.rows))
            with stage("unfold"):
                matrix = patches(x, problem, xp, rows, (0, width))
            with stage("product"):
                product = xp.matmul(self.w, matrix)  # (B, G, K/G, rows·OW)
            strips.append(xp.reshape(product, (*product.shape[:3], -1, width)))
        y = strips[0] if len(strips) == 1 else xp.concat(strips, axis=-2)
        return layout.result(y, problem, xp)
