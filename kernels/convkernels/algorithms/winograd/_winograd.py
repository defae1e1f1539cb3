"""Minimal filtering in tiles of m × m outputs, F(m×m, r×r), as products of matrices.

    Y = Aᵀ [ Σ_c (G g_c Gᵀ) ⊙ (Bᵀ d_c B) ] A

A tile reads α × α pixels, α = m + r − 1, and overlaps the next by r − 1. The sum over channels is a
product of matrices for each of the α² elements of a tile: (K/G, C/G)·(C/G, tiles). The small
transforms, along rows and then along columns, are products too, of matrices that have all tiles
side by side: before each the pixels are sorted by their row or column modulo m, so that what all
tiles read of it is one slice.

Costs α²/m² products for an output and an input channel, where the sum has r²; and it moves α²/m²
numbers a pixel and channel several times, which few channels do not pay for. The filter is
transformed in ``load``, in float64. On a CPU so many tiles are taken at once as its caches hold.

The filters' gradient is the adjoint, gw = Gᵀ [ Σ_tiles (A gy Aᵀ) ⊙ (Bᵀ d B) ] G: tiles of the
output's gradient that do not overlap, the same tiles of x, and one product at each point with all
images and tiles along the sum. An image's gradient is the forward pass with the roles exchanged.

Lavin & Gray 2016, Fast Algorithms for Convolutional Neural Networks, section 4.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from convkernels.algorithms.winograd._cook_toom import Matrix, transforms
from convkernels.problem import ITEMSIZE, ROUNDOFF, Problem, Size
from convkernels.registry import Cost, Implementation, workspace_bytes
from convkernels.toolbox import bounds, directions, layout
from convkernels.toolbox.bounds import compute_dtype
from convkernels.toolbox.planes import single_step
from convkernels.toolbox.scaling import exponent, scaled
from convkernels.toolbox.stages import stage

Array = Any

ARITHMETIC = "ieee, float32 for 16-bit storage"
SOURCE = "Lavin & Gray 2016, section 4; Winograd 1980, chapter IV; points: Barabasz et al. 2020"
# Bytes of transformed tiles and their products at once: on a CPU, on a GPU.
CACHED, LIMIT = 6 << 20, 256 << 20
CHUNK = 1 << 17  # numbers of a filter's transform at once


class Winograd(Implementation):
    """A subclass gives m and r of F(m×m, r×r)."""

    native = ("forward", "grad_weight")
    m: int
    r: int

    @classmethod
    def refuses(cls, problem: Problem, namespace: str, device: str) -> str | None:
        (kh, kw), r = problem.kernel, cls.r
        if (kh, kw) != (r, r):
            return f"takes kernels of {r}×{r} only; this is {kh}×{kw}"
        return single_step(problem, "minimal filtering")

    @classmethod
    def cost(cls, problem: Problem) -> Cost:
        if problem.direction == "grad_weight":  # its steps are the forward pass's, backwards
            found = cls.cost(directions.forward_of(problem))
            gy = problem.batch * problem.out_channels * math.prod(problem.output)
            more = workspace_bytes(problem, 4.0 * gy)
            return dataclasses.replace(found, workspace=found.workspace + more)
        m, r, alpha = cls.m, cls.r, cls.m + cls.r - 1
        (down, across), (height, width) = cls._tiles(problem), cls._grid(problem)
        ins, outs = problem.batch * problem.in_channels, problem.batch * problem.out_channels
        depth = problem.in_channels // problem.groups
        filters = problem.out_channels * depth
        # Numbers: the grown image, its tiles by rows, its tiles; products, halfway back, outputs.
        grown = ins * height * width
        rows, tiles = ins * down * alpha * width, ins * down * across * alpha**2
        products, half, outputs = (outs * down * across * n for n in (alpha**2, alpha * m, m**2))
        flops = 2.0 * (alpha * (rows + tiles + half + outputs) + depth * products)
        images, strip = cls._chunk(problem, CACHED)
        chunks = math.ceil(problem.batch / images) * math.ceil(down / strip)
        # Each is sorted or placed, then multiplied: read and written each time. A product of large
        # matrices packs its operands besides (Goto & van de Geijn 2008), the filter for each chunk.
        moved = 2 * grown + 4 * rows + 7 * tiles + 2 * products + 2 * half + 3 * outputs
        moved += 3 * chunks * filters * alpha**2
        item = max(4, ITEMSIZE[problem.dtype])
        once = 8 * (4 * r**2 + 2 * alpha * r + 2 * alpha**2) + item * (2 * r**2 + alpha**2)
        numbers = grown + outputs + (2 * tiles + products) / chunks + filters * alpha**2
        return Cost(
            flops,
            item * moved,
            workspace_bytes(problem, numbers),
            once_flops=2.0 * filters * r * alpha * (r + alpha),
            once_bytes=float(filters * once),
            serial=True,
        )

    @classmethod
    def error_bound(cls, problem: Problem) -> float:
        """The root mean square over roundings that are independent and uniform, for the data that
        are worst for it: u·(α/m)·λ·√((1 + C/G + α)/3).

        Roundings of u/√3 in the mean square grow by λ, which is ``Transforms.growth``, and each
        pixel is read by (α/m)² tiles. There is one of the transformed filter (in float64, of a sum
        of r² terms), there are C/G of the sum over channels, and those of four sums of up to α
        terms, two on the way from the image and two to the outputs, whose partial sums weigh as α/4
        each: the tests have them one by one, and the whole is 7 to 11 % less than said here.
        """
        alpha = cls.m + cls.r - 1
        unit = ROUNDOFF[compute_dtype(problem.dtype)]
        if problem.direction == "grad_weight":
            # Products are summed over tiles, and α² of a tile's become r².
            summed = problem.batch * math.prod(cls._tiles(problem)) + alpha
            growth = alpha / cls.r * transforms(cls.m, cls.r).weight_growth
            return unit * growth * math.sqrt(summed / 3) + bounds.storage(problem)
        filtered = cls.r**2 if problem.dtype == "float64" else 1
        roundings = filtered + problem.in_channels // problem.groups + alpha
        growth = alpha / cls.m * transforms(cls.m, cls.r).growth
        return unit * growth * math.sqrt(roundings / 3) + bounds.storage(problem)

    @classmethod
    def _tiles(cls, problem: Problem) -> Size:
        """Tiles down and across."""
        height, width = problem.output
        return (-(-height // cls.m), -(-width // cls.m))

    @classmethod
    def _grid(cls, problem: Problem) -> Size:
        """The grown image, of whole blocks of m × m: a tile reads its own and some after it."""
        after = -(-(cls.r - 1) // cls.m)
        down, across = cls._tiles(problem)
        return ((down + after) * cls.m, (across + after) * cls.m)

    @classmethod
    def _chunk(cls, problem: Problem, limit: int) -> Size:
        """Images, and rows of tiles in each, that are taken at once: so many as fit in the limit,
        or as have the size of the filter, which is read again for each chunk."""
        down, across = cls._tiles(problem)
        ins, outs = problem.in_channels, problem.out_channels
        number = ITEMSIZE[compute_dtype(problem.dtype)] * (cls.m + cls.r - 1) ** 2
        limit = max(limit, number * outs * ins // problem.groups)
        row = number * (ins + outs) * across
        strip = max(1, min(down, limit // row))
        return (max(1, min(problem.batch, limit // (row * strip))), strip)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.gradient = problem.direction == "grad_weight"
        self.problem = problem = directions.forward_of(problem)
        self.xp = xp
        self.by_value = device == "cpu"  # on a GPU, looking at the filter would wait for it
        self.alpha, self.tiles = self.m + self.r - 1, self._tiles(problem)
        self.images, self.strip = self._chunk(problem, CACHED if device == "cpu" else LIMIT)
        # Grown to whole blocks: together with its padding, or after it was wrapped round.
        self.wraps = problem.boundary == "circular"
        (top, _), (left, _) = ((0, 0), (0, 0)) if self.wraps else problem.pads
        wrapped = (problem.output[0] + self.r - 1, problem.output[1] + self.r - 1)
        height, width = wrapped if self.wraps else problem.image
        rows, columns = self._grid(problem)
        padding = ((top, rows - top - height), (left, columns - left - width))
        self.growth = Problem((height, width), problem.kernel, padding=padding)

    def load(self, b: Any) -> None:
        problem, xp = self.problem, self.xp
        if self.gradient:
            self._load_image(b)
            return
        w = layout.filters(b, problem, xp)
        self.power = exponent(w, xp) if self.by_value else 0
        if self.power:
            w = scaled(w, -self.power)
        found = transforms(self.m, self.r)
        self.at, self.bt = (self._array(matrix, w.dtype, w) for matrix in (found.at, found.bt))
        g = self._array(found.g, xp.float64, w)
        shape = (self.alpha, self.alpha, *w.shape[:3])
        filters = xp.empty(shape, dtype=w.dtype, device=w.device)
        # A few output channels at once: in float64 all would take three times the result.
        step = max(1, CHUNK // (self.alpha**2 * problem.in_channels))
        for first in range(0, w.shape[1], step):
            some = slice(first, min(w.shape[1], first + step))
            part = xp.astype(w[:, some, ...], xp.float64)
            planes = xp.permute_dims(part, (4, 3, 0, 1, 2))  # (column, row, G, K/G, C/G)
            points = xp.reshape(self._both(g, planes), (*shape[:3], *part.shape[1:3]))
            filters[..., some, :] = xp.astype(points, w.dtype)
        self.w = xp.reshape(filters, (self.alpha**2, *w.shape[:3]))

    def run(self, a: Any) -> Any:
        problem, xp, m = self.problem, self.xp, self.m
        if self.gradient:
            return self._filters_gradient(layout.outputs(a, problem, xp))
        down, across = self.tiles
        with stage("pad"):
            x = self._grown(a)
        channels = (problem.groups, problem.out_channels // problem.groups)
        shape = (problem.batch, *channels, down, m, across, m)
        y = xp.empty(shape, dtype=x.dtype, device=x.device)
        for images, rows in self._chunks():
            with stage("forward"):
                tiles = self._to_points(x[images, ...], rows)
            with stage("multiply"):  # (α², G, K/G, C/G) · (α², G, C/G, tiles)
                alone = tiles.shape[2] == 1
                products = self.w * tiles if alone else xp.matmul(self.w, tiles)
            with stage("inverse"):
                planes = xp.reshape(products, (self.alpha, self.alpha, -1))
                size = (images.stop - images.start, rows.stop - rows.start, across)
                outputs = xp.reshape(self._both(self.at, planes), (m, m, *channels, *size))
                # (column, row, G, K/G, images, rows of tiles, tiles) into place
                y[images, :, :, rows, ...] = xp.permute_dims(outputs, (4, 2, 3, 5, 1, 6, 0))
        with stage("crop"):
            whole = xp.reshape(y, (problem.batch, *channels, down * m, across * m))
            part = whole[..., : problem.output[0], : problem.output[1]]
            cropped = part.shape != whole.shape
            if self.power:
                part, cropped = scaled(part, self.power), False
            part = xp.astype(part, getattr(xp, problem.dtype), copy=cropped)
            return layout.result(part, problem, xp)

    def _grown(self, x: Any) -> Array:
        """x as (B, G, C/G, H, W), grown to whole blocks."""
        x = layout.images(x, self.problem, self.xp)
        if self.wraps:
            x = layout.padded(x, self.problem, self.xp)
        return layout.padded(x, self.growth, self.xp)

    def _load_image(self, b: Any) -> None:
        found = transforms(self.m, self.r)
        self.x = self._grown(b)
        self.a, self.bt = (
            self._array(matrix, self.x.dtype, self.x)
            for matrix in (tuple(zip(*found.at, strict=True)), found.bt)
        )
        self.gt = self._array(tuple(zip(*found.g, strict=True)), self.xp.float64, self.x)

    def _filters_gradient(self, gy: Array) -> Any:
        """gy (B, G, K/G, OH, OW) → the filters' gradient in the problem's shape."""
        problem, xp, m, alpha = self.problem, self.xp, self.m, self.alpha
        down, across = self.tiles
        gy = layout.window(gy, (0, 0), (down * m, across * m), xp)
        gy = xp.reshape(gy, (*gy.shape[:3], down, m, across, m))
        total = None
        for images, rows in self._chunks():
            with stage("forward"):
                tiles = self._to_points(self.x[images, ...], rows)
                # (column, row, G, K/G, images, rows of tiles, tiles)
                part = xp.permute_dims(gy[images, :, :, rows, ...], (6, 4, 1, 2, 0, 3, 5))
                shape = (alpha**2, *part.shape[2:4], -1)
                points = xp.reshape(self._both(self.a, xp.reshape(part, (m, m, -1))), shape)
            with stage("multiply"):  # (α², G, K/G, tiles) · (α², G, tiles, C/G)
                product = xp.matmul(points, xp.matrix_transpose(tiles))
                total = product if total is None else total + product
        with stage("inverse"):
            planes = xp.reshape(xp.astype(total, xp.float64), (alpha, alpha, -1))
            gw = xp.astype(self._both(self.gt, planes), self.x.dtype)
            gw = xp.reshape(gw, (self.r, self.r, *product.shape[1:]))
            return layout.filters_result(xp.permute_dims(gw, (2, 3, 4, 1, 0)), problem, xp)

    def _chunks(self) -> Iterator[tuple[slice, slice]]:
        """Images and rows of tiles that are taken at once."""
        batch, down = self.problem.batch, self.tiles[0]
        for first in range(0, batch, self.images):
            images = slice(first, min(batch, first + self.images))
            for top in range(0, down, self.strip):
                yield images, slice(top, min(down, top + self.strip))

    def _to_points(self, x: Array, rows: slice) -> Array:
        """(b, G, C/G, H, W) grown → these rows of tiles, transformed: (α², G, C/G, tiles)."""
        xp, m, width = self.xp, self.m, x.shape[-1]
        x = x[..., rows.start * m :, :]
        x = xp.reshape(x, (*x.shape[:3], x.shape[3] // m, m, width))
        x = self._read(xp.permute_dims(x, (4, 1, 2, 0, 3, 5)), -2, rows.stop - rows.start)
        # (row, G, C/G, b, rows of tiles, W)
        x = xp.reshape(x, (*x.shape[:5], width // m, m))
        x = self._read(xp.permute_dims(x, (6, 0, 1, 2, 3, 4, 5)), -1, self.tiles[1])
        # (column, row, G, C/G, b, rows of tiles, tiles)
        return xp.reshape(x, (self.alpha**2, *x.shape[2:4], -1))

    def _read(self, blocks: Array, axis: int, count: int) -> Array:
        """Blocks of m pixels (m, …) along this axis → the transforms of tiles of α pixels (α, …),
        ``count`` of them."""
        m, alpha, parts = self.m, self.alpha, []
        for first in range(0, alpha, m):
            index = [slice(None)] * blocks.ndim
            index[0] = slice(min(m, alpha - first))
            index[axis] = slice(first // m, first // m + count)
            parts.append(blocks[tuple(index)])
        tiles = self.xp.concat(parts, axis=0)
        points = self.xp.matmul(self.bt, self.xp.reshape(tiles, (alpha, -1)))
        return self.xp.reshape(points, tiles.shape)

    def _both(self, matrix: Array, planes: Array) -> Array:
        """matrix · planes · matrixᵀ in the first two axes."""
        xp = self.xp
        columns = xp.matmul(matrix, xp.reshape(planes, (planes.shape[0], -1)))
        return xp.matmul(matrix, xp.reshape(columns, (matrix.shape[0], planes.shape[1], -1)))

    def _array(self, matrix: Matrix, dtype: Any, like: Array) -> Array:
        values = [[float(value) for value in row] for row in matrix]
        return self.xp.asarray(values, dtype=dtype, device=like.device)
