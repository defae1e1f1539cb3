"""Two real images as one complex image, x₁ + i·x₂, and ``fft`` by complex transforms.

The kernel is real and convolution linear, so that (x₁ + i·x₂) * w = x₁ * w + i·(x₂ * w): the parts
of the result are the two results, and their spectra are never taken apart. The pairs are those of
the batch; of an odd one (as a single image is) each image is paired with itself, the upper half of
its outputs with the lower, for which the rows that both need are transformed twice.

Half as many complex transforms take the FLOP of ``fft``'s real ones, which save as much by symmetry
within each; what differs is the code, an odd width, which costs nothing here, and two passes more
over memory. Of a pair, each image has the rounding errors of the brighter one, and its NaN.

Cooley, Lewis & Welch 1970, The fast Fourier transform algorithm: programming considerations in the
calculation of sine, cosine and Laplace transforms; Press et al., Numerical Recipes, section 12.3.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from convkernels.algorithms.fft._libraries import COMPLEX, Complex, good_size
from convkernels.algorithms.fft.fft import FFT, NEXT_FAST, padded_size, unwrapped
from convkernels.namespaces import NAMES
from convkernels.problem import DIRECTIONS, Problem, Size
from convkernels.registry import Cost, Implementation, algorithm, workspace_bytes
from convkernels.toolbox import bounds, layout
from convkernels.toolbox.stages import stage


def packed(problem: Problem) -> Problem:
    """What is asked of the complex images: pairs of the batch, or halves of each image."""
    if problem.batch % 2 == 0:
        return dataclasses.replace(problem, batch=problem.batch // 2)
    whole = unwrapped(problem)
    rows = (_half(whole) - 1) * whole.stride[0] + whole.extent[0]
    return dataclasses.replace(
        whole, image=(rows, whole.image[1]), mode=None, padding=((0, 0), whole.pads[1])
    )


def _half(problem: Problem) -> int:
    """Outputs down a half."""
    return -(-problem.output[0] // 2)


class ComplexFFT(FFT):
    """``fft`` of complex images."""

    library: Complex
    padding = dataclasses.replace(
        NEXT_FAST, rounded=lambda least, engine, real: good_size(least, engine, even=False)
    )

    def engine(self, problem: Problem, xp: Any) -> tuple[Size, Complex]:
        size = padded_size(problem, xp.__name__.rpartition(".")[2], self.padding)
        dtype = COMPLEX[bounds.compute_dtype(problem.dtype)]
        return size, Complex(xp, size, dtype, divides=self.device == "cpu")


@algorithm(
    name="fft-packed",
    family="fft",
    namespaces=NAMES,
    arithmetic="ieee, float32 for 16-bit storage",
    source="Cooley, Lewis & Welch 1970; Press et al., Numerical Recipes, section 12.3",
    directions=DIRECTIONS,
)
class PackedFFT(Implementation):
    @staticmethod
    def cost(problem: Problem) -> Cost:
        pairs = packed(problem)
        points = math.prod(padded_size(pairs, "numpy", ComplexFFT.padding))
        images = pairs.batch * (pairs.in_channels + pairs.out_channels)
        filters = pairs.out_channels * pairs.in_channels // pairs.groups
        transform = 5.0 * points * math.log2(max(2, points))
        # Packed or taken apart, two passes an axis, and the product; the filter's spectrum once.
        numbers = images * 16.0 * points + filters * 2.0 * points
        return Cost(
            images * transform + 8.0 * pairs.batch * filters * points,
            workspace_bytes(problem, numbers),
            workspace_bytes(problem, max(4.0 * images + 2.0 * filters, 5.0 * filters) * points),
            once_flops=filters * transform,
            once_bytes=workspace_bytes(problem, filters * 16.0 * points),
        )

    @staticmethod
    def error_bound(problem: Problem) -> float:
        size = padded_size(packed(problem), "numpy", ComplexFFT.padding)
        return bounds.fourier(problem, math.prod(size))

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, self.xp = problem, xp
        self.axis = 0 if problem.batch % 2 == 0 else -2  # along which the two of a pair lie
        self.fft = ComplexFFT()
        self.fft.plan(packed(problem), xp, device)

    def load(self, b: Any) -> None:
        self.fft.load(b)

    def run(self, a: Any) -> Any:
        problem, xp = self.problem, self.xp
        with stage("forward"):
            first, second = self._pair(layout.images(a, problem, xp))
            z = xp.astype(second, self.fft.library.dtype)
            z *= 1j
            z += first
            spectrum = self.fft.forward(z)
        y = self.fft.filtered(spectrum)
        with stage("crop"):
            z = self.fft.cropped(y)
            first, second = xp.real(z), xp.imag(z)
            if self.axis:
                second = second[..., : problem.output[0] - first.shape[-2], :]
            return layout.result(xp.concat((first, second), axis=self.axis), problem, xp)

    def _pair(self, x: Any) -> tuple[Any, Any]:
        """(B, G, C/G, H, W) → real and imaginary parts of (B', G, C/G, H', W')"""
        problem = self.problem
        if self.axis == 0:
            return x[: problem.batch // 2, ...], x[problem.batch // 2 :, ...]
        whole = unwrapped(problem)
        if whole is not problem:
            x = layout.padded(x, problem, self.xp)
        top, lower = -whole.pads[0][0], _half(whole) * whole.stride[0]
        size = self.fft.problem.image
        return (
            layout.window(x, (top, 0), size, self.xp),
            layout.window(x, (top + lower, 0), size, self.xp),
        )

    def provenance(self) -> dict[str, Any]:
        return self.fft.provenance()
