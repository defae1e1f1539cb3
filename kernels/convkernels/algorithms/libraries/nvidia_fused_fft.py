"""NVIDIA's fused FFT convolution: a whole image in one launch, transformed in shared memory.

``fused_fft_conv2d`` of subquadratic_ops_torch (cuFFTDx): F×F transforms, product and inverse of an
image, F ∈ {8, …, 128}, without a pass through memory between them. An image takes F/2 rows and
columns at most, so that the longest side of image and result is 64. It is depthwise, one filter a
channel; float16 and bfloat16 it transforms in themselves, and so is not given them.

The library computes irfft2(rfft2(x)·rfft2(k)) and keeps what begins at F/2, where k may fill the
tile: y[i] = Σ_s x[s]·k[F/2 + i − s]. Each mode and padding is a place of the kernel in that tile,
found in ``load``, which transforms it. A circular image is grown in each run. The package is
proprietary, and brings more than a gigabyte along.
"""

from __future__ import annotations

import math
from typing import Any

from convkernels import optional
from convkernels.problem import ITEMSIZE, Problem, UnsupportedProblem
from convkernels.registry import Cost, Implementation, algorithm, forward_only
from convkernels.toolbox import bounds, layout
from convkernels.toolbox.planes import single_step

LEAST, LARGEST = 8, 128  # of F
PACKAGE = "subquadratic_ops_torch"


def sides(problem: Problem) -> tuple[int, int]:
    """Rows and columns that an image must have for the result to fit: what is grown is grown."""
    grown = problem.boundary == "circular"
    rows, columns = (
        max(size + sum(pads) * grown, output)
        for size, pads, output in zip(problem.image, problem.pads, problem.output, strict=True)
    )
    return rows, columns


def transform_size(problem: Problem) -> int:
    """F"""
    return max(LEAST, 2 << (max(sides(problem)) - 1).bit_length())


@algorithm(
    name="nvidia-fused-fft",
    family="fft",
    namespaces=("torch",),
    arithmetic="ieee",
    source="subquadratic_ops_torch.fused_fft_conv2d, NVIDIA 2026",
)
class NVIDIAFusedFFT(Implementation):
    devices = ("cuda",)
    gradients = False
    settled = False

    @staticmethod
    def missing(namespace: str) -> str | None:
        return optional.missing(PACKAGE, "pip install 'convcross[fused-fft]'")

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        if problem.dtype != "float32":
            return f"fused_fft_conv2d is taken in float32 alone, not {problem.dtype}"
        channels = problem.in_channels, problem.out_channels
        if channels != (problem.groups, problem.groups):
            return (
                f"fused_fft_conv2d is depthwise; this is {channels[0]} to {channels[1]} channels "
                f"in {problem.groups} groups"
            )
        rows, columns = sides(problem)
        if max(rows, columns) > LARGEST // 2:
            limit = f"{LARGEST // 2}×{LARGEST // 2}"
            return f"fused_fft_conv2d takes images and results to {limit}; this is {rows}×{columns}"
        return forward_only(problem) or single_step(problem, "fused_fft_conv2d")

    @staticmethod
    def cost(problem: Problem) -> Cost:
        """Of whole tiles; images and spectra are what moves."""
        points = transform_size(problem) ** 2
        images, filters = problem.batch * problem.in_channels, problem.in_channels
        spectrum = 4.0 * points  # bytes: F/2 + 1 rows of F complex numbers, about
        flops = images * (5.0 * points * math.log2(points) + 3.0 * points)
        grown = 2.0 * images * math.prod(sides(problem)) * ITEMSIZE[problem.dtype]
        traffic = problem.min_bytes + grown + filters * spectrum
        once = filters * 2.5 * points * math.log2(points)
        return Cost(flops, traffic, filters * spectrum + grown, once, 3 * filters * spectrum)

    @staticmethod
    def error_bound(problem: Problem) -> float:
        return bounds.fourier(problem, transform_size(problem) ** 2)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        import torch
        from subquadratic_ops_torch import fused_fft_conv2d as library

        self.problem, self.xp, self.torch, self.library = problem, xp, torch, library
        self.size = transform_size(problem)
        self.circular = problem.boundary == "circular"
        self.images = (problem.batch, problem.in_channels)
        (rows, columns), grown = sides(problem), problem.image
        if self.circular:
            grown = rows, columns
        self.below, self.right = rows - grown[0], columns - grown[1]
        like = {"dtype": torch.float32, "device": device}
        try:
            self.load(torch.zeros(problem.w_shape, **like))
            self.run(torch.zeros(problem.x_shape, **like))
        except RuntimeError as error:
            if "shared-memory limit" in str(error):
                raise UnsupportedProblem(f"fused_fft_conv2d: {error}") from None
            raise

    def load(self, b: Any) -> None:
        problem, size = self.problem, self.size
        w = b.reshape(1, problem.in_channels, *problem.kernel)
        w = w.flip(-2, -1) if problem.op == "correlation" else w
        tile = self.torch.zeros((*w.shape[:2], size, size), dtype=w.dtype, device=w.device)
        # What lies outside the tile meets no image: it is further off than any two pixels are.
        ours, its = zip(*map(self._place, (0, 1)), strict=True)
        tile[(..., *its)] = w[(..., *ours)]
        self.spectrum = self.library.fused_rfft2d_fwd(tile, fft_size=size)

    def _place(self, axis: int) -> tuple[slice, slice]:
        """The kernel's elements, and the tile's, that are the same."""
        problem, size = self.problem, self.size
        taps = problem.kernel[axis]
        before = 0 if self.circular else problem.pads[axis][0]
        start = size // 2 - (taps - 1 - before)
        first, last = max(0, -start), min(taps, size - start)
        return slice(first, max(first, last)), slice(start + first, start + max(first, last))

    def run(self, a: Any) -> Any:
        problem = self.problem
        x = layout.padded(a, problem, self.xp) if self.circular else a
        x = x.reshape(*self.images, *x.shape[-2:])
        if self.below or self.right:
            x = self.torch.nn.functional.pad(x, (0, self.right, 0, self.below))
        y = self.library.fused_fft_conv2d_fwd(x, self.spectrum)
        height, width = problem.output
        return y[..., :height, :width].reshape(problem.y_shape)

    def provenance(self) -> dict[str, Any]:
        return {"padded": [self.size, self.size]}
