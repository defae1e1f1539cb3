"""The defining sum on the array API, in row partial sums.

y[i, j] = Σ_r ( Σ_c w[r, c] · x[i + r, j + c] ), one tap (r, c) at a time over the whole image. Each
kernel row is summed apart before it joins the result: the error then grows with the length of a
row and not of the whole kernel (2.9e-7 instead of 2.3e-6 at n = 129 in float32), as in pairwise
summation (Higham 2002, Accuracy and Stability of Numerical Algorithms, section 4.2).

Costs 2·n²·N² FLOP. On a GPU every tap is one launch over the image, n² + n in all, so that this
contender is bound by memory, 3·n²·N² elements of traffic, and on small images by the launches; on a
CPU the image is taken in strips of rows that stay in the cache.

The filters' gradient has a sum of its own (``_weights``); an image's is this one with the roles of
the operands exchanged, strides in phases.
"""

from __future__ import annotations

from typing import Any

from convkernels.algorithms.direct._weights import DirectWeights
from convkernels.problem import DIRECTIONS, ITEMSIZE, Problem
from convkernels.registry import Cost, Implementation, algorithm, workspace_bytes
from convkernels.toolbox import channels, layout
from convkernels.toolbox.stages import stage

# Elements of a strip's partial sum: with its operand and its product it fits in a core's L2.
STRIP = 1 << 15


@algorithm(
    name="direct",
    family="direct",
    namespaces=("numpy", "torch", "cupy"),
    arithmetic="ieee, float32 for 16-bit storage",
    source="the definition; row partial sums after Higham 2002, section 4.2",
    directions=DIRECTIONS,
)
class Direct(Implementation):
    apart = {"grad_weight": DirectWeights}  # noqa: RUF012
    phases = ("grad_input",)

    @staticmethod
    def cost(problem: Problem) -> Cost:
        outputs = problem.batch * problem.out_channels * problem.output[0] * problem.output[1]
        traffic = 3.0 * problem.terms * outputs * ITEMSIZE[problem.dtype]
        return Cost(problem.flops, traffic, workspace_bytes(problem, 3.0 * outputs))

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, self.xp = problem, xp
        height, width = problem.output
        per_row = problem.batch * problem.out_channels * width
        if xp.__name__.endswith(".numpy") and problem.in_channels == problem.groups:
            self.threads = 1  # NumPy multiplies and adds on one; its matrix products take more
        self.fused = device != "cpu"
        self.strip = height if device != "cpu" else max(1, min(height, STRIP // per_row))

    def load(self, b: Any) -> None:
        w = layout.filters(b, self.problem, self.xp)
        rows, columns = map(range, self.problem.kernel)
        self.taps = [[channels.weights(w[..., r, c], self.xp) for c in columns] for r in rows]

    def run(self, a: Any) -> Any:
        problem, xp = self.problem, self.xp
        with stage("pad"):
            x = layout.padded(layout.images(a, problem, xp), problem, xp)
        height = problem.output[0]
        shape = (problem.batch, problem.groups, problem.out_channels // problem.groups)
        y = xp.zeros((*shape, *problem.output), dtype=x.dtype, device=x.device)
        with stage("multiply"):
            for first in range(0, height, self.strip):
                rows = (first, min(height, first + self.strip))
                y[..., rows[0] : rows[1], :] = self._strip(x, rows)
        return layout.result(y, problem, xp)

    def _strip(self, x: Any, rows: tuple[int, int]) -> Any:
        total = None
        for row, taps in enumerate(self.taps):
            partial = None
            for column, weight in enumerate(taps):
                part = layout.tap(x, self.problem, row, column, rows)
                if partial is None:
                    partial = channels.mixed(part, weight, self.xp)
                elif self.fused:
                    channels.add_mixed(partial, part, weight, self.xp)
                else:
                    partial += channels.mixed(part, weight, self.xp)
            if total is None:
                total = partial
            else:
                total += partial
        return total
