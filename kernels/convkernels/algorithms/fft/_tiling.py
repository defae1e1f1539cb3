"""What ``overlap-save`` and ``overlap-add`` share: which tiles, and the way over them.

Tiles are a batch of small images, which ``fft`` convolves. An axis that is one tile is padded as
``fft`` pads it; where both are, this is ``fft``. A circular image is first grown by what it wraps
round. So many tiles are worked on at once as stay in a CPU's cache, or on a GPU, which wants many,
in a bounded part of its memory: some of a row of tiles, some rows, or some images.

The filters' gradient is summed over the same tiles (``_tile_sums``); an image's gradient is the
forward problem with the roles exchanged, which has tiles of its own.

The tile, chosen for each axis among SIDES and the whole, is the one of the least work:

    tiles · [ points · ( images · pace · (5·log2 points + PASSES) / 2 + 4 · pairs ) + TILE ]

and SPECTRUM · points · pairs for the filters' spectra, read once for all tiles that are worked on
at once; ``images`` being C + K and ``pairs`` K·C/groups. ``pace`` is what a pass over a tile takes
that is larger than SMALL: longer by 1/SLOWER with each doubling. These constants were fitted to
times of N = 256 to 2048 and n = 3 to 63 on NumPy and on torch, on one core with 1 MiB of L2.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from typing import Any, ClassVar, NamedTuple

from convkernels import exchanged
from convkernels.algorithms.fft import _tile_sums as tile_sums
from convkernels.algorithms.fft._tiles import Block, gathered, runs
from convkernels.algorithms.fft.fft import FFT, least_size, padded_size, unwrapped
from convkernels.problem import ITEMSIZE, Problem, Size
from convkernels.registry import Cost, Implementation, workspace_bytes
from convkernels.toolbox import bounds, directions, layout
from convkernels.toolbox.stages import stage

Array = Any

# Lengths with many factors of two, at which MKL is up to twice as fast as at others.
SIDES = (16, 32, 48, 64, 80, 96, 128, 160, 192, 240, 256, 288, 320, 384, 480, 512, 640, 768, 1024)
PASSES = 40.0  # FLOP in whose time a number is gathered, multiplied and put back
TILE = 1e5  # FLOP in whose time one more tile is handled
SPECTRUM = 40.0  # FLOP in whose time a number of a filter's spectrum is read from memory
SMALL, SLOWER = 64 << 10, 12  # bytes; doublings that make a pass take twice as long
CACHE = 8 << 20  # bytes that a CPU works on at once
CARD = 256 << 20  # that a GPU does


class Axis(NamedTuple):
    """An image cut along one axis: its size in a tile, the zeros that the tile's own problem has
    before and after it, its step from a tile to the next (0 where it is not cut), and the tiles."""

    size: int
    pads: Size
    step: int
    tiles: int


@dataclasses.dataclass(frozen=True)
class Tiling:
    """A problem with a boundary of zeros, and the problem of each of its tiles.

    Attributes
    ----------
    step : (rows, columns) of the image from a tile to the next; 0 where an axis is one tile
    tiles : (down, across)
    """

    whole: Problem
    part: Problem
    step: Size
    tiles: Size

    @property
    def points(self) -> int:
        """Of a tile's transform, with the padding of an axis that is one tile."""
        return math.prod(padded_size(self.part, "numpy"))

    @property
    def before(self) -> Size:
        """How many more zeros the first tile has above and on the left than the whole image."""
        whole, part = self.whole.pads, self.part.pads
        return part[0][0] - whole[0][0], part[1][0] - whole[1][0]

    def blocks(self, limit: float) -> list[Block]:
        """All tiles, so many at once as have images and spectra of about this many bytes, or of
        as many as the filters' spectra, which are read for each block."""
        part, points = self.part, self.points
        filters = part.in_channels * part.out_channels // part.groups * points
        of_tile = 2.0 * (part.in_channels + part.out_channels) * points
        limit = max(limit, workspace_bytes(part, filters))
        most = int(limit / workspace_bytes(part, of_tile))
        columns = runs(self.tiles[1], most)
        rows = runs(self.tiles[0], most // len(columns[0]))
        images = runs(self.whole.batch, most // (len(columns[0]) * len(rows[0])))
        return [Block(row, column, image) for image in images for row in rows for column in columns]


class TiledFFT(Implementation):
    """Gives all but what a tile is, where it comes from, and where its result goes."""

    native = ("forward", "grad_weight")
    tile: ClassVar[Size | None] = None  # (rows, columns) of a transform; None for the cheapest

    @staticmethod
    def least(extent: int) -> int:
        """Points of a tile along an axis, at least, for a kernel of this extent."""
        raise NotImplementedError

    @staticmethod
    def cut(problem: Problem, axis: int, side: int) -> Axis:
        """An axis in tiles of so many points."""
        raise NotImplementedError

    @staticmethod
    def uncut(problem: Problem) -> Problem:
        """What is cut into tiles: the problem with a boundary of zeros."""
        return unwrapped(problem)

    @staticmethod
    def side(problem: Problem, axis: int, size: int, step: int) -> tile_sums.Side:
        """The tiles of an axis, of so many pixels of the image and so far apart, as the filters'
        gradient takes them."""
        raise NotImplementedError

    @classmethod
    def sides(cls, problem: Problem, tiling: Tiling) -> tuple[tile_sums.Side, tile_sums.Side]:
        """Rows and columns of an uncut problem's filters' gradient."""
        rows, columns = (
            cls.side(problem, axis, tiling.part.image[axis], tiling.step[axis])
            if tiling.step[axis]
            else tile_sums.uncut(problem, axis)
            for axis in (0, 1)
        )
        return rows, columns

    @classmethod
    def tiling(cls, problem: Problem) -> Tiling:
        return cls._tiling(problem, cls.tile)

    @classmethod
    def refuses(cls, problem: Problem, namespace: str, device: str) -> str | None:
        least = [cls.least(extent) for extent in problem.extent]
        if cls.tile is not None and (cls.tile[0] < least[0] or cls.tile[1] < least[1]):
            return (
                f"tile is {cls.tile[0]}×{cls.tile[1]}; "
                f"allowed for this kernel: {least[0]}×{least[1]} or more"
            )
        return None

    @classmethod
    def cost(cls, problem: Problem) -> Cost:
        return cls._cost(problem, cls.tile)

    @classmethod
    @functools.lru_cache(4096)
    def _tiling(cls, problem: Problem, tile: Size | None) -> Tiling:
        whole = cls.uncut(problem)
        tile, least = tile or _cheapest(cls, whole), least_size(whole)
        rows, columns = (
            cls.cut(whole, axis, tile[axis])
            if tile[axis] < least[axis]
            else Axis(whole.image[axis], whole.pads[axis], 0, 1)
            for axis in (0, 1)
        )
        part = dataclasses.replace(
            whole, image=(rows.size, columns.size), mode=None, padding=(rows.pads, columns.pads)
        )
        return Tiling(whole, part, (rows.step, columns.step), (rows.tiles, columns.tiles))

    @classmethod
    @functools.lru_cache(4096)
    def _cost(cls, problem: Problem, tile: Size | None) -> Cost:
        """That of ``_tile_sums``, or ``fft``'s of all tiles, of which bytes count for less as
        smaller tiles are nearer in the caches, by the model above."""
        tiling = cls._tiling(directions.forward_of(problem), tile)
        first = tiling.blocks(CACHE)[0]
        if problem.direction == "grad_weight":
            if tiling.step == (0, 0):
                return exchanged.cost(FFT, problem)
            whole = unwrapped(directions.forward_of(problem))
            tiles = problem.batch * math.prod(tiling.tiles)
            return tile_sums.cost(whole, cls.sides(whole, tiling), tiles, first)
        tiles = problem.batch * math.prod(tiling.tiles)
        every = FFT.cost(dataclasses.replace(tiling.part, batch=tiles))
        block = FFT.cost(dataclasses.replace(tiling.part, batch=math.prod(first.shape)))
        item = max(4, ITEMSIZE[problem.dtype])
        nearer = pace(tiling.points, item) / pace(math.prod(padded_size(problem, "numpy")), item)
        return dataclasses.replace(
            every, bytes=min(1.0, nearer) * every.bytes, workspace=block.workspace
        )

    @classmethod
    def error_bound(cls, problem: Problem) -> float:
        tiling = cls.tiling(directions.forward_of(problem))
        if problem.direction == "forward":
            return bounds.fourier(problem, tiling.points)
        if tiling.step == (0, 0):
            return FFT.error_bound(exchanged.solved(FFT, problem))
        whole = unwrapped(directions.forward_of(problem))
        points = math.prod(tile_sums.size_of(cls.sides(whole, tiling), "numpy"))
        return bounds.fourier(problem, points, problem.batch * math.prod(tiling.tiles))

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, self.xp = problem, xp
        self.gradient: Implementation | None = None
        self.cuts = self.tiling(directions.forward_of(problem))
        self.blocks = self.cuts.blocks(CACHE if device == "cpu" else CARD)
        if problem.direction == "grad_weight":
            self.gradient = self._planned_gradient(device)
            return
        self.fft = FFT()
        tiles = math.prod(self.blocks[0].shape)
        self.fft.plan(dataclasses.replace(self.cuts.part, batch=tiles), xp, device)

    def _planned_gradient(self, device: str) -> Implementation:
        """Of the filters: where nothing is cut, by ``fft``."""
        if self.cuts.step == (0, 0):
            whole = exchanged.instance(FFT, self.problem)
            whole.plan(self.problem, self.xp, device)
            return whole
        sums = tile_sums.TileSums()
        sums.plan(directions.forward_of(self.problem), self.xp, device)
        sums.cut(self.sides(sums.whole, self.cuts), self.blocks)
        return sums

    def load(self, b: Any) -> None:
        (self.gradient or self.fft).load(b)

    def run(self, a: Any) -> Any:
        if self.gradient is not None:
            return self.gradient.run(a)
        problem, xp = self.problem, self.xp
        x = layout.images(a, problem, xp)
        if problem.boundary == "circular":
            with stage("wrap"):
                x = layout.padded(x, problem, xp)
        y = self.canvas(x)
        for block in self.blocks:
            with stage("gather"):
                step = (self.cuts.step[0] or 1, self.cuts.step[1] or 1)
                tiles = gathered(x, block, self.origin(), self.cuts.part.image, step, xp)
            with stage("forward"):
                spectra = self.fft.forward(tiles)
            parts = self.fft.filtered(spectra)
            with stage("scatter"):
                self.scatter(self._apart(self.fft.cropped(parts), block), block, y)
        return self.finished(y)

    def origin(self) -> Size:
        """Where the first tile begins in the image."""
        raise NotImplementedError

    def canvas(self, x: Array) -> Array:
        """What the tiles are put together in: (B, G, K/G, …)."""
        raise NotImplementedError

    def scatter(self, parts: Array, block: Block, y: Array) -> None:
        """Put results of tiles, (images, G, K/G, rows, height, columns, width), in their places."""
        raise NotImplementedError

    def finished(self, y: Array) -> Array:
        """The canvas as the problem's y."""
        raise NotImplementedError

    def provenance(self) -> dict[str, Any]:
        if self.gradient is not None:
            return self.gradient.provenance() | {"tiles": list(self.cuts.tiles)}
        return {"tile": list(self.fft.size), "tiles": list(self.cuts.tiles)}

    def _apart(self, parts: Array, block: Block) -> Array:
        """(tiles, G, K/G, height, width) → (images, G, K/G, rows, height, columns, width)"""
        parts = self.xp.reshape(parts, (*block.shape, *parts.shape[1:]))
        return self.xp.permute_dims(parts, (2, 3, 4, 0, 5, 1, 6))


def pace(points: int, item: int) -> float:
    """Time of a pass over so many numbers of so many bytes, a number, in that of a small tile."""
    return 1 + max(0.0, math.log2(points * item / SMALL)) / SLOWER


def _cheapest(cls: type[TiledFFT], whole: Problem) -> Size:
    """The tile (rows, columns) of the least work."""
    batch, images = whole.batch, whole.in_channels + whole.out_channels
    pairs = whole.in_channels * whole.out_channels // whole.groups
    item = max(4, ITEMSIZE[whole.dtype])

    def work(sides: tuple[Size, Size]) -> float:
        (height, down), (width, across) = sides
        points, tiles = height * width, down * across
        passes = PASSES if tiles > 1 else PASSES / 2
        transforms = images * pace(points, item) * (5 * math.log2(points) + passes) / 2
        at_once = max(CACHE, pairs * points * item)
        blocks = max(1.0, 2 * batch * tiles * images * points * item / at_once)
        numbers = batch * tiles * (transforms + 4 * pairs) + blocks * SPECTRUM * pairs
        return points * numbers + TILE * tiles

    rows, columns = (_sides(cls, whole, axis) for axis in (0, 1))
    (height, _), (width, _) = min(itertools.product(rows, columns), key=work)
    return height, width


def _sides(cls: type[TiledFFT], whole: Problem, axis: int) -> list[Size]:
    """What an axis may be cut into: (points, tiles)."""
    last, extent = padded_size(whole, "numpy")[axis], whole.extent[axis]
    sides = [side for side in SIDES if cls.least(extent) <= side < least_size(whole)[axis]]
    return [*((side, cls.cut(whole, axis, side).tiles) for side in sides), (last, 1)]
