"""The defining sum as products with banded Toeplitz matrices: GEMM with no patches copied.

Of R output rows at a time, and for each kernel column c,

Y = Σ_c T_c · X[:, c : c + OW],  T_c[i, i·s + r·d] = w[r, c],

where X is the rows of the padded image that they read, as it lies: a shift by c is an offset into
it. With channels T_c is (K/G·R, rows of X · C/G), of an image whose rows of all channels lie one
below the other. n products take the place of n² taps.

A share of n in R + n − 1 of a matrix is not zero (1 where K/G is R or more, which needs no more
rows), and costs (R + n − 1)/n times the FLOP of the sum. A column's product is added to those
before, in the cache: so many blocks of R rows are computed at once as stay there, on a GPU all of
them, from a copy in which they lie apart. The zeros of T spread a pixel that is not finite over its
block.

A filter as a banded Toeplitz matrix: Gray 2006, "Toeplitz and Circulant Matrices: A Review"
(Foundations and Trends in Communications and Information Theory 2(3)), chapter 1.
"""

from __future__ import annotations

import math
from typing import Any

from convkernels.problem import Problem, Size
from convkernels.registry import Cost, Implementation, algorithm, workspace_bytes
from convkernels.toolbox import layout, toeplitz
from convkernels.toolbox.stages import stage

# Rows of a matrix: with fewer a GEMM is slow, with more it multiplies by more zeros.
ROWS = 16
# Elements of the sum of products at a time: with a product it fits in a core's L2.
TOGETHER = 1 << 16


def _block(problem: Problem) -> Size:
    """Output rows of a product, and image rows that they read."""
    outs = problem.out_channels // problem.groups
    rows = min(problem.output[0], math.ceil(ROWS / outs))
    return rows, toeplitz.reach(rows, problem.kernel[0], problem.stride[0], problem.dilation[0])


