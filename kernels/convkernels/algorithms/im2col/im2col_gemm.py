"""Patches as the columns of a matrix, and one matrix product a group (GEMM).

Y = W · P, with P of shape (C/G·kh·kw, OH·OW): each output is the Frobenius inner product of its
patch with the kernel, ⟨A, W⟩ = tr(Aᵀ W), and one product of matrices takes them all.

Costs the FLOP of the defining sum, and n²·N² elements written and read: the memory is what is
paid for the use of a tuned GEMM (Chellapilla, Puri & Simard 2006). Where P would take more than
``LIMIT``, the output rows are taken in strips, one product each.

The filters' gradient is the other product, gy · Pᵀ of (K/G, OH·OW) by (OH·OW, C/G·kh·kw), summed
over the batch; an image's gradient is the first one with the roles of the operands exchanged.
"""

from __future__ import annotations

from typing import Any

from convkernels.algorithms.im2col._patches import filter_matrix, patches
from convkernels.problem import DIRECTIONS, ITEMSIZE, Problem
from convkernels.registry import Cost, Implementation, algorithm, workspace_bytes
from convkernels.toolbox import directions, layout
from convkernels.toolbox.bounds import compute_dtype
from convkernels.toolbox.stages import stage

LIMIT = 256 << 20  # bytes of P


def _rows(problem: Problem) -> int:
    """Output rows whose patches fit in LIMIT."""
    columns = problem.batch * problem.output[1] * problem.groups
    row = columns * problem.terms * ITEMSIZE[compute_dtype(problem.dtype)]
    return max(1, min(problem.output[0], LIMIT // row))


class Im2colWeights(Implementation):
    """The filters' gradient."""

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        return None

    @staticmethod
    def cost(problem: Problem) -> Cost:
        forward = directions.forward_of(problem)
        found = Im2colGemm.cost(forward)
        # The padded image, a strip of the output's gradient, and a product an image.
        strip = problem.batch * problem.out_channels * problem.output[1] * _rows(forward)
        filters = problem.out_channels * forward.terms
        elements = layout.copied(problem) + strip + (problem.batch + 3) * filters
        workspace = found.workspace + workspace_bytes(problem, elements)
        return Cost(found.flops, found.bytes, workspace)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, self.xp = directions.forward_of(problem), xp
        self.rows = _rows(self.problem)

    def load(self, b: Any) -> None:
        x = layout.images(b, self.problem, self.xp)
        self.x = layout.padded(x, self.problem, self.xp)

    def run(self, a: Any) -> Any:
        problem, xp = self.problem, self.xp
        gy = layout.outputs(a, problem, xp)
        height, width = problem.output
        total = None
        for first in range(0, height, self.rows):
            rows = (first, min(height, first + self.rows))
            with stage("unfold"):
                matrix = patches(self.x, problem, xp, rows, (0, width))
            with stage("product"):
                part = xp.reshape(gy[..., rows[0] : rows[1], :], (*gy.shape[:3], -1))
                product = xp.sum(xp.matmul(part, xp.matrix_transpose(matrix)), axis=0)
            total = product if total is None else total + product
        shape = (*gy.shape[1:3], -1, *problem.kernel)
        return layout.filters_result(xp.reshape(total, shape), problem, xp)


@algorithm(
    name="im2col-gemm",
    family="im2col",
    namespaces=("numpy", "torch", "cupy"),
    arithmetic="ieee, float32 for 16-bit storage",
    source="Chellapilla, Puri & Simard 2006, section 3",
    directions=DIRECTIONS,
)
class Im2colGemm(Implementation):
    apart = {"grad_weight": Im2colWeights}  # noqa: RUF012
    phases = ("grad_input",)

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
