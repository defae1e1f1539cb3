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
from convkernels.cpu import instructions, operands, pool
from convkernels.problem import Problem, Size
from convkernels.registry import Cost, Implementation, algorithm
from convkernels.toolbox import rank
from convkernels.toolbox.stages import stage

TILE = (64, 256)  # outputs, rounded to blocks


@algorithm(
    name="numba-separable",
    family="separable",
    namespaces=("numpy", "torch"),
    arithmetic="ieee, float32 for 16-bit storage",
    source="two passes: Treitel & Shanks 1971; register blocking: Van Zee & van de Geijn 2015",
)
class NumbaSeparable(Implementation):
    instructions: instructions.Instructions | None = None  # None for this processor's

    @staticmethod
    def missing(namespace: str) -> str | None:
        return operands.missing()

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        return operands.refuses(problem, device, "numba-separable")

    @staticmethod
    def cost(problem: Problem) -> Cost:
        (height, width), (kh, kw) = TILE, problem.kernel
        halo = (height + kh - 1) * (width + kw - 1)  # that a tile reads
        workspace = operands.item_bytes(problem) * (2.0 * halo + height * width)
        traffic = problem.min_bytes * (1 + halo / (height * width)) / 2
        return Cost(rank.flops(problem), traffic, workspace)

    @staticmethod
    def error_bound(problem: Problem) -> float:
        return rank.error_bound(problem)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        from convkernels.algorithms.separable import _two_passes as driver
        from convkernels.cpu import calls

        self.problem, self.planes = problem, operands.Planes(problem, xp)
        dtype, item = self.planes.dtype, self.planes.item
        chosen = self.instructions or instructions.here()
        kh, kw = problem.kernel
        compiled = [micro.block_kernel(size, dtype, chosen) for size in ((1, kw), (kh, 1))]
        self.block = (micro.ROWS, micro.width(chosen, dtype))
        self.tile = micro.rounded(TILE, self.block, problem.output)
        tiles = -(-problem.output[0] // self.tile[0]) * -(-problem.output[1] // self.tile[1])
        self.threads = pool.worth(self.cost(problem).flops)
        self.tasks = pool.Tasks(problem.batch * problem.out_channels * tiles, self.threads)
        words = driver.buffer_words(problem.kernel, self.tile, self.block, item)
        self.buffers = pool.Buffers(words)
        self.run_tiles: Any = driver.separable_tiles
        self.kernels = tuple(code.addresses[micro.NAME] for code in compiled)
        self.constants = (
            (self.planes.groups, self.planes.filters, self.planes.depth),
            self.planes.image,
            self.planes.before,
            self.planes.kernel,
            self.planes.output,
            self.block,
            self.tile,
            micro.rows_at_once(1),
            item,
        )
        with self.buffers.one() as buffer:
            nothing = (self.kernels, 0, (0, 0), 0, *self.constants, buffer, (0, 0))
            self.compile_seconds = calls.ready(self.run_tiles, *nothing)
        self.compile_seconds += sum(code.seconds for code in compiled)

    def load(self, b: Any) -> None:
        import numpy as np

        w = self.planes.filters_of(b)
        self.columns, self.rows = (
            np.ascontiguousarray(factor, dtype=self.planes.dtype)
            for factor in rank.factors(w, self.problem.dtype)
        )

    def run(self, a: Any) -> Any:
        x, y = self.planes.images(a), self.planes.outputs()
        factors = (operands.address(self.rows), operands.address(self.columns))
        memory = (operands.address(x), factors, operands.address(y))

        def work(tasks: Size) -> None:
            with self.buffers.one() as buffer:
                self.run_tiles(self.kernels, *memory, *self.constants, buffer, tasks)

        with stage("two passes"):
            self.tasks.share(work)
        return self.planes.result(y)
