"""Tiles of images: which are worked on at once, and how they are gathered."""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple

from convkernels.problem import Problem, Size
from convkernels.toolbox import layout

Array = Any


class Block(NamedTuple):
    """Tiles that are worked on at once: rows and columns of tiles, images of the batch."""

    rows: range
    columns: range
    images: range

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.rows), len(self.columns), len(self.images)


def kept(problem: Problem, side: Size) -> Size:
    """(rows, columns) of outputs of a tile of so many rows and columns, by overlap-save."""
    (rows, columns), (kh, kw) = side, problem.kernel
    return (rows - kh + 1, columns - kw + 1)


def count(problem: Problem, side: Size) -> int:
    """Tiles of all images of the batch, for one filter."""
    steps = zip(problem.output, kept(problem, side), strict=True)
    return problem.batch * math.prod(-(-outputs // step) for outputs, step in steps)


def runs(count: int, most: int) -> list[range]:
    """So many things in runs of one length, at most so long; the last may be shorter."""
    length = -(-count // -(-count // max(1, most)))
    return [range(first, min(count, first + length)) for first in range(0, count, length)]


def gathered(x: Array, block: Block, corner: Size, size: Size, step: Size, xp: Any) -> Array:
    """(B, G, C, H, W) → (tiles, G, C, height, width), in the order of the block's shape, zero
    outside the image; a view where one row of tiles of one plane can be one.

    Parameters
    ----------
    corner : where the first of all tiles begins
    step : from a tile to the next, at least 1
    """
    rows, columns = len(block.rows), len(block.columns)
    strip = layout.window(
        x[block.images.start : block.images.stop, ...],
        (corner[0] + block.rows.start * step[0], corner[1] + block.columns.start * step[1]),
        ((rows - 1) * step[0] + size[0], (columns - 1) * step[1] + size[1]),
        xp,
    )
    tiles = overlapping(strip, (rows, columns), size, step, xp)
    tiles = xp.permute_dims(tiles, (3, 4, 0, 1, 2, 5, 6))
    return xp.reshape(tiles, (rows * columns * tiles.shape[2], *tiles.shape[3:]))


def overlapping(x: Array, count: Size, size: Size, step: Size, xp: Any) -> Array:
    """(…, H, W) → (…, rows, columns, height, width): so many tiles of one size, a step apart.

    A view of x where the library has such views, else a copy.
    """
    namespace = xp.__name__.rpartition(".")[2]
    if namespace == "torch":
        return x.unfold(-2, size[0], step[0]).unfold(-2, size[1], step[1])
    if namespace in ("numpy", "cupy"):
        *lead, down, across = x.strides
        return sys.modules[namespace].lib.stride_tricks.as_strided(
            x,
            (*x.shape[:-2], *count, *size),
            (*lead, down * step[0], across * step[1], down, across),
        )
    tiles = [
        x[..., top : top + size[0], left : left + size[1]]
        for top in range(0, count[0] * step[0], step[0])
        for left in range(0, count[1] * step[1], step[1])
    ]
    return xp.reshape(xp.stack(tiles, axis=-3), (*x.shape[:-2], *count, *size))
