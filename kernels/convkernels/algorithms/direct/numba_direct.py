"""The direct sum at the speed of the processor's multiply-adds, on the CPU.

A block of 4 rows by 3 or 4 vectors of outputs stays in registers (``_micro_kernel``), blocks make
up tiles that stay in L2 (``_tiles``), and tiles are shared among threads. What bounds it is
arithmetic: 2·n²·N² FLOP, at some 70 % of the cores' peak for n = 7 and 80 to 91 % from n = 9 on
(two cores with AVX2, N = 1024 and 2048; ``bench/speed-table.py``).

Compiled for this processor: LLVM code of explicit vectors for the block, kept on disk by kernel
size, and one driver by Numba. Refuses strides and dilation.
"""

from __future__ import annotations

from typing import Any

from convkernels.algorithms.direct import _micro_kernel as micro
from convkernels.cpu import instructions, operands, pool
from convkernels.problem import Problem, Size
from convkernels.registry import Cost, Implementation, algorithm
from convkernels.toolbox import bounds
from convkernels.toolbox.stages import stage

TILE = (32, 256)  # outputs, rounded to blocks


@algorithm(
    name="numba-direct",
    family="direct",
    namespaces=("numpy", "torch"),
    arithmetic="ieee, float32 for 16-bit storage",
    source="register blocking: Van Zee & van de Geijn 2015; sums: Higham 2002, section 4.2",
)
class NumbaDirect(Implementation):
    instructions: instructions.Instructions | None = None  # None for this processor's

    @staticmethod
    def missing(namespace: str) -> str | None:
        return operands.missing()

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        return operands.refuses(problem, device, "numba-direct")

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
        from convkernels.algorithms.direct import _tiles
        from convkernels.cpu import calls

        self.problem, self.planes = problem, operands.Planes(problem, xp)
        dtype, item = self.planes.dtype, self.planes.item
        chosen = self.instructions or instructions.here()
        compiled = micro.block_kernel(problem.kernel, dtype, chosen)
        self.block = (micro.ROWS, micro.width(chosen, dtype))
        self.tile = micro.rounded(TILE, self.block, problem.output)
        tiles = -(-problem.output[0] // self.tile[0]) * -(-problem.output[1] // self.tile[1])
        self.threads = pool.worth(problem.flops)
        self.tasks = pool.Tasks(problem.batch * problem.out_channels * tiles, self.threads)
        self.buffers = pool.Buffers(_tiles.buffer_words(problem.kernel, self.tile, item))
        self.run_tiles: Any = _tiles.direct_tiles
        self.kernel = compiled.addresses[micro.NAME]
        self.constants = (
            (self.planes.groups, self.planes.filters, self.planes.depth),
            self.planes.image,
            self.planes.before,
            self.planes.kernel,
            self.planes.output,
            self.block,
            self.tile,
            micro.rows_at_once(self.planes.kernel[1]),
            item,
        )
        with self.buffers.one() as buffer:
            nothing = (self.kernel, 0, 0, 0, *self.constants, buffer, (0, 0))
            self.compile_seconds = compiled.seconds + calls.ready(self.run_tiles, *nothing)

    def load(self, b: Any) -> None:
        import numpy as np

        self.w = np.ascontiguousarray(self.planes.filters_of(b).swapaxes(-1, -2))

    def run(self, a: Any) -> Any:
        x, y = self.planes.images(a), self.planes.outputs()
        memory = (operands.address(x), operands.address(self.w), operands.address(y))

        def work(tasks: Size) -> None:
            with self.buffers.one() as buffer:
                self.run_tiles(self.kernel, *memory, *self.constants, buffer, tasks)

        with stage("sum"):
            self.tasks.share(work)
        return self.planes.result(y)
