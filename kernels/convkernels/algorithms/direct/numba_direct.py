"""The direct sum at the speed of the processor's multiply-adds, on the CPU.

A block of 4 rows by 3 or 4 vectors of outputs stays in registers (``_micro_kernel``), blocks make
up tiles that stay in L2 (``_tiles``), and tiles are shared among threads. What bounds it is
arithmetic: 2·n²·N² FLOP, at some 70 % of the cores' peak for n = 7 and 80 to 91 % from n = 9 on
(two cores with AVX2, N = 1024 and 2048; ``bench/speed-table.py``). With AVX-512, whose peak is
twice that, 73 to 84 % from n = 15 on, and below n = 9 the image moves at 85 % of a copy's pace.

Compiled for this processor: LLVM code of explicit vectors for the block, kept on disk by kernel
size, and one driver by Numba. Refuses strides and dilation.

An image's gradient is the same with the roles of the operands exchanged. The filters' gradient, few
sums over whole images, has a block and tiles of its own (``_weight_kernel``, ``_weight_tiles``).
It takes strides and dilations, in phases (``toolbox/phases.py``).
"""

from __future__ import annotations

from typing import Any

from convkernels.algorithms.direct import _micro_kernel as micro
from convkernels.algorithms.direct._numba_weights import NumbaWeights
from convkernels.cpu import operands
from convkernels.cpu.tiled import Tiled
from convkernels.problem import DIRECTIONS, Problem
from convkernels.registry import Cost, algorithm
from convkernels.toolbox import bounds

TILE = (32, 256)  # outputs, rounded to blocks


@algorithm(
    name="numba-direct",
    family="direct",
    namespaces=("numpy", "torch"),
    arithmetic="ieee, float32 for 16-bit storage",
    source="register blocking: Van Zee & van de Geijn 2015; sums: Higham 2002, section 4.2",
    directions=DIRECTIONS,
)
class NumbaDirect(Tiled):
    apart = {"grad_weight": NumbaWeights}  # noqa: RUF012
    phases = ("grad_weight",)

    STAGE = "sum"

    @staticmethod
    def cost(problem: Problem) -> Cost:
        (height, width), (kh, kw) = TILE, problem.kernel
        halo = (height + kh - 1) * (width + kw - 1)  # that a tile reads
        workspace = operands.item_bytes(problem) * (halo + height * width)
        traffic = problem.min_bytes * (1 + halo / (height * width)) / 2
        return Cost(problem.flops, traffic, workspace)

    @staticmethod
    def error_bound(problem: Problem) -> float:
        return bounds.summation(problem)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        chosen = self.begin(problem, xp)
        planes = self.planes
        block = (micro.ROWS, micro.width(chosen, planes.dtype))
        tile = micro.rounded(TILE, block, problem.output)
        (height, width), (kh, kw) = tile, problem.kernel
        stride = operands.padded_stride(width + kw - 1, planes.item)
        tiles = micro.tiles(tile, problem.output)
        self.drive(
            ("convkernels.algorithms.direct._tiles", "direct_tiles"),
            [(micro.block_kernel(problem.kernel, planes.dtype, chosen), micro.NAME)],
            (
                (planes.groups, planes.filters, planes.depth),
                *planes.geometry,
                block,
                tile,
                micro.rows_at_once(kw),
                stride,
                planes.item,
            ),
            weights=1,
            tasks=problem.batch * problem.out_channels * tiles,
            buffer=planes.item * ((height + kh - 1) * stride + height * width),
        )

    def load(self, b: Any) -> None:
        import numpy as np

        self.weights = (np.ascontiguousarray(self.planes.filters_of(b).swapaxes(-1, -2)),)
