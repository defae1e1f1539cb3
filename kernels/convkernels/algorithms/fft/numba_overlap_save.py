"""Overlap-save: the image in tiles that are transformed, multiplied and transformed back in cache.

Costs about 5·T²·log2 T² FLOP a tile of T², of which (T − n + 1)² outputs are kept, and moves every
pixel through memory once: what a transform of the whole image pays for its passes over memory is
gone. One vector holds the same pixel of many tiles (``_tile_transform``), two real tiles go as one
complex tile, and the filter's spectrum, made in ``load``, has the order that the transform leaves.

The tile is the one that a cost model finds cheapest; a subclass may set ``side`` to another. A
kernel may have up to half the largest tile, 128 rows or columns. Refuses strides and dilation.

Overlap-save: Stockham 1966; Oppenheim & Schafer, Discrete-Time Signal Processing, section 8.7.3.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

from convkernels.algorithms.fft import _tile_transform as transform
from convkernels.cpu import instructions, operands, pool
from convkernels.problem import Problem, Size
from convkernels.registry import Cost, Implementation, algorithm
from convkernels.toolbox import bounds, threads
from convkernels.toolbox.stages import stage

LARGEST = max(transform.SIDES) // 2  # rows or columns of a kernel
CACHE = 512 << 10  # bytes of a core's own cache, at least, in the last ten years
GRAIN = 2e6  # FLOP that are worth another thread: some 50 µs


def tile_flops(side: Size, kept: Size) -> float:
    """Of a real tile: rows forward, columns both ways and the product, the kept rows back."""
    rows, columns = side
    row, column = 2.5 * columns * math.log2(columns), 2.5 * rows * math.log2(rows)
    return (rows + kept[0]) * row + columns * (2 * column + 3 * rows)


@functools.cache
def tile_side(problem: Problem, lanes: int, workers: int) -> Size:
    """(rows, columns) of the tile that costs least.

    Work is done in groups of 2·lanes tiles, a group to a thread; a group that overflows the cache
    goes at two thirds of the pace.
    """

    def seconds(side: Size) -> float:
        kept = _kept(problem, side)
        tiles = problem.batch * math.prod(
            -(-out // keep) for out, keep in zip(problem.output, kept, strict=True)
        )
        groups = -(-tiles // (2 * lanes)) * problem.out_channels
        pace = 1.0 if _group_bytes(side, lanes, problem) <= CACHE else 1.5
        return -(-groups // workers) * pace * tile_flops(side, kept)

    rows, columns = (
        [side for side in transform.SIDES if side >= lanes and side >= 2 * (size - 1)]
        for size in problem.kernel
    )
    return min(itertools.product(rows, columns), key=seconds)


def _kept(problem: Problem, side: Size) -> Size:
    """Outputs of a tile."""
    (rows, columns), (kh, kw) = side, problem.kernel
    return (rows - kh + 1, columns - kw + 1)


def _group_bytes(side: Size, lanes: int, problem: Problem) -> float:
    return 2.0 * lanes * operands.item_bytes(problem) * side[0] * (side[1] + 1)


@algorithm(
    name="numba-overlap-save",
    family="fft",
    namespaces=("numpy", "torch"),
    arithmetic="ieee, float32 for 16-bit storage",
    source="Stockham 1966; Oppenheim & Schafer, Discrete-Time Signal Processing, section 8.7.3",
)
class NumbaOverlapSave(Implementation):
    instructions: instructions.Instructions | None = None  # None for this processor's
    side: Size | None = None  # None for the cheapest tile

    @staticmethod
    def missing(namespace: str) -> str | None:
        return operands.missing()

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        reason = operands.refuses(problem, device, "numba-overlap-save")
        if reason is None and max(problem.kernel) > LARGEST:
            return f"kernels of more than {LARGEST} rows or columns: half the largest tile"
        return reason

    @staticmethod
    def cost(problem: Problem) -> Cost:
        lanes = 32 // operands.item_bytes(problem)
        side = tile_side(problem, lanes, 1)
        kept = _kept(problem, side)
        tiles = problem.batch * math.prod(
            -(-out // keep) for out, keep in zip(problem.output, kept, strict=True)
        )
        depth = problem.in_channels // problem.groups
        overlap = math.prod(side) / math.prod(kept)
        return Cost(
            tiles * problem.out_channels * depth * tile_flops(side, kept),
            problem.min_bytes * (1 + overlap) / 2,
            _group_bytes(side, lanes, problem),
        )

    @staticmethod
    def error_bound(problem: Problem) -> float:
        side = tile_side(problem, 32 // operands.item_bytes(problem), 1)
        return bounds.fourier(problem, math.prod(side))

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        from convkernels.algorithms.fft import _overlap_save as driver

        self.problem, self.xp = problem, xp
        self.dtype, chosen = bounds.compute_dtype(problem.dtype), instructions.here()
        chosen = self.instructions or chosen
        self.lanes = chosen.lanes(self.dtype)
        flops = self.cost(problem).flops
        self.threads = min(threads.count(), 1 + int(flops / GRAIN))
        self.tile = self.side or tile_side(problem, self.lanes, self.threads)
        self.radices = tuple(transform.radices(side, chosen) for side in self.tile)
        rows = transform.row_kernels(self.tile[1], self.dtype, chosen)
        columns = transform.column_kernel(self.tile[0], self.dtype, chosen)
        self.compiled = (rows, columns)
        self.kernels = (
            rows.addresses["forward_rows"],
            columns.addresses["columns"],
            rows.addresses["inverse_rows"],
            rows.addresses["add_row"],
        )
        self.factors = tuple(transform.twiddles(r, self.dtype) for r in self.radices[::-1])
        tiles = problem.batch * math.prod(
            -(-out // keep)
            for out, keep in zip(problem.output, _kept(problem, self.tile), strict=True)
        )
        self.tasks = -(-tiles // (2 * self.lanes)) * problem.out_channels
        item = operands.item_bytes(problem)
        self.buffers = pool.Buffers(driver.buffer_words(self.tile, self.lanes, item))
        self.run_tiles = driver.overlap_save_tiles

    def load(self, b: Any) -> None:
        import numpy as np

        w = operands.filters(b, self.problem, self.xp)
        # A correlation multiplies by the conjugate; no inverse transform divides by T².
        spectrum = np.conj(np.fft.fft2(w.astype(np.float64), s=self.tile)) / math.prod(self.tile)
        rows, columns = (transform.order(radices) for radices in self.radices)
        spectrum = spectrum[..., rows[:, None], columns].swapaxes(-1, -2)
        spectrum = np.stack([spectrum.real, spectrum.imag], -1)
        self.spectrum = np.ascontiguousarray(spectrum, dtype=self.dtype)  # stack keeps strides

    def run(self, a: Any) -> Any:
        import numpy as np

        problem = self.problem
        filters = problem.out_channels // problem.groups
        x = operands.images(a, problem, self.xp)
        y = np.empty((len(x), filters, *problem.output), x.dtype)
        arguments: tuple[Any, ...] = (
            self.kernels,
            *(x.ctypes.data, self.spectrum.ctypes.data, y.ctypes.data),
            tuple(table.ctypes.data for table in self.factors),
            (problem.batch, problem.groups, filters, x.shape[1]),
            x.shape[2:],
            operands.before(problem),
            problem.kernel,
            problem.output,
            self.tile,
            self.lanes,
            x.itemsize,
        )

        run_tiles: Any = self.run_tiles

        def work(task: int) -> None:
            with self.buffers.one() as buffer:
                run_tiles(*arguments, buffer, (task, task + 1))

        with stage("tiles"):
            pool.share(work, self.tasks, self.threads)
        return operands.result(y, problem, self.xp)

    def provenance(self) -> dict[str, Any]:
        seconds = sum(compiled.seconds for compiled in self.compiled)
        return {"tile": list(self.tile), "threads": self.threads, "compiled_s": seconds}