def _together(problem: Problem) -> int:
    """Blocks of a batched product."""
    width = problem.batch * problem.output[1] * problem.out_channels
    return max(1, TOGETHER // (width * _block(problem)[0]))


@algorithm(
    name="toeplitz-gemm",
    family="direct",
    namespaces=("numpy", "torch", "cupy"),
    arithmetic="ieee, float32 for 16-bit storage",
    source="a filter as a banded Toeplitz matrix: Gray 2006, chapter 1",
    directions=("forward", "grad_input"),
)
class ToeplitzGemm(Implementation):
    spreads = True
    phases = ("grad_input",)

    @staticmethod
    def cost(problem: Problem) -> Cost:
        (rows, inputs), kw = _block(problem), problem.kernel[1]
        ins, outs = problem.in_channels // problem.groups, problem.out_channels
        blocks = math.ceil(problem.output[0] / rows)
        width = problem.batch * problem.output[1]  # of a block's products, all images
        products = blocks * kw * width
        flops = 2.0 * products * rows * outs * inputs * ins
        # A product reads its rows of the image, is written, read and added.
        traffic = products * (problem.in_channels * inputs + 3.0 * outs * rows)
        matrices = kw * outs * rows * inputs * ins
        # A GPU's: all blocks of the image apart, a product and the sum.
        apart = blocks * width * problem.stride[1] * problem.in_channels * inputs
        workspace = matrices + apart + 2 * blocks * width * outs * rows + layout.copied(problem)
        if ins > 1 or problem.stride[1] > 1:  # the image once more, in another order
            workspace += layout.grown(problem)
        return Cost(
            flops,
            problem.min_bytes + workspace_bytes(problem, traffic),
            workspace_bytes(problem, workspace),
            once_bytes=workspace_bytes(problem, matrices),
        )

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, self.xp = problem, xp
        self.rows, self.inputs = _block(problem)
        starts = toeplitz.starts(problem.output[0], self.rows)
        step = _together(problem) if device == "cpu" else len(starts)
        self.products = [starts[first : first + step] for first in range(0, len(starts), step)]
        # Kernel column c reads every stride-th image column from c·dilation on: an unbroken run of
        # those that are a multiple of the stride apart, which lie side by side in a copy.
        steps = [c * problem.dilation[1] for c in range(problem.kernel[1])]
        self.columns = [(step % problem.stride[1], step // problem.stride[1]) for step in steps]

    def load(self, b: Any) -> None:
        problem, xp = self.problem, self.xp
        w = layout.filters(b, problem, xp)
        groups, outs, ins, _, kw = w.shape
        w = xp.permute_dims(w, (4, 0, 1, 2, 3))
        matrix = toeplitz.band(w, self.rows, problem.stride[0], problem.dilation[0], xp)
        matrix = xp.permute_dims(matrix, (0, 1, 2, 4, 5, 3))  # (kw, G, K/G, R, inputs, C/G)
        matrix = xp.reshape(matrix, (kw, groups, outs * self.rows, self.inputs * ins))
        self.matrices = [matrix[column, ...] for column in range(kw)]

    def run(self, a: Any) -> Any:
        problem, xp = self.problem, self.xp
        with stage("pad"):
            x = layout.padded(layout.images(a, problem, xp), problem, xp)
            x = self._by_rows(x)
            phases = {phase: self._phase(x, phase) for phase, _ in self.columns}
        outs = problem.out_channels // problem.groups
        shape = (problem.batch, problem.groups, outs)
        y = xp.empty((*shape, *problem.output), dtype=x.dtype, device=x.device)
        with stage("multiply"):
            for starts in self.products:
                total = self._product(phases, starts)  # (B, blocks, G, K/G·R, OW)
                total = xp.reshape(total, (*total.shape[:3], outs, self.rows, total.shape[-1]))
                self._put(total, y, starts)
        return layout.result(y, problem, xp)

    def _put(self, total: Any, y: Any, starts: list[int]) -> None:
        """Blocks (B, blocks, G, K/G, R, OW) into their places: those that follow each other as one,
        and the last apart where it begins inside the one before."""
        first, count = starts[0], len(starts)
        if starts[-1] < first + (count - 1) * self.rows:
            y[..., starts[-1] : starts[-1] + self.rows, :] = total[:, -1, ...]
            count -= 1
        total = self.xp.permute_dims(total[:, :count, ...], (0, 2, 3, 1, 4, 5))
        rows = count * self.rows
        shape = (*total.shape[:3], rows, total.shape[-1])
        y[..., first : first + rows, :] = self.xp.reshape(total, shape)

    def _by_rows(self, x: Any) -> Any:
        """(B, G, C/G, H, W) → (B, G, H·C/G, W)"""
        batch, groups, ins, height, width = x.shape
        if ins > 1:
            rows = self.xp.empty(
                (batch, groups, height, ins, width), dtype=x.dtype, device=x.device
            )
            rows[...] = self.xp.permute_dims(x, (0, 1, 3, 2, 4))
            x = rows
        return self.xp.reshape(x, (batch, groups, height * ins, width))

    def _phase(self, x: Any, first: int) -> Any:
        """Every stride-th column from the first on, side by side."""
        across = self.problem.stride[1]
        return x if across == 1 else self.xp.astype(x[..., first::across], x.dtype, copy=True)

    def _product(self, phases: dict[int, Any], starts: list[int]) -> Any:
        problem, xp = self.problem, self.xp
        ins = problem.in_channels // problem.groups
        step, size, width = problem.stride[0] * ins, self.inputs * ins, problem.output[1]
        images = {}
        for phase, x in phases.items():
            blocks = [x[:, None, :, start * step : start * step + size, :] for start in starts]
            images[phase] = blocks[0] if len(blocks) == 1 else xp.concat(blocks, axis=1)

        def product(column: int) -> Any:
            phase, left = self.columns[column]
            return xp.matmul(self.matrices[column], images[phase][..., left : left + width])

        total = product(0)
        for column in range(1, problem.kernel[1]):
            total += product(column)
        return total
