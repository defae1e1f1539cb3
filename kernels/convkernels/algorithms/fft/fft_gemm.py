"""FFT convolution all in matrix products: the transforms too, and in tiles where that is less work.

Channels are summed as a matrix product at each frequency, as in ``fft``; that wants frequencies
outermost and channels innermost, the other way round than a library's transform leaves them. So the
transforms are products with the DFT's matrix, which put them there as they go, leave out rows of
zeros and rows that would be cropped away, and run at near the peak: for tiles of some 16 to 64
points that outweighs their O(M³) instead of O(M² log M) (``layers.transforms``). Each pass apart of
what ``convkernels.torch.FFTConv2d`` does on shared spectra: the gradients are sums over the same
spectra, with no exchange of roles (``layers.spectra``). Its step is all three on spectra that each
operand is transformed to once, as the paper has it.

It is for layers: between single images the product has nothing to sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from convkernels.layers import tiles
from convkernels.layers.spectra import SharedSpectra
from convkernels.layers.training import OPERANDS, FFTTraining, operand_shapes, room
from convkernels.problem import DIRECTIONS, ITEMSIZE, ROUNDOFF, STEP, Problem
from convkernels.registry import Cost, Implementation, algorithm
from convkernels.toolbox.bounds import compute_dtype, storage
from convkernels.toolbox.directions import forward_of

PLANES = {"x": "x", "w": "w", "gy": "y"}  # operand → what a tiling calls it
RESULTS = dict(zip(DIRECTIONS, ("y", "x", "w"), strict=True))  # of each pass, likewise


class SharedStep(Implementation):
    """Three passes in 6 transforms of planes, where apart they take 9."""

    gradients = False

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        return None

    @staticmethod
    def cost(problem: Problem) -> Cost:
        """Each shared spectrum is written once and read twice, that of a result once each."""
        tiling = GemmFFT.tiling(problem)
        numbers = 2 * 3 * sum(map(tiling.passing_bytes, "xwy")) + problem.min_bytes
        moved = 3 * tiling.kept_bytes + 2 * sum(map(tiling.spectrum_bytes, "xwy"))
        return Cost(tiling.step_flops, numbers + moved, workspace=tiling.step_bytes)

    @staticmethod
    def error_bound(problem: Problem) -> float:
        return max(map(GemmFFT.error_bound, problem.passes))

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.training = FFTTraining(problem, device)

    def run(self, a: Any) -> Any:
        x, gy = a
        return self.training.run(STEP, x, self.b, gy)

    def provenance(self) -> dict[str, Any]:
        tiling = self.training.spectra.tiling
        return {**_told(tiling), "kept_bytes": self.training.kept_bytes}


@algorithm(
    name="fft-gemm",
    family="fft",
    namespaces=("torch",),
    arithmetic="ieee, float32 for 16-bit storage",
    source="Mathieu, Henaff & LeCun 2013, section 2; transforms as products with the DFT's matrix",
    directions=(*DIRECTIONS, STEP),
)
class GemmFFT(Implementation):
    gradients = False  # it computes in memory that it keeps; ``FFTConv2d`` has them

    native = DIRECTIONS
    apart: Mapping[str, type[Implementation]] = {STEP: SharedStep}

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        return None

    @staticmethod
    def tiling(problem: Problem) -> tiles.Tiling:
        """By what all three passes take, as the layers that train have it."""
        forward = forward_of(problem)
        return tiles.cheapest(forward, room(forward))

    @classmethod
    def cost(cls, problem: Problem) -> Cost:
        tiling = cls.tiling(problem)
        a, b = (PLANES[operand] for operand in OPERANDS[problem.direction])
        result = RESULTS[problem.direction]
        numbers = 3 * sum(map(tiling.passing_bytes, (a, result))) + problem.min_bytes
        # Those of the image and of the result are written and read, that of the filter is read.
        moved = sum(map(tiling.spectrum_bytes, (a, a, b, result, result)))
        spectra = sum(map(tiling.spectrum_bytes, "xwy"))
        item = max(4, ITEMSIZE[problem.dtype])
        results = item * math.prod(problem.shapes[2])
        passing = tiling.most_passing_bytes
        return Cost(
            tiling.product_flops + sum(map(tiling.transform_flops, (a, result))),
            numbers + moved,
            workspace=spectra + passing + results,
            once_flops=tiling.transform_flops(b),
            once_bytes=2 * tiling.passing_bytes(b) + tiling.spectrum_bytes(b),
        )

    @classmethod
    def error_bound(cls, problem: Problem) -> float:
        """Each of four transforms along an axis, and the product, is a sum that loses as the root
        of its terms does."""
        tiling = cls.tiling(problem)
        unit = ROUNDOFF[compute_dtype(problem.dtype)]
        terms = 2 * (tiling.rows.points + tiling.columns.points)
        terms += 2 * cls._summed(tiling, problem.direction)
        return unit * (4 + math.sqrt(terms)) + storage(problem)

    @staticmethod
    def _summed(tiling: tiles.Tiling, direction: str) -> int:
        """Terms of the product: input channels, output channels, tiles of the batch."""
        problem = tiling.problem
        if direction == "grad_weight":
            return tiling.images
        channels = problem.in_channels if direction == "forward" else problem.out_channels
        return channels // problem.groups

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem = problem
        spectra = SharedSpectra(self.tiling(problem), device, keep=True)
        of = {"x": spectra.images, "w": spectra.filters, "gy": spectra.gradients}
        self.shapes = [operand_shapes(problem)[operand] for operand in OPERANDS[problem.direction]]
        self.transforms = [of[operand] for operand in OPERANDS[problem.direction]]
        self.product: Callable[[Any, Any], Any] = getattr(spectra, problem.direction)

    def load(self, b: Any) -> None:
        self.loaded = self.transforms[1](b.reshape(self.shapes[1]))

    def run(self, a: Any) -> Any:
        result = self.product(self.transforms[0](a.reshape(self.shapes[0])), self.loaded)
        return result.to(a.dtype).reshape(self.problem.shapes[2])

    def provenance(self) -> dict[str, Any]:
        return _told(self.tiling(self.problem))


def _told(tiling: tiles.Tiling) -> dict[str, Any]:
    rows, columns = tiling.rows, tiling.columns
    return {"tile": [rows.points, columns.points], "tiles": [rows.tiles, columns.tiles]}
