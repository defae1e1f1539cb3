"""The direct sum at the speed of the processor's multiply-adds, on the CPU.

A block of 4 rows by 3 or 4 vectors of outputs stays in registers (``_micro_kernel``), blocks make
up tiles that stay in L2 (``_tiles``), and tiles are shared among threads. What bounds it is
arithmetic: 2·n²·N² FLOP at 70 to 97 % of the cores' peak from n = 7 on.

Compiled for this processor: LLVM code of explicit vectors for the block, kept on disk by kernel
size, and one driver by Numba. Refuses strides and dilation.
"""

from __future__ import annotations

from typing import Any

from convkernels.algorithms.direct import _micro_kernel as micro
from convkernels.cpu import instructions, operands, pool
from convkernels.problem import Problem
from convkernels.registry import Cost, Implementation, algorithm
from convkernels.toolbox import bounds, threads
from convkernels.toolbox.stages import stage

TILE = (32, 256)  # outputs, rounded to blocks
GRAIN = 2e6  # FLOP that are worth another thread: some 50 µs
PIECES = 4  # of work that a thread takes: an uneven machine is evened out


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

        self.problem, self.xp = problem, xp
        dtype, chosen = (
            bounds.compute_dtype(problem.dtype),
            self.instructions or instructions.here(),
        )
        self.compiled = micro.block_kernel(problem.kernel, dtype, chosen)
        self.block = (micro.ROWS, micro.width(chosen, dtype))
        height, width = (
            min(-(-out // block), max(1, most // block)) * block
            for out, block, most in zip(problem.output, self.block, TILE, strict=True)
        )
        self.tile = (height, width)
        tiles = -(-problem.output[0] // height) * -(-problem.output[1] // width)
        self.tasks = problem.batch * problem.out_channels * tiles
        self.threads = min(threads.count(), 1 + int(problem.flops / GRAIN))
        self.pieces = 1 if self.threads == 1 else min(self.tasks, PIECES * self.threads)
        item = operands.item_bytes(problem)
        self.buffers = pool.Buffers(_tiles.buffer_words(problem.kernel, self.tile, item))
        self.run_tiles = _tiles.direct_tiles

    def load(self, b: Any) -> None:
        import numpy as np

        w = operands.filters(b, self.problem, self.xp).swapaxes(-1, -2)
        self.w = np.ascontiguousarray(w.reshape(*w.shape[:3], -1))

    def run(self, a: Any) -> Any:
        import numpy as np

        problem = self.problem
        groups, filters = problem.groups, problem.out_channels // problem.groups
        x = operands.images(a, problem, self.xp)
        y = np.empty((len(x), filters, *problem.output), x.dtype)
        arguments: tuple[Any, ...] = (
            self.compiled.addresses[micro.NAME],
            *(x.ctypes.data, self.w.ctypes.data, y.ctypes.data),
            (groups, filters, x.shape[1]),
            x.shape[2:],
            operands.before(problem),
            problem.kernel,
            problem.output,
            self.block,
            self.tile,
            micro.rows_at_once(problem.kernel[1]),
            x.itemsize,
        )

        run_tiles: Any = self.run_tiles

        def work(piece: int) -> None:
            tasks = tuple(self.tasks * (piece + k) // self.pieces for k in (0, 1))
            with self.buffers.one() as buffer:
                run_tiles(*arguments, buffer.ctypes.data, tasks)

        with stage("sum"):
            pool.share(work, self.pieces, self.threads)
        return operands.result(y, problem, self.xp)

    def provenance(self) -> dict[str, Any]:
        return {"threads": self.threads, "compiled_s": self.compiled.seconds}
