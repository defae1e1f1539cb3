"""The filters' gradient in tiles: products of spectra summed over tiles, and one tile inverted.

The tiles are those of the forward pass. Of the two images that are correlated, x and the output's
gradient with zeros between its values for a stride, one is cut into blocks that do not overlap and
the other into what meets them. A filter's gradient is the sum of the tiles' circular correlations,
which is taken of their spectra: at each frequency a product (K/G, tiles) · (tiles, C/G) with all
images and tiles along the sum, and in the end one inverse transform for each filter and channel,
whatever the image's size.

``load`` keeps the spectra of all tiles of x, B·C·T² complex numbers a tile, which is what the
forward pass transforms too. Mathieu, Henaff & LeCun 2013, section 3; the sum over tiles: Stockham
1966, of one long correlation.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from convkernels.algorithms.fft._libraries import good_size, levels, library
from convkernels.algorithms.fft._tiles import Block, gathered
from convkernels.algorithms.fft.fft import unwrapped
from convkernels.problem import Problem, Size
from convkernels.registry import Cost, Implementation, workspace_bytes
from convkernels.toolbox import bounds, layout
from convkernels.toolbox.stages import stage

Array = Any


class Cut(NamedTuple):
    """One of the two images along an axis: where its first tile begins, a tile's size, and the step
    to the next."""

    first: int
    size: int
    step: int


class Side(NamedTuple):
    """Both images along an axis, cut into as many tiles.

    Attributes
    ----------
    offset : the lag of the gradient's first element: element r is at lag offset − r·dilation, of
        how far the output's gradient is ahead of x
    points : of the transform, at least
    """

    x: Cut
    gy: Cut
    offset: int
    points: int


def uncut(problem: Problem, axis: int) -> Side:
    """An axis that is one tile, with as many points as no other period reaches into."""
    image, before, extent = problem.image[axis], problem.pads[axis][0], problem.extent[axis]
    stretched = (problem.output[axis] - 1) * problem.stride[axis] + 1
    points = max(image, stretched, image + before, stretched + extent - 1 - before)
    return Side(Cut(0, image, 0), Cut(0, stretched, 0), before, points)


def size_of(sides: tuple[Side, Side], namespace: str) -> Size:
    """(rows, columns) of a tile's transform, which the library does well."""
    rows, columns = (
        good_size(side.points, namespace, even=axis == 1) for axis, side in enumerate(sides)
    )
    return rows, columns


