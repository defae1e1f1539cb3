"""Overlap-save: the image in tiles that are transformed, multiplied and transformed back in cache.

Costs about 5·T²·log2 T² FLOP a tile of T², of which (T − n + 1)² outputs are kept, and moves every
pixel through memory once: what a transform of the whole image pays for its passes over memory is
gone. One vector holds the same pixel of many tiles (``_tile_transform``), two real tiles go as one
complex tile, and the filter's spectrum, made in ``load``, has the order that the transform leaves.

The tile is the one that a cost model finds cheapest; a subclass may set ``side`` to another. A
kernel may have up to half the largest tile, 128 rows or columns. Refuses strides and dilation.

An image's gradient is the same with the roles of the operands exchanged; for the filters' gradient
products of spectra are summed over tiles (``_numba_sums``), and strides and dilations come in
phases (``toolbox/phases.py``).

Overlap-save: Stockham 1966; Oppenheim & Schafer, Discrete-Time Signal Processing, section 8.7.3.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

from convkernels.algorithms.fft import _tile_transform as transform
from convkernels.algorithms.fft import _tiles as tiles
from convkernels.algorithms.fft._numba_sums import NumbaSums
from convkernels.cpu import operands
from convkernels.cpu.tiled import Tiled
from convkernels.problem import DIRECTIONS, Problem, Size
from convkernels.registry import Cost, algorithm
from convkernels.toolbox import bounds
from convkernels.toolbox.scaling import exponent, scaled

LARGEST = max(transform.SIDES) // 2  # rows or columns of a kernel
CACHE = 512 << 10  # bytes of a core's own cache, at least, in the last ten years
KEPT = 5  # words of 8 bytes that the driver needs of a tile
ROW = 300  # FLOP in whose time a row of a tile is fetched or stored
AT_ONCE = 4 << 20  # bytes of filters in the making; more would only leave the cache
LOADED = 150  # bytes that making them moves, in time, likewise
MAKING = 100  # bytes, at most, of a filter in the making, for each pixel of a tile


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
        kept = tiles.kept(problem, side)
        groups = -(-tiles.count(problem, side) // (2 * lanes)) * problem.out_channels
        over = _group_bytes(side, lanes, problem) / CACHE
        pace = 1.0 if over <= 1 else 1.2 if over <= 4 else 1.5
        return -(-groups // workers) * pace * (tile_flops(side, kept) + ROW * (side[0] + kept[0]))

    rows, columns = (
        [side for side in transform.SIDES if side >= lanes and side >= 2 * (size - 1)]
        for size in problem.kernel
    )
    return min(itertools.product(rows, columns), key=seconds)


def _group_bytes(side: Size, lanes: int, problem: Problem) -> float:
    return 2.0 * lanes * operands.item_bytes(problem) * side[0] * (side[1] + 1)


def _places(side: Size, lanes: int, item: int) -> tuple[int, ...]:
    """Bytes from a buffer's beginning to the driver's work, scratch, a row of each tile, a row of
    zeros, and its end; KEPT words of each tile come first."""
    many, step = 2 * lanes, 2 * lanes * item  # tiles; bytes of a complex vector
    work = -(-many * 8 * KEPT // 64) * 64
    scratch = work + side[0] * (side[1] + 1) * step
    edges = scratch + max(side) * step
    zeros = edges + many * side[1] * item
    return work, scratch, edges, zeros, zeros + side[1] * item


@algorithm(
    name="numba-overlap-save",
    family="fft",
    namespaces=("numpy", "torch"),
    arithmetic="ieee, float32 for 16-bit storage",
    source="Stockham 1966; Oppenheim & Schafer, Discrete-Time Signal Processing, section 8.7.3",
    directions=DIRECTIONS,
)
class NumbaOverlapSave(Tiled):
    apart = {"grad_weight": NumbaSums}  # noqa: RUF012
    phases = ("grad_weight",)
    side: Size | None = None  # None for the cheapest tile

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        reason = operands.refuses(problem, device)
        if reason is None and max(problem.kernel) > LARGEST:
            return f"kernels of more than {LARGEST} rows or columns: half the largest tile"
        return reason

    @staticmethod
    def cost(problem: Problem) -> Cost:
        lanes = 32 // operands.item_bytes(problem)
        side = tile_side(problem, lanes, 1)
        kept, count = tiles.kept(problem, side), tiles.count(problem, side)
        depth = problem.in_channels // problem.groups
        overlap = math.prod(side) / math.prod(kept)
        pixels = problem.out_channels * depth * math.prod(side)  # of all filters' tiles
        spectra = 2.0 * operands.item_bytes(problem) * pixels
        making = min(MAKING * pixels, max(AT_ONCE, MAKING * math.prod(side)))
        return Cost(
            count * problem.out_channels * depth * tile_flops(side, kept),
            problem.min_bytes * (1 + overlap) / 2,
            _group_bytes(side, lanes, problem) + spectra + making,
            once_flops=5.0 * pixels * math.log2(math.prod(side)),
            once_bytes=LOADED * pixels,
        )

    @staticmethod
    def error_bound(problem: Problem) -> float:
        side = tile_side(problem, 32 // operands.item_bytes(problem), 1)
        return bounds.fourier(problem, math.prod(side))

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        chosen = self.begin(problem, xp)
        planes, lanes = self.planes, chosen.lanes(self.planes.dtype)
        self.tile = self.side or tile_side(problem, lanes, self.threads or 1)
        self.radices = tuple(transform.radices(side, chosen) for side in self.tile)
        self.factors = tuple(
            transform.twiddles(passes, planes.dtype) for passes in self.radices[::-1]
        )
        rows = transform.row_kernels(self.tile[1], planes.dtype, chosen)
        columns = transform.column_kernel(self.tile[0], planes.dtype, chosen)
        *places, end = _places(self.tile, lanes, planes.item)
        self.drive(
            ("convkernels.algorithms.fft._overlap_save", "overlap_save_tiles"),
            [
                (rows, "forward_rows"),
                (columns, "columns"),
                (rows, "inverse_rows"),
                (rows, "add_row"),
            ],
            (
                (planes.batch, planes.groups, planes.filters, planes.depth),
                *planes.geometry,
                self.tile,
                lanes,
                tuple(places),
                planes.item,
            ),
            weights=3,
            tasks=-(-tiles.count(problem, self.tile) // (2 * lanes)) * problem.out_channels,
            buffer=end,
        )

    def load(self, b: Any) -> None:
        import numpy as np

        w = self.planes.filters_of(b)
        w = w.reshape(-1, *w.shape[-2:])
        # Made in float64, but kept in the dtype of the arithmetic.
        self.power = exponent(w, np) if self.planes.dtype == "float32" else 0
        rows, columns = (transform.order(passes) for passes in self.radices)
        tile = self.tile[::-1]
        spectra = np.empty((len(w), *tile, 2), dtype=self.planes.dtype)
        some = max(1, AT_ONCE // (MAKING * math.prod(tile)))
        for first in range(0, len(w), some):
            part = scaled(w[first : first + some].astype(np.float64), -self.power)
            # A correlation multiplies by the conjugate; no inverse transform divides by T².
            spectrum = np.conj(np.fft.fft2(part, s=self.tile)) / math.prod(tile)
            spectrum = spectrum[..., rows[:, None], columns].swapaxes(-1, -2)
            spectra[first : first + some, ..., 0] = spectrum.real
            spectra[first : first + some, ..., 1] = spectrum.imag
        self.weights = (spectra, *self.factors)

    def run(self, a: Any) -> Any:
        y = super().run(a)
        return scaled(y, self.power) if self.power else y

    def provenance(self) -> dict[str, Any]:
        return {"tile": list(self.tile)}
