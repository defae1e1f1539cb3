"""FFT convolution all in matrix products: the transforms too, and in tiles where that is less work.

Channels are summed as a matrix product at each frequency, as in ``fft``; that wants frequencies
outermost and channels innermost, the other way round than a library's transform leaves them. So the
transforms are products with the DFT's matrix, which put them there as they go, leave out rows of
zeros and rows that would be cropped away, and run at near the peak: for tiles of some 16 to 64
points that outweighs their O(M³) instead of O(M² log M) (``layers.transforms``). Forward alone of
what ``convkernels.torch.FFTConv2d`` and ``layers.training.FFTTraining`` do for all three passes.

It is for layers: between single images the product has nothing to sum.
"""

from __future__ import annotations

import math
from typing import Any

from convkernels.layers import tiles
from convkernels.layers.spectra import SharedSpectra
from convkernels.layers.training import room
from convkernels.problem import ITEMSIZE, ROUNDOFF, Problem
from convkernels.registry import Cost, Implementation, algorithm
from convkernels.toolbox.bounds import compute_dtype, storage


@algorithm(
    name="fft-gemm",
    family="fft",
    namespaces=("torch",),
    arithmetic="ieee, float32 for 16-bit storage",
    source="Mathieu, Henaff & LeCun 2013, section 2; transforms as products with the DFT's matrix",
)
class GemmFFT(Implementation):
    gradients = False  # it computes in memory that it keeps; ``FFTConv2d`` has them

    @staticmethod
    def tiling(problem: Problem) -> tiles.Tiling:
        """By what all three passes take, as the layers that train have it."""
        return tiles.cheapest(problem, room(problem))

    @classmethod
    def cost(cls, problem: Problem) -> Cost:
        tiling = cls.tiling(problem)
        numbers = 3 * sum(map(tiling.passing_bytes, "xy")) + problem.min_bytes
        spectra = sum(map(tiling.spectrum_bytes, "xwy"))
        item = max(4, ITEMSIZE[problem.dtype])
        results = item * math.prod(problem.y_shape)
        passing = tiling.most_passing_bytes
        return Cost(
            tiling.product_flops + sum(map(tiling.transform_flops, "xy")),
            # Each spectrum is read twice, for the real and the imaginary part of a product.
            numbers + 3 * spectra,
            workspace=spectra + passing + results,
            once_flops=tiling.transform_flops("w"),
            once_bytes=2 * tiling.passing_bytes("w") + tiling.spectrum_bytes("w"),
        )

    @classmethod
    def error_bound(cls, problem: Problem) -> float:
        """Each of four transforms along an axis, and the product, is a sum that loses as the root
        of its terms does."""
        tiling = cls.tiling(problem)
        unit = ROUNDOFF[compute_dtype(problem.dtype)]
        terms = 2 * (tiling.rows.points + tiling.columns.points)
        terms += 2 * (problem.in_channels // problem.groups)
        return unit * (4 + math.sqrt(terms)) + storage(problem)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem = problem
        self.spectra = SharedSpectra(self.tiling(problem), device, keep=True)

    def load(self, b: Any) -> None:
        self.filters = self.spectra.filters(b.reshape(1, 1, *b.shape) if b.ndim == 2 else b)

    def run(self, a: Any) -> Any:
        problem = self.problem
        images = self.spectra.images(a.reshape(problem.batch, -1, *problem.image))
        y = self.spectra.forward(images, self.filters)
        return y.to(a.dtype).reshape(problem.y_shape)

    def provenance(self) -> dict[str, Any]:
        rows, columns = self.spectra.tiling.rows, self.spectra.tiling.columns
        return {"tile": [rows.points, columns.points], "tiles": [rows.tiles, columns.tiles]}
