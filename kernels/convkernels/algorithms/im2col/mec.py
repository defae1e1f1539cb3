"""Memory-efficient convolution: a matrix with a kernel's row of every patch, and no whole patch.

L holds, for each image row h and output column j, the C/G·kw pixels of row h that column j reads:
(H, C/G·kw, OW), smaller than im2col's P by the kernel's height. The patches of output row i are
rows i·s to i·s + kh − 1 of it (dilation apart), one below the other as they lie, so that

Y[i] = W · L[i·s : i·s + kh] = Σ_r W_r · L[i·s + r],  W_r (K/G, C/G·kw) the filters' row r.

Cho & Brand multiply each such part of L by the whole of W, one product for each output row. Here
the rows of the filters come one after the other and each meets all output rows in one batched
product: the same sums from the same L, in calls that do not grow with the image, and with strides
and dilation as steps between rows. Narrow images are laid side by side (their Solution A).

Costs the FLOP of the defining sum, n·N² elements written, n²·N² read from the cache, and for each
row of the kernel one product of K/G planes, read and added. Beyond ``LIMIT`` L is made in blocks.

Cho & Brand 2017, "MEC: Memory-efficient Convolution for Deep Neural Network" (ICML), section 3.
"""

from __future__ import annotations

import math
from typing import Any

from convkernels.algorithms.im2col._blocks import Blocked, BlockSize, even
from convkernels.problem import ITEMSIZE, Problem, Size
from convkernels.registry import Cost, algorithm, workspace_bytes
from convkernels.toolbox import layout
from convkernels.toolbox.bounds import compute_dtype
from convkernels.toolbox.stages import stage

LIMIT = 4 << 20  # bytes of L
# Columns that a product has at least, where the image or the batch has them: fewer are slow.
COLUMNS = 128


def _rows(problem: Problem, rows: int) -> int:
    """Image rows that so many output rows read."""
    return (rows - 1) * problem.stride[0] + problem.extent[0]


@algorithm(
    name="mec",
    family="im2col",
    namespaces=("numpy", "torch", "cupy"),
    arithmetic="ieee, float32 for 16-bit storage",
    source="Cho & Brand 2017, section 3",
    directions=("forward", "grad_input"),
)
class MEC(Blocked):
    phases = ("grad_input",)

    @staticmethod
    def block_size(problem: Problem) -> BlockSize:
        """Blocks share kh − 1 image rows with the next: they read four times as many where LIMIT
        allows it with COLUMNS columns, and twice as many wherever the image has them."""
        height, width = problem.output
        extent, stride = problem.extent[0], problem.stride[0]
        column = problem.in_channels * problem.kernel[1] * ITEMSIZE[compute_dtype(problem.dtype)]
        pixels = max(1, LIMIT // column)  # of rows · columns · images
        columns = even(width, max(COLUMNS, pixels // (4 * extent)))
        images = even(problem.batch, max(1, COLUMNS // columns))
        inputs = max(2 * extent, pixels // (images * columns))
        return BlockSize(images, even(height, (inputs - extent) // stride + 1), columns)

    @staticmethod
    def cost(problem: Problem) -> Cost:
        images, rows, columns = MEC.block_size(problem)
        outputs = problem.batch * math.prod(problem.output)
        flops = 2.0 * outputs * problem.out_channels * problem.terms
        written = problem.in_channels * problem.kernel[1] * _rows(problem, rows) / rows
        read = problem.in_channels * math.prod(problem.kernel)
        added = 3.0 * problem.out_channels * problem.kernel[0]
        elements = outputs * (written + read + added) + 2.0 * layout.copied(problem)
        traffic = workspace_bytes(problem, elements)
        block = images * columns
        lowered = block * _rows(problem, rows) * problem.in_channels * problem.kernel[1]
        products = 2 * block * rows * problem.out_channels
        workspace = workspace_bytes(problem, lowered + products + layout.copied(problem))
        return Cost(flops, problem.min_bytes + traffic, workspace)

    def load(self, b: Any) -> None:
        xp = self.xp
        w = layout.filters(b, self.problem, xp)  # (G, K/G, C/G, kh, kw)
        groups, outs, ins, _, kw = w.shape
        w = xp.permute_dims(w, (3, 0, 1, 2, 4))
        w = xp.reshape(w, (-1, groups, 1, outs, ins * kw))
        self.rows = [w[row, ...] for row in range(w.shape[0])]  # (G, 1, K/G, C/G·kw)

    def block(self, x: Any, rows: Size, columns: Size) -> Any:
        problem, xp = self.problem, self.xp
        count, width = rows[1] - rows[0], columns[1] - columns[0]
        down, step = problem.stride[0], problem.dilation[0]
        with stage("lower"):
            lowered = self._lowered(x, rows, columns)  # (G, H, C/G·kw, B·columns)
        with stage("product"):
            reach = (count - 1) * down + 1

            def product(row: int) -> Any:
                first = row * step
                return xp.matmul(self.rows[row], lowered[:, first : first + reach : down, ...])

            total = product(0)  # (G, rows, K/G, B·columns)
            for row in range(1, problem.kernel[0]):
                total += product(row)
        total = xp.reshape(total, (*total.shape[:3], x.shape[0], width))
        return xp.permute_dims(total, (3, 0, 2, 1, 4))

    def _lowered(self, x: Any, rows: Size, columns: Size) -> Any:
        problem, xp = self.problem, self.xp
        kw, (_, across), step = problem.kernel[1], problem.stride, problem.dilation[1]
        images, groups, ins = x.shape[:3]
        top, height = rows[0] * problem.stride[0], _rows(problem, rows[1] - rows[0])
        width = columns[1] - columns[0]
        x = xp.permute_dims(x[..., top : top + height, :], (1, 3, 2, 0, 4))
        shape = (groups, height, ins, kw, images, width)
        lowered = xp.empty(shape, dtype=x.dtype, device=x.device)
        for column in range(kw):
            left = columns[0] * across + column * step
            right = left + (width - 1) * across + 1
            lowered[:, :, :, column, :, :] = x[..., left:right:across]
        return xp.reshape(lowered, (groups, height, ins * kw, images * width))
