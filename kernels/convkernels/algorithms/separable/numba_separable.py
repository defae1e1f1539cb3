"""A kernel of rank 1, w = column · row, as two passes of one dimension, on the CPU.

Costs 2·2n·N² FLOP instead of 2·n²·N², and moves every pixel through memory once: a tile is passed
along its rows into the cache and out of it along its columns. The factors are found in ``load``, by
a singular value decomposition; a kernel of higher rank is refused there, with the measure of it.

The inner loops are those of ``numba-direct``, compiled for this processor. Refuses strides and
dilation.
"""

from __future__ import annotations

from typing import Any

from convkernels.algorithms.direct import _micro_kernel as micro
from convkernels.cpu import operands
from convkernels.cpu.tiled import Tiled
from convkernels.problem import Problem
from convkernels.registry import Cost, algorithm
from convkernels.toolbox import rank

TILE = (64, 256)  # outputs, rounded to blocks


@algorithm(
    name="numba-separable",
    family="separable",
    namespaces=("numpy", "torch"),
    arithmetic="ieee, float32 for 16-bit storage",
    source="two passes: Treitel & Shanks 1971; register blocking: Van Zee & van de Geijn 2015",
    directions=("forward", "grad_input"),
)
class NumbaSeparable(Tiled):
    STAGE = "two passes"

    @staticmethod
    def cost(problem: Problem) -> Cost:
        (height, width), (kh, kw) = TILE, problem.kernel
        halo = (height + kh - 1) * (width + kw - 1)  # that a tile reads
        workspace = operands.item_bytes(problem) * (2.0 * halo + height * width)
        traffic = problem.min_bytes * (1 + halo / (height * width)) / 2
        return Cost(rank.flops(problem), traffic, workspace + rank.svd_bytes(problem))

    @staticmethod
    def error_bound(problem: Problem) -> float:
        return rank.error_bound(problem)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        chosen = self.begin(problem, xp)
        planes = self.planes
        block = (micro.ROWS, micro.width(chosen, planes.dtype))
        tile = micro.rounded(TILE, block, problem.output)
        (height, width), (kh, kw) = tile, problem.kernel
        tallest = -(-(height + kh - 1) // micro.ROWS) * micro.ROWS + micro.ROWS
        strides = tuple(operands.padded_stride(n, planes.item) for n in (width + kw - 1, width))
        self.drive(
            ("convkernels.algorithms.separable._two_passes", "separable_tiles"),
            [
                (micro.block_kernel(size, planes.dtype, chosen), micro.NAME)
                for size in ((1, kw), (kh, 1))
            ],
            (
                (planes.groups, planes.filters, planes.depth),
                *planes.geometry,
                block,
                tile,
                micro.rows_at_once(1),
                tallest,
                strides,
                planes.item,
            ),
            weights=2,
            tasks=problem.batch * problem.out_channels * micro.tiles(tile, problem.output),
            buffer=planes.item * (tallest * sum(strides) + height * width),
        )

    def load(self, b: Any) -> None:
        import numpy as np

        columns, rows = (
            np.ascontiguousarray(factor, dtype=self.planes.dtype)
            for factor in rank.factors(self.planes.filters_of(b), self.problem.dtype, np)
        )
        self.weights = (rows, columns)
