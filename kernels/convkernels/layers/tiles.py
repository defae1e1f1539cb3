"""How a layer is cut into tiles, and where its operands stand in a tile's transform.

All three passes are sums of gy[o] · x[h] · w[r] over the same triples, those with

    position of x[h] = position of y[o] + position of w[r]

so that one set of positions serves them all. With transforms of M points that equation is meant
modulo M, and M need only be so large that no other triple satisfies it; padding, stride and
dilation are nothing but positions. Zeros are never stored, and never multiplied.

An axis is one tile, or is cut into tiles of T outputs and the (T − 1)·stride + extent rows of the
image under them: overlap-save forward, overlap-add backward, with the same spectra (for batches of
images in networks: Highlander & Rodriguez 2015, arXiv 1601.06815). Which is the least work is
counted:

    8 FLOP a channel product and frequency; the transforms' matrix products; BYTE a byte of spectra
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math

from convkernels.problem import ITEMSIZE, Problem, Size

BYTE = 12.0  # FLOP in whose time a byte of a spectrum is written and read again
MOST_CUTS = 24  # numbers of tiles of an axis that are looked at


@dataclasses.dataclass(frozen=True)
class Axis:
    """One axis of a layer in tiles of one length.

    Attributes
    ----------
    points : of a tile's transform
    tiles : how many
    step : rows of the grown image from a tile to the next
    pads : zeros by which the image grows before it is cut; below 0 where it is cropped
    x, w, y : positions of a tile's rows of the image, of the filter and of the output
    """

    points: int
    tiles: int
    step: int
    pads: Size
    x: tuple[int, ...]
    w: tuple[int, ...]
    y: tuple[int, ...]


def axis(problem: Problem, which: int, tiles: int) -> Axis:
    """One axis (0: rows, 1: columns) in so many tiles, or fewer where fewer of that length do."""
    size, extent = problem.image[which], problem.extent[which]
    before, _ = problem.pads[which]
    outputs, stride = problem.output[which], problem.stride[which]
    w = [element * problem.dilation[which] for element in range(problem.kernel[which])]
    if problem.op == "convolution":
        w = [extent - 1 - place for place in w]
    if tiles == 1:
        y = [row * stride - before for row in range(outputs)]
        # The largest and the least x − y − w; a multiple of the points between them, but for 0,
        # would be a triple that is none.
        points = max(size + before, (outputs - 1) * stride + extent - before)
        points = size if problem.boundary == "circular" else points
        return Axis(points, 1, 1, (0, 0), tuple(range(size)), tuple(w), tuple(y))
    length = -(-outputs // tiles)
    tiles = -(-outputs // length)
    points = (length - 1) * stride + extent
    step = length * stride
    after = (tiles - 1) * step + points - size - before
    y = [row * stride for row in range(length)]
    return Axis(points, tiles, step, (before, after), tuple(range(points)), tuple(w), tuple(y))


@dataclasses.dataclass(frozen=True)
class Tiling:
    """Both axes of a layer in tiles.

    Attributes
    ----------
    problem : the layer's, with its direction left out of account
    """

    problem: Problem
    rows: Axis
    columns: Axis

    @property
    def frequencies(self) -> int:
        """That are kept of a tile: the others are their conjugates."""
        return self.rows.points * self.half

    @property
    def half(self) -> int:
        """Frequencies that are kept of a row of a tile."""
        return self.columns.points // 2 + 1

    @property
    def images(self) -> int:
        """Tiles of all images of the batch."""
        return self.problem.batch * self.rows.tiles * self.columns.tiles

    @property
    def planes(self) -> dict[str, int]:
        """Transforms of each operand: "x", "w", "y"."""
        problem = self.problem
        filters = problem.out_channels * problem.in_channels // problem.groups
        return {
            "x": self.images * problem.in_channels,
            "w": filters,
            "y": self.images * problem.out_channels,
        }

    def spectrum_bytes(self, operand: str) -> int:
        """Of the spectrum of an operand, "x", "w" or "y": two numbers a frequency and plane."""
        item = max(4, ITEMSIZE[self.problem.dtype])
        return 2 * item * self.frequencies * self.planes[operand]

    def passing_bytes(self, operand: str) -> int:
        """Of what a transform of an operand holds beside its spectrum: rows that are transformed
        along themselves alone, and the operand's own numbers in the order of tiles, real and as
        complex ones."""
        item = max(4, ITEMSIZE[self.problem.dtype])
        rows, columns = (len(getattr(one, operand)) for one in (self.rows, self.columns))
        return item * rows * (2 * self.half + 3 * columns) * self.planes[operand]

    def transform_flops(self, operand: str) -> float:
        """Of the transform of an operand, there or back."""
        rows, columns = (len(getattr(one, operand)) for one in (self.rows, self.columns))
        along = 8.0 * self.half * columns * rows
        down = 8.0 * self.rows.points * rows * self.half
        return (along + down) * self.planes[operand]

    @property
    def product_flops(self) -> float:
        """Of the sum over channels of one pass: 8 a complex multiply and add."""
        problem = self.problem
        pairs = problem.in_channels // problem.groups * problem.out_channels
        return 8.0 * self.frequencies * self.images * pairs

    @property
    def step_flops(self) -> float:
        """Of all three passes with each operand and each result transformed once."""
        return 3 * self.product_flops + 2 * sum(map(self.transform_flops, "xwy"))

    @property
    def kept_bytes(self) -> int:
        """Of the spectra that a step shares: of x, w and gy."""
        return sum(map(self.spectrum_bytes, "xwy"))

    @property
    def step_bytes(self) -> int:
        """That a step holds at once, at most, beside its operands and results: the spectra that
        it shares, that of one result, and what one transform passes through."""
        return self.kept_bytes + max(map(self.spectrum_bytes, "xwy")) + self.most_passing_bytes

    @property
    def most_passing_bytes(self) -> int:
        return max(map(self.passing_bytes, "xwy"))


def cuts(problem: Problem, which: int) -> list[Axis]:
    """What an axis may be cut into, the fewest tiles first."""
    if problem.boundary == "circular":
        return [axis(problem, which, 1)]
    outputs = problem.output[which]
    lengths = sorted({-(-outputs // tiles) for tiles in range(2, outputs + 1)}, reverse=True)
    counts = [-(-outputs // length) for length in lengths[:MOST_CUTS]]
    return [axis(problem, which, tiles) for tiles in (1, *counts)]


@functools.lru_cache(1024)
def cheapest(problem: Problem, memory: float = math.inf) -> Tiling:
    """The tiling of the least work of a step, of those whose step holds no more bytes than this;
    that which holds the least bytes where none does."""
    rows, columns = cuts(problem, 0), cuts(problem, 1)
    found = [Tiling(problem, *pair) for pair in itertools.product(rows, columns)]
    fitting = [tiling for tiling in found if tiling.step_bytes <= memory]
    if not fitting:
        return min(found, key=lambda tiling: tiling.step_bytes)
    return min(fitting, key=lambda tiling: tiling.step_flops + 2 * BYTE * tiling.kept_bytes)
