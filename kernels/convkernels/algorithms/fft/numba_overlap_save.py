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
from convkernels.toolbox import bounds
from convkernels.toolbox.stages import stage

LARGEST = max(transform.SIDES) // 2  # rows or columns of a kernel
CACHE = 512 << 10  # bytes of a core's own cache, at least, in the last ten years
ROW = 300  # FLOP in whose time a row of a tile is fetched or stored


def tile_flops(side: Size, kept: Size) -> float:
    """Of a real tile: rows forward, columns both ways and the product, the kept rows back."""
    rows, columns = side
    row, column = 2.5 * columns * math.log2(columns), 2.5 * rows * math.log2(rows)
    return (rows + kept[0]) * row + columns * (2 * column + 3 * rows)


@functools.cache
def tile_side(problem: Problem, lanes: int, workers: int) -> Size:
    """(rows, columns) of the tile that costs least.

    Work is done in groups of 2·lanes tiles, a group to a thread. ROW and the pace at which a group
    goes that overflows the cache were fitted to times of all tiles, of N = 64 to 2048.
    """

    def seconds(side: Size) -> float:
        kept = _kept(problem, side)
        groups = -(-_tiles(problem, side) // (2 * lanes)) * problem.out_channels
        over = _group_bytes(side, lanes, problem) / CACHE
        pace = 1.0 if over <= 1 else 1.2 if over <= 4 else 1.5
        return -(-groups // workers) * pace * (tile_flops(side, kept) + ROW * (side[0] + kept[0]))

    rows, columns = (
        [side for side in transform.SIDES if side >= lanes and side >= 2 * (size - 1)]
        for size in problem.kernel
    )
    return min(itertools.product(rows, columns), key=seconds)


def _kept(problem: Problem, side: Size) -> Size:
    """Outputs of a tile."""
    (rows, columns), (kh, kw) = side, problem.kernel
    return (rows - kh + 1, columns - kw + 1)


def _tiles(problem: Problem, side: Size) -> int:
    """Of all images, for one filter."""
    kept = _kept(problem, side)
    down, across = (-(-out // keep) for out, keep in zip(problem.output, kept, strict=True))
    return problem.batch * down * across


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
        kept, tiles = _kept(problem, side), _tiles(problem, side)
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
        from convkernels.cpu import calls

        self.problem, self.planes = problem, operands.Planes(problem, xp)
        dtype, item = self.planes.dtype, self.planes.item
        chosen = self.instructions or instructions.here()
        lanes = chosen.lanes(dtype)
        self.threads = pool.worth(self.cost(problem).flops)
        self.tile = self.side or tile_side(problem, lanes, self.threads)
        self.radices = tuple(transform.radices(side, chosen) for side in self.tile)
        rows = transform.row_kernels(self.tile[1], dtype, chosen)
        columns = transform.column_kernel(self.tile[0], dtype, chosen)
        self.kernels = (
            rows.addresses["forward_rows"],
            columns.addresses["columns"],
            rows.addresses["inverse_rows"],
            rows.addresses["add_row"],
        )
        self.factors = tuple(transform.twiddles(passes, dtype) for passes in self.radices[::-1])
        groups = -(-_tiles(problem, self.tile) // (2 * lanes))
        self.tasks = pool.Tasks(groups * problem.out_channels, self.threads)
        self.buffers = pool.Buffers(driver.buffer_words(self.tile, lanes, item))
        self.run_tiles: Any = driver.overlap_save_tiles
        self.constants = (
            tuple(operands.address(table) for table in self.factors),
            (self.planes.batch, self.planes.groups, self.planes.filters, self.planes.depth),
            self.planes.image,
            self.planes.before,
            self.planes.kernel,
            self.planes.output,
            self.tile,
            lanes,
            item,
        )
        with self.buffers.one() as buffer:
            nothing = (self.kernels, 0, 0, 0, *self.constants, buffer, (0, 0))
            self.compile_seconds = calls.ready(self.run_tiles, *nothing)
        self.compile_seconds += rows.seconds + columns.seconds

    def load(self, b: Any) -> None:
        import numpy as np

        w = self.planes.filters_of(b).astype(np.float64)
        # A correlation multiplies by the conjugate; no inverse transform divides by T².
        spectrum = np.conj(np.fft.fft2(w, s=self.tile)) / math.prod(self.tile)
        rows, columns = (transform.order(passes) for passes in self.radices)
        spectrum = spectrum[..., rows[:, None], columns].swapaxes(-1, -2)
        both = np.stack([spectrum.real, spectrum.imag], -1)  # which keeps their strides
        self.spectrum = np.ascontiguousarray(both, dtype=self.planes.dtype)

    def run(self, a: Any) -> Any:
        x, y = self.planes.images(a), self.planes.outputs()
        memory = (operands.address(x), operands.address(self.spectrum), operands.address(y))

        def work(tasks: Size) -> None:
            with self.buffers.one() as buffer:
                self.run_tiles(self.kernels, *memory, *self.constants, buffer, tasks)

        with stage("tiles"):
            self.tasks.share(work)
        return self.planes.result(y)

    def provenance(self) -> dict[str, Any]:
        return {"tile": list(self.tile)}