def cost(problem: Problem, sides: tuple[Side, Side], tiles: int, block: Block) -> Cost:
    """Of so many tiles in all, of which a block is worked on at once."""
    height, width = size_of(sides, "numpy")
    spectrum = height * (width // 2 + 1)
    ins, outs = problem.in_channels, problem.out_channels
    filters = outs * ins // problem.groups
    transform = 2.5 * height * width * (levels(height) + levels(width) * (1 + width % 2))
    passes = 2.0 * height * width + 8.0 * spectrum
    images = tiles * outs + filters  # forward of the output's gradient, back of the filters'
    some = math.prod(block.shape)
    # Spectra of x; of a block the tiles of the output's gradient, their spectra and those in the
    # order of the product; sums, a product and the filters' tiles.
    kept = 2.0 * tiles * ins * spectrum
    running = some * max(outs, ins) * (height * width + 4.0 * spectrum)
    running += filters * (4.0 * spectrum + height * width)
    elements = kept + running + layout.copied(problem)
    if problem.stride != (1, 1):
        elements += (
            problem.batch * outs * math.prod(uncut(problem, axis).gy.size for axis in (0, 1))
        )
    return Cost(
        images * transform + 8.0 * tiles * filters * spectrum,
        workspace_bytes(problem, images * passes + kept + 4.0 * tiles * outs * spectrum),
        workspace_bytes(problem, elements),
        once_flops=tiles * ins * transform,
        once_bytes=workspace_bytes(problem, tiles * ins * passes + 2 * kept),
    )


class TileSums(Implementation):
    """Of a forward problem, whose filters' gradient is wanted; ``plan``, then ``cut``."""

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, self.xp, self.device = problem, xp, device
        self.whole = unwrapped(problem)
        self.outs = problem.out_channels // problem.groups
        self.ins = problem.in_channels // problem.groups
        self.pointwise = self.ins == self.outs == 1  # products elementwise

    def cut(self, sides: tuple[Side, Side], blocks: list[Block]) -> None:
        """Into tiles of ``whole``, of which blocks are transformed at once."""
        problem, xp = self.problem, self.xp
        self.sides, self.blocks = sides, blocks
        self.size = size_of(sides, xp.__name__.rpartition(".")[2])
        some, groups = math.prod(blocks[0].shape), problem.groups
        images = ((some, groups, self.ins), (some, groups, self.outs))
        filters = (groups, self.outs, self.ins)
        dtype = bounds.compute_dtype(problem.dtype)
        self.library = library(xp, self.size, dtype, self.device, images, (filters,))
        self.lags = [
            [(side.offset - element * step) % of for element in range(count)]
            for side, step, of, count in zip(
                sides, problem.dilation, self.size, problem.kernel, strict=True
            )
        ]

    def load(self, b: Any) -> None:
        """x, whose spectra are kept, conjugate: in the product gy then is ahead of x."""
        x = layout.images(b, self.problem, self.xp)
        if self.problem.boundary == "circular":
            x = layout.padded(x, self.problem, self.xp)
        self.spectra = []
        for block in self.blocks:
            tiles = self._gathered(x, block, (self.sides[0].x, self.sides[1].x))
            spectrum = self.xp.conj(self.library.forward(tiles))
            self.spectra.append(self._tiles_inside(spectrum))

    def run(self, a: Any) -> Any:
        xp, total = self.xp, None
        with stage("gather"):
            gy = self._stretched(layout.outputs(a, self.problem, xp))
        for block, x in zip(self.blocks, self.spectra, strict=True):
            with stage("gather"):
                tiles = self._gathered(gy, block, (self.sides[0].gy, self.sides[1].gy))
            with stage("forward"):
                spectrum = self.library.forward(tiles)
            with stage("multiply"):
                product = self._product(spectrum, x)
                total = product if total is None else total + product
        with stage("inverse"):
            gw = self.library.inverse(self._frequencies_last(total))
        with stage("crop"):
            for axis, lags in zip((-2, -1), self.lags, strict=True):
                gw = xp.take(gw, xp.asarray(lags, device=gw.device), axis=axis)
            gw = gw if self.library.divides else gw / math.prod(self.size)
            return layout.filters_result(gw, self.problem, xp)

    def provenance(self) -> dict[str, Any]:
        return {"tile": list(self.size)}

    def _gathered(self, x: Array, block: Block, cuts: tuple[Cut, Cut]) -> Array:
        corner, size = (cuts[0].first, cuts[1].first), (cuts[0].size, cuts[1].size)
        step = (cuts[0].step or 1, cuts[1].step or 1)
        return gathered(x, block, corner, size, step, self.xp)

    def _tiles_inside(self, spectrum: Array) -> Array:
        """(tiles, G, C/G, M1, M2/2+1) → (G, M1·(M2/2+1), tiles, C/G)"""
        if self.pointwise:
            return spectrum
        shape = spectrum.shape
        flat = self.xp.reshape(spectrum, (*shape[:3], shape[3] * shape[4]))
        return self.xp.permute_dims(flat, (1, 3, 0, 2))

    def _product(self, gy: Array, x: Array) -> Array:
        """Of a block of tiles, summed over them."""
        if self.pointwise:
            return self.xp.sum(gy * x, axis=0)  # (G, 1, M1, M2/2+1)
        shape = gy.shape
        flat = self.xp.reshape(gy, (*shape[:3], shape[3] * shape[4]))
        return self.xp.matmul(self.xp.permute_dims(flat, (1, 3, 2, 0)), x)  # (G, F, K/G, C/G)

    def _frequencies_last(self, total: Array) -> Array:
        """→ (G, K/G, C/G, M1, M2/2+1)"""
        half = (self.size[0], self.size[1] // 2 + 1)
        if not self.pointwise:
            total = self.xp.permute_dims(total, (0, 2, 3, 1))
        return self.xp.reshape(total, (self.problem.groups, self.outs, self.ins, *half))

    def _stretched(self, gy: Array) -> Array:
        """With zeros between its values, for a stride."""
        down, across = self.problem.stride
        if (down, across) == (1, 1):
            return gy
        size = (uncut(self.whole, axis).gy.size for axis in (0, 1))
        grown = self.xp.zeros((*gy.shape[:-2], *size), dtype=gy.dtype, device=gy.device)
        grown[..., ::down, ::across] = gy
        return grown
