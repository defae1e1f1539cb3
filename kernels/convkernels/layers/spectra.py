"""The three passes of a layer on spectra that they share (Mathieu, Henaff & LeCun 2013).

A spectrum is (F·G, m, n), complex: frequencies times groups, and a matrix at each. That of images
has a row a tile and a column an input channel, that of filters a row an output channel and a column
an input channel, that of outputs a row a tile and a column an output channel. So every sum over
channels, and over the batch, is a matrix product at each frequency:

    forward      Y  = X · Wᵀ
    grad_input   GX = GY · W
    grad_weight  GW = GYᵀ · X

and none is transposed or conjugated on the way: the library's products take a matrix or its
transpose, and the filters and gradients are transformed with the other sign (``transforms.SIGNS``).
"""

from __future__ import annotations

from typing import Any

from convkernels.layers import transforms
from convkernels.layers.tiles import Tiling
from convkernels.layers.transforms import Buffers
from convkernels.toolbox.bounds import compute_dtype
from convkernels.toolbox.stages import stage

Tensor = Any


class SharedSpectra:
    """The transforms and products of one layer, in PyTorch.

    Parameters
    ----------
    tiling : of the layer, by ``tiles.cheapest``
    device : "cpu", "cuda:0"
    keep : whether its memory is kept from one call to the next: a spectrum then holds until the
        next of its operand is computed, and one thread at a time may use it
    """

    def __init__(self, tiling: Tiling, device: str, keep: bool = False) -> None:
        import torch

        self.tiling, self.problem = tiling, tiling.problem
        dtype = compute_dtype(self.problem.dtype)
        self.dtype = getattr(torch, dtype)
        axes = tiling.rows, tiling.columns
        self._of = {
            operand: transforms.on_device(*axes, operand, dtype, device) for operand in "xwy"
        }
        self._buffers = Buffers(self._of["x"].down, keep)

    @property
    def held_bytes(self) -> int:
        """Of the memory that is kept."""
        return self._buffers.held_bytes

    # ---- spectra -----------------------------------------------------------------------------

    def images(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (F·G, tiles, C/G)"""
        problem, rows, columns = self.problem, self.tiling.rows, self.tiling.columns
        groups, channels = problem.groups, problem.in_channels // problem.groups
        with stage("forward"):
            x = _grown(x.to(self.dtype), rows.pads, columns.pads)
            tiles = x.unfold(2, len(rows.x), rows.step).unfold(3, len(columns.x), columns.step)
            tiles = tiles.unflatten(1, (groups, channels)).permute(1, 0, 3, 4, 2, 5, 6)
            return self._spectrum(tiles, "x")

    def filters(self, w: Tensor) -> Tensor:
        """(K, C/G, kh, kw) → (F·G, K/G, C/G)"""
        groups = self.problem.groups
        return self._spectrum(w.to(self.dtype).unflatten(0, (groups, w.shape[0] // groups)), "w")

    def gradients(self, gy: Tensor) -> Tensor:
        """(B, K, OH, OW) → (F·G, tiles, K/G)"""
        problem, rows, columns = self.problem, self.tiling.rows, self.tiling.columns
        groups, filters = problem.groups, problem.out_channels // problem.groups
        pads = [
            (0, one.tiles * len(one.y) - size)
            for one, size in zip((rows, columns), problem.output, strict=True)
        ]
        gy = _grown(gy.to(self.dtype), *pads)
        tiles = gy.unflatten(3, (columns.tiles, len(columns.y)))
        tiles = tiles.unflatten(2, (rows.tiles, len(rows.y))).unflatten(1, (groups, filters))
        return self._spectrum(tiles.permute(1, 0, 3, 5, 2, 4, 6), "y")

    def _spectrum(self, planes: Tensor, operand: str) -> Tensor:
        """(G, …, n, rows, columns) → (F·G, m, n)"""
        groups, channels = planes.shape[0], planes.shape[-3]
        found = transforms.spectrum(planes, self._of[operand], self._buffers, operand)
        return found.view(self.tiling.frequencies * groups, -1, channels)

    # ---- passes ------------------------------------------------------------------------------

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Spectra of images and filters → y (B, K, OH, OW)"""
        with stage("multiply"):
            summed = self._product(x, w.mT)
        return self._outputs(summed)

    def grad_input(self, gy: Tensor, w: Tensor) -> Tensor:
        """Spectra of gy and filters → gx (B, C, H, W)"""
        return self._images(self._product(gy, w))

    def grad_weight(self, gy: Tensor, x: Tensor) -> Tensor:
        """Spectra of gy and images → gw (K, C/G, kh, kw)"""
        problem = self.problem
        planes = self._inverse(self._product(gy.mT, x), "w")
        shape = (problem.out_channels, problem.in_channels // problem.groups, *problem.kernel)
        return planes.view(shape)

    def _product(self, a: Tensor, b: Tensor) -> Tensor:
        return product(a, b, self._buffers.take("product", *a.shape[:2], b.shape[2]))

    def _inverse(self, spectrum: Tensor, operand: str) -> Tensor:
        """(F·G, m, n) → (G·m·n, rows, columns)"""
        with stage("inverse"):
            flat = spectrum.view(self.tiling.frequencies, -1)
            return transforms.inverse(flat, self._of[operand], self._buffers)

    def _outputs(self, spectrum: Tensor) -> Tensor:
        """Tiles put side by side."""
        problem, rows, columns = self.problem, self.tiling.rows, self.tiling.columns
        tiles = self._apart(spectrum, "y").permute(1, 0, 4, 2, 5, 3, 6)
        size = (rows.tiles * len(rows.y), columns.tiles * len(columns.y))
        y = tiles.reshape(problem.batch, problem.out_channels, *size)
        return y[..., : problem.output[0], : problem.output[1]]

    def _images(self, spectrum: Tensor) -> Tensor:
        """Tiles added where they overlap."""
        problem, rows, columns = self.problem, self.tiling.rows, self.tiling.columns
        tiles = self._apart(spectrum, "x").permute(1, 0, 4, 2, 3, 5, 6)
        if rows.tiles == columns.tiles == 1:
            return tiles.reshape(problem.batch, problem.in_channels, *problem.image)
        reach = [(one.tiles - 1) * one.step + len(one.x) for one in (rows, columns)]
        shape = (problem.batch, *tiles.shape[1:3], *reach)
        grown = tiles.new_zeros(shape)
        for row in range(rows.tiles):
            for column in range(columns.tiles):
                top, left = row * rows.step, column * columns.step
                place = grown[..., top : top + len(rows.x), left : left + len(columns.x)]
                place += tiles[:, :, :, row, column]
        grown = grown.flatten(1, 2)
        down, across = (tuple(-pad for pad in one.pads) for one in (rows, columns))
        return _grown(grown, down, across)

    def _apart(self, spectrum: Tensor, operand: str) -> Tensor:
        """(F·G, tiles, n) → (G, B, down, across, n, rows, columns)"""
        rows, columns = self.tiling.rows, self.tiling.columns
        planes = self._inverse(spectrum, operand)
        tiles = (self.problem.groups, self.problem.batch, rows.tiles, columns.tiles)
        return planes.view(*tiles, spectrum.shape[-1], *planes.shape[1:])


def _grown(x: Tensor, down: tuple[int, ...], across: tuple[int, ...]) -> Tensor:
    """With zeros around it, or cropped where there are fewer than none."""
    import torch

    if not any((*down, *across)):
        return x
    return torch.nn.functional.pad(x, (*across, *down))


def product(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    """(F, m, n) · (F, n, p) → (F, m, p)"""
    import torch

    if a.shape[2] == 1:  # as depthwise layers: no sum, so no matrix product
        return torch.mul(a, b, out=out)
    return torch.bmm(a, b, out=out)
