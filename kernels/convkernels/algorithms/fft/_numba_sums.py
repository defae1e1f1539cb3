"""The filters' gradient by overlap-save in the cache: products of spectra summed over tiles.

Tiles of the output's gradient that do not overlap, and of x those that they meet, are transformed
in the cache, 8 to 32 of them in one vector's lanes (``_tile_transform``), and the product of their
spectra is added to one spectrum for each pair of channels, which is transformed back once. Two real
tiles go as one complex tile, z = z₁ + i·z₂: of F⁻¹(conj(G)·X) the real part is the sum of the two
correlations. Costs two transforms a tile, forward, where the forward pass has one each way.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

from convkernels.algorithms.fft import _tile_transform as transform
from convkernels.algorithms.fft import _tiles as tiles
from convkernels.cpu import operands
from convkernels.cpu.tiled import Tiled
from convkernels.problem import Problem, Size
from convkernels.registry import Cost
from convkernels.toolbox import bounds, directions, layout

LARGEST = max(transform.SIDES) // 2  # rows or columns of a kernel
CACHE = 512 << 10  # bytes of a core's own cache, at least, in the last ten years
KEPT = 5  # words of 8 bytes that the driver needs of a tile
ROW = 300  # FLOP in whose time a row of a tile is fetched
AT_ONCE = 4 << 20  # bytes of sums that are transformed back at once
PIECES = 4  # tasks a thread, at least, where there are as many groups of tiles


def tile_flops(side: Size, kept: Size) -> float:
    """Of a real tile of x and one of the output's gradient: rows, columns, and the product."""
    rows, columns = side
    row, column = 2.5 * columns * math.log2(columns), 2.5 * rows * math.log2(rows)
    return (rows + kept[0]) * row + columns * (2 * column + 4 * rows)


@functools.cache
def tile_side(problem: Problem, lanes: int) -> Size:
    """(rows, columns) of the tile that costs least, by the model of the forward pass: three groups
    of tiles share the cache, x, the output's gradient and the sums."""

    def seconds(side: Size) -> float:
        kept = tiles.kept(problem, side)
        groups = -(-tiles.count(problem, side) // (2 * lanes))
        over = 3 * _group_bytes(side, lanes, problem) / CACHE
        pace = 1.0 if over <= 1 else 1.2 if over <= 4 else 1.5
        work = groups * pace * (tile_flops(side, kept) + ROW * (side[0] + kept[0]))
        return work + 5.0 * math.prod(side) * math.log2(math.prod(side)) / lanes

    rows, columns = (
        [side for side in transform.SIDES if side >= lanes and side >= 2 * (size - 1)]
        for size in problem.kernel
    )
    return min(itertools.product(rows, columns), key=seconds)


def _group_bytes(side: Size, lanes: int, problem: Problem) -> int:
    return 2 * lanes * operands.item_bytes(problem) * side[0] * (side[1] + 1)


def _places(side: Size, lanes: int, item: int) -> tuple[int, ...]:
    """Bytes from a buffer's beginning to the driver's scratch, a row of each tile, a row of zeros,
    work of x, work of the output's gradient, sums, and its end."""
    many, step = 2 * lanes, 2 * lanes * item  # tiles; bytes of a complex vector
    scratch = -(-many * 8 * KEPT // 64) * 64
    edges = scratch + 2 * max(side) * step
    zeros = edges + many * side[1] * item
    work_x = -(-(zeros + side[1] * item) // 64) * 64
    work_gy = work_x + side[0] * (side[1] + 1) * step
    sums = work_gy + side[0] * (side[1] + 1) * step
    return scratch, edges, zeros, work_x, work_gy, sums, sums + side[0] * side[1] * step


class NumbaSums(Tiled):
    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        reason = operands.refuses(problem, device)
        if reason is None and max(problem.kernel) > LARGEST:
            return f"kernels of more than {LARGEST} rows or columns: half the largest tile"
        return reason

    @staticmethod
    def cost(problem: Problem) -> Cost:
        item = operands.item_bytes(problem)
        lanes = 32 // item
        side = tile_side(problem, lanes)
        kept, count = tiles.kept(problem, side), tiles.count(problem, side)
        pairs = problem.out_channels * problem.in_channels // problem.groups
        overlap = math.prod(side) / math.prod(kept)
        points = math.prod(side)
        return Cost(
            pairs * (count * tile_flops(side, kept) + 5.0 * points * math.log2(points)),
            problem.min_bytes * (1 + overlap) / 2 + 4.0 * item * pairs * points,
            3.0 * _group_bytes(side, lanes, problem) + 2.0 * item * pairs * points + 4 * AT_ONCE,
        )

    @staticmethod
    def error_bound(problem: Problem) -> float:
        side = tile_side(problem, 32 // operands.item_bytes(problem))
        return bounds.fourier(problem, math.prod(side), tiles.count(problem, side))

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, forward = problem, directions.forward_of(problem)
        chosen = self.begin(forward, xp)
        planes, lanes = self.planes, chosen.lanes(self.planes.dtype)
        self.tile = tile_side(problem, lanes)
        self.radices = tuple(transform.radices(side, chosen) for side in self.tile)
        self.factors = tuple(
            transform.twiddles(passes, planes.dtype) for passes in self.radices[::-1]
        )
        rows, columns = transform.sum_kernels(self.tile, planes.dtype, chosen)
        *places, end = _places(self.tile, lanes, planes.item)
        self.pairs = planes.groups * planes.filters * planes.depth
        threads = self.threads or 1
        wanted = 1 if threads == 1 else -(-PIECES * threads // self.pairs)
        self.chunks = min(wanted, -(-tiles.count(problem, self.tile) // (2 * lanes)))
        self.drive(
            ("convkernels.algorithms.fft._overlap_sums", "overlap_save_sums"),
            [(rows, "partial_rows"), (columns, "column_sums"), (columns, "add_lanes")],
            (
                (planes.batch, planes.groups, planes.filters, planes.depth),
                *planes.geometry,
                self.tile,
                lanes,
                tuple(places),
                self.chunks,
                planes.item,
            ),
            weights=3,
            tasks=self.pairs * self.chunks,
            buffer=end,
        )

    def load(self, b: Any) -> None:
        self.weights = (self.planes.images(b), *self.factors)

    def source(self, a: Any) -> Any:
        return operands.contiguous(layout.outputs(a, self.planes.problem, self.planes.xp))

    def target(self) -> Any:
        import numpy as np

        return np.empty((self.pairs, self.chunks, *self.tile[::-1], 2), dtype=self.planes.dtype)

    def finished(self, y: Any) -> Any:
        import numpy as np

        planes, (kh, kw) = self.planes, self.problem.kernel
        rows, columns = (transform.order(passes) for passes in self.radices)
        gw = np.empty((self.pairs, kh, kw), dtype=planes.dtype)
        some = max(1, AT_ONCE // (16 * math.prod(self.tile)))
        for first in range(0, self.pairs, some):
            part = y[first : first + some].astype(np.float64).sum(axis=1)
            found = np.empty((len(part), *self.tile), dtype=np.complex128)
            found[:, rows[:, None], columns] = (part[..., 0] + 1j * part[..., 1]).swapaxes(-1, -2)
            gw[first : first + some] = np.fft.ifft2(found).real[:, :kh, :kw]
        shape = (planes.groups, planes.filters, planes.depth, kh, kw)
        result = planes.xp.asarray(gw.reshape(shape))
        return operands.contiguous(layout.filters_result(result, planes.problem, planes.xp))

    def provenance(self) -> dict[str, Any]:
        return {"tile": list(self.tile)}
