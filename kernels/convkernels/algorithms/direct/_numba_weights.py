"""The filters' gradient at the speed of the processor's multiply-adds, on the CPU.

Few sums over whole images, where the forward pass has many over few: a block of a kernel's elements
stays in registers while a tile of the output's gradient passes by (``_weight_kernel``), tiles stay
in L2 and are shared among threads, and the sums of their chunks are added in the end
(``_weight_tiles``). Elements of a kernel that is no whole number of blocks are computed beyond it.
"""

from __future__ import annotations

import math
from typing import Any

from convkernels.algorithms.direct import _weight_kernel as weight
from convkernels.cpu import operands
from convkernels.cpu.tiled import Tiled
from convkernels.problem import Problem, Size
from convkernels.registry import Cost
from convkernels.toolbox import bounds, directions, layout

TILE = (64, 256)  # of the output's gradient
PIECES = 4  # tasks a thread, at least, where there are as many tiles


def _tile(output: Size) -> Size:
    rows, columns = (-(-size // -(-size // most)) for size, most in zip(output, TILE, strict=True))
    return rows, columns


class NumbaWeights(Tiled):
    STAGE = "sum"

    @staticmethod
    def cost(problem: Problem) -> Cost:
        (height, width), (kh, kw) = _tile(problem.output), problem.kernel
        halo = (height + kh - 1) * (width + kw - 1)  # of x, that a tile reads
        workspace = operands.item_bytes(problem) * (halo + height * width)
        # Each pair of channels copies its tiles.
        pairs = problem.out_channels * problem.in_channels // problem.groups
        copied = 2 * pairs * problem.batch * math.prod(problem.output)
        share = 1 + halo / (height * width)
        traffic = problem.min_bytes + share * operands.item_bytes(problem) * copied
        return Cost(problem.flops, traffic, workspace)

    @staticmethod
    def error_bound(problem: Problem) -> float:
        return bounds.summation(problem)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, forward = problem, directions.forward_of(problem)
        chosen = self.begin(forward, xp)
        planes = self.planes
        block = weight.block(problem.kernel, chosen)
        whole = tuple(-(-k // b) * b for k, b in zip(problem.kernel, block, strict=True))
        tile, lanes = _tile(problem.output), chosen.lanes(planes.dtype)
        wide = -(-tile[1] // lanes) * lanes
        strides = (
            operands.padded_stride(wide, planes.item),
            operands.padded_stride(wide + whole[1] - 1, planes.item),
        )
        down, across = (-(-size // t) for size, t in zip(problem.output, tile, strict=True))
        pairs = planes.groups * planes.filters * planes.depth
        wanted = -(-PIECES * (self.threads or 1) // pairs) if (self.threads or 1) > 1 else 1
        self.chunks = min(planes.batch * down * across, wanted)
        self.shape = (pairs, self.chunks, *whole)
        rows = tile[0] + 2 * (block[0] - 1), tile[0] + whole[0] - 1
        self.drive(
            ("convkernels.algorithms.direct._weight_tiles", "weight_tiles"),
            [(weight.block_kernel(block, planes.dtype, chosen), weight.NAME)],
            (
                (planes.batch, planes.groups, planes.filters, planes.depth),
                planes.image,
                planes.before,
                whole,
                problem.output,
                block,
                tile,
                strides,
                lanes,
                self.chunks,
                planes.item,
            ),
            weights=1,
            tasks=pairs * self.chunks,
            buffer=planes.item * (rows[0] * strides[0] + rows[1] * strides[1]),
        )

    def load(self, b: Any) -> None:
        self.weights = (self.planes.images(b),)

    def source(self, a: Any) -> Any:
        gy = layout.outputs(a, self.planes.problem, self.planes.xp)
        return operands.contiguous(gy)

    def target(self) -> Any:
        return self.planes.xp.empty(self.shape, dtype=getattr(self.planes.xp, self.planes.dtype))

    def finished(self, y: Any) -> Any:
        planes, xp = self.planes, self.planes.xp
        kh, kw = planes.kernel
        total = xp.sum(y, axis=1) if self.chunks > 1 else y[:, 0, ...]
        total = total[:, :kh, :kw]
        shape = (planes.groups, planes.filters, planes.depth, kh, kw)
        result = layout.filters_result(xp.reshape(total, shape), planes.problem, xp)
        return operands.contiguous(result)
