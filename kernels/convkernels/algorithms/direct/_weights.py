"""The filters' gradient as the defining sum on the array API.

For each tap it is the product of the output's gradient with what the tap met, summed over outputs
and the batch: n² products of K/G × N² by N² × C/G, of the same FLOP as the forward sum. On a CPU
the image is taken in strips of rows that stay in the cache, whose sums are added.
"""

from __future__ import annotations

from typing import Any

from convkernels.problem import Problem
from convkernels.registry import Cost, Implementation, workspace_bytes
from convkernels.toolbox import layout
from convkernels.toolbox.stages import stage

# Elements of what a tap meets in a strip: with the output's gradient it fits in a core's L2.
STRIP = 1 << 15


class DirectWeights(Implementation):
    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        return None

    @staticmethod
    def cost(problem: Problem) -> Cost:
        """Of taps that are copied, multiplied and summed."""
        pixels = problem.batch * problem.output[0] * problem.output[1]
        taps = problem.kernel[0] * problem.kernel[1]
        traffic = taps * pixels * (3.0 * problem.in_channels + problem.out_channels)
        filters = taps * problem.out_channels * problem.in_channels // problem.groups
        # A GPU's: what one tap met, and the output's gradient in the dtype of the arithmetic.
        elements = pixels * problem.in_channels + layout.copied(problem) + 3 * filters
        if problem.batch > 1:  # one product an image before they are summed
            elements += problem.batch * filters // taps
        return Cost(
            problem.flops,
            problem.min_bytes + workspace_bytes(problem, traffic),
            workspace_bytes(problem, elements),
        )

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, self.xp = problem, xp
        height, width = problem.output
        per_row = problem.batch * problem.in_channels * width
        self.strip = height if device != "cpu" else max(1, min(height, STRIP // per_row))

    def load(self, b: Any) -> None:
        x = layout.images(b, self.problem, self.xp)
        self.x = layout.padded(x, self.problem, self.xp)

    def run(self, a: Any) -> Any:
        problem, xp = self.problem, self.xp
        gy = layout.outputs(a, problem, xp)
        groups, height = problem.groups, problem.output[0]
        outs, ins = problem.out_channels // groups, problem.in_channels // groups
        rows, columns = map(range, problem.kernel)
        shape = (len(rows), len(columns), groups, outs, ins)
        gw = xp.zeros(shape, dtype=gy.dtype, device=gy.device)
        with stage("multiply"):
            for first in range(0, height, self.strip):
                strip = (first, min(height, first + self.strip))
                part = gy[..., strip[0] : strip[1], :]
                part = xp.reshape(part, (problem.batch, groups, outs, -1))
                for row in rows:
                    for column in columns:
                        met = layout.tap(self.x, problem, row, column, strip)
                        met = xp.reshape(met, (problem.batch, groups, ins, -1))
                        product = xp.matmul(part, xp.matrix_transpose(met))
                        gw[row, column, ...] += xp.sum(product, axis=0)
        return layout.filters_result(xp.permute_dims(gw, (2, 3, 4, 0, 1)), problem, xp)
