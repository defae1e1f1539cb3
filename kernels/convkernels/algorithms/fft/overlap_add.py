"""Overlap-add on the array API: blocks that do not overlap, and results that do, by n − 1.

An image is the sum of its blocks, and convolution linear: each block of S×S is convolved by ``fft``
at T = S + n − 1, which is its full result, and the results are added where they belong. Costs what
``overlap-save`` does, and the additions; its transforms have zeros in their input where those have
useless numbers in their output.

The tile, T×T, is the cheapest by ``_tiling``'s model. Another, in a file of one's own
(``--algorithms``), is three lines and the imports:

    @algorithm(name="mine", family="fft", namespaces=("torch",), arithmetic="ieee", source="me")
    class Mine(OverlapAdd):
        tile = (64, 64)

Stockham 1966, High-speed convolution and correlation; Helms 1967, Fast Fourier
transform method of computing difference equations and simulating filters; Oppenheim & Schafer,
Discrete-Time Signal Processing, section 8.7.3.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from convkernels.algorithms.fft._tile_sums import Cut, Side
from convkernels.algorithms.fft._tiles import Block
from convkernels.algorithms.fft._tiling import Array, Axis, TiledFFT
from convkernels.namespaces import NAMES
from convkernels.problem import DIRECTIONS, Problem, Size
from convkernels.registry import algorithm
from convkernels.toolbox import layout


@algorithm(
    name="overlap-add",
    family="fft",
    namespaces=NAMES,
    arithmetic="ieee, float32 for 16-bit storage",
    source="Stockham 1966; Helms 1967; Oppenheim & Schafer, section 8.7.3",
    directions=DIRECTIONS,
)
class OverlapAdd(TiledFFT):
    @staticmethod
    def least(extent: int) -> int:
        return max(1, 2 * (extent - 1))  # a result reaches into the next block's, and no further

    @staticmethod
    def cut(problem: Problem, axis: int, side: int) -> Axis:
        overlap = problem.extent[axis] - 1
        block = side - overlap
        return Axis(block, (overlap, overlap), block, -(-problem.image[axis] // block))

    @staticmethod
    def side(problem: Problem, axis: int, size: int, step: int) -> Side:
        overlap = problem.extent[axis] - 1
        met = Cut(problem.pads[axis][0] - overlap, size + overlap, step)
        return Side(Cut(0, size, step), met, overlap, size + overlap)

    @staticmethod
    def uncut(problem: Problem) -> Problem:
        """Of every output: strides are taken of the sum."""
        return dataclasses.replace(TiledFFT.uncut(problem), stride=(1, 1))

    def origin(self) -> Size:
        return (0, 0)

    def canvas(self, x: Array) -> Array:
        shape = (*x.shape[:2], self.problem.out_channels // self.problem.groups)
        return self.xp.zeros((*shape, *self.cuts.whole.output), dtype=x.dtype, device=x.device)

    def scatter(self, parts: Array, block: Block, y: Array) -> None:
        *lead, rows, height, columns, width = parts.shape
        (step, across), (top, left) = self.cuts.step, self.cuts.before
        heights, widths = _pieces(step, height), _pieces(across, width)
        grid = (rows + len(heights) - 1, heights[0].stop, columns + len(widths) - 1, widths[0].stop)
        joined = self.xp.zeros((*lead, *grid), dtype=parts.dtype, device=parts.device)
        for below, tall in enumerate(heights):
            for right, wide in enumerate(widths):
                place = joined[
                    ...,
                    below : below + rows,
                    : tall.stop - tall.start,
                    right : right + columns,
                    : wide.stop - wide.start,
                ]
                place += parts[..., tall, :, wide]  # in the memory of what is joined
        joined = self.xp.reshape(joined, (*lead, grid[0] * grid[1], grid[2] * grid[3]))
        corner = (block.rows.start * step - top, block.columns.start * across - left)
        _add(y[block.images.start : block.images.stop, ...], joined, corner)

    def finished(self, y: Array) -> Any:
        problem, xp = self.problem, self.xp
        down, across = problem.stride
        y = xp.astype(
            y[..., ::down, ::across], getattr(xp, problem.dtype), copy=problem.stride != (1, 1)
        )
        return layout.result(y, problem, xp)


def _pieces(step: int, length: int) -> list[slice]:
    """Of a tile's result: what lies in its own block, and what reaches into the next."""
    return [slice(0, step), slice(step, length)] if step else [slice(0, length)]


def _add(y: Array, part: Array, corner: Size) -> None:
    """Add at a corner of y, which may lie outside, what is inside."""
    places, parts = [], []
    for start, length, extent in zip(corner, part.shape[-2:], y.shape[-2:], strict=True):
        first, last = max(0, start), min(extent, start + length)
        if last <= first:
            return
        places.append(slice(first, last))
        parts.append(slice(first - start, last - start))
    place = y[..., places[0], places[1]]
    place += part[..., parts[0], parts[1]]  # in y's memory
