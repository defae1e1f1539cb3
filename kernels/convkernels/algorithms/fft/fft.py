"""Whole-image FFT convolution: y = crop F⁻¹( F(x) · F(w) ), by the convolution theorem.

Costs O(M² log M) for a padded size M that hardly depends on n. The padded size is the least that
keeps the wrap-around out of what is cropped (N + n − 1 for "full", N + ⌊n/2⌋ for "same", N for
"valid"), rounded up to one that the library transforms well; ``fft-exact`` and ``fft-power-of-two``
are the same class with another ``padding``. A circular image is transformed as it
is where its sides have no prime factor over 13, else it is first grown by what it wraps round: MKL
sums a factor of 17 or more term by term and loses 30 to 270 roundoffs, and every library is slow.

The filter's spectrum is made in ``load``. There the filter is also rolled, so that the wanted
part of the product begins at the origin and the crop is its first OH rows and OW columns.
Channels are summed as a matrix product at each frequency: B·C + B·K transforms a run and K·C/G a
filter, never one pair for each output channel.

Cooley & Tukey 1965; channels in the frequency domain: Mathieu, Henaff & LeCun 2013.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar

from convkernels.algorithms.fft._libraries import (
    Library,
    batches,
    good_size,
    largest_prime,
    levels,
    library,
)
from convkernels.namespaces import NAMES
from convkernels.problem import DIRECTIONS, ITEMSIZE, Problem, Size
from convkernels.registry import Cost, Implementation, algorithm, workspace_bytes
from convkernels.toolbox import bounds, layout
from convkernels.toolbox.scaling import exponent, scaled
from convkernels.toolbox.stages import stage


@dataclasses.dataclass(frozen=True)
class Padding:
    """How the size of a transform follows from the least that is needed.

    Attributes
    ----------
    rounded : (least points, engine, whether the axis is the real transform's) → points
    whole : whether a side of a circular image is transformed as it is
    """

    rounded: Callable[[int, str, bool], int]
    whole: Callable[[int], bool]


NEXT_FAST = Padding(
    rounded=lambda least, engine, real: good_size(least, engine, even=real),
    whole=lambda side: largest_prime(side) <= 13,
)


def transformed_whole(problem: Problem, padding: Padding = NEXT_FAST) -> bool:
    """Whether the image itself is one period of the transform."""
    return problem.boundary == "circular" and all(map(padding.whole, problem.image))


def unwrapped(problem: Problem) -> Problem:
    """The same without a circular boundary: on the image grown by what it wraps round."""
    if problem.boundary == "zero":
        return problem
    (height, width), (down, across) = problem.image, problem.pads
    image = (height + sum(down), width + sum(across))
    return dataclasses.replace(problem, image=image, mode="valid", boundary="zero")


def least_size(problem: Problem, padding: Padding = NEXT_FAST) -> Size:
    """(M1, M2): the transform that this mode needs, and no more."""
    if transformed_whole(problem, padding):
        return problem.image
    least = []
    for axis in (0, 1):
        size, extent, pads = problem.image[axis], problem.extent[axis], problem.pads[axis]
        if problem.boundary == "circular":
            size, pads = size + sum(pads), (0, 0)  # as it will be grown
        start = extent - 1 - pads[0]  # of the crop, in the full convolution
        length = (problem.output[axis] - 1) * problem.stride[axis] + 1
        # Clean where no other period reaches: above start from below, below start + length from
        # above; and both operands must fit.
        least.append(max(size, extent, size + extent - 1 - start, start + length, length))
    return (least[0], least[1])


def padded_size(problem: Problem, engine: str, padding: Padding = NEXT_FAST) -> Size:
    """The least size, rounded up for the engine: by default to one that it transforms well, see
    ``FACTORS``."""
    rows, columns = least_size(problem, padding)
    if transformed_whole(problem, padding):
        return (rows, columns)
    return (padding.rounded(rows, engine, False), padding.rounded(columns, engine, True))


@algorithm(
    name="fft",
    family="fft",
    namespaces=NAMES,
    arithmetic="ieee, float32 for 16-bit storage",
    source="Cooley & Tukey 1965; Mathieu, Henaff & LeCun 2013",
    directions=DIRECTIONS,
)
class FFT(Implementation):
    padding: ClassVar[Padding] = NEXT_FAST
    held: ClassVar[float] = 2.2  # planes of a filter at once in ``load``: grown, rolled, a spectrum

    @classmethod
    def cost(cls, problem: Problem) -> Cost:
        height, width = padded_size(problem, "numpy", cls.padding)
        spectrum = height * (width // 2 + 1)
        images = problem.batch * (problem.in_channels + problem.out_channels)
        products = problem.batch * problem.out_channels * problem.in_channels // problem.groups
        filters = problem.out_channels * problem.in_channels // problem.groups
        # A real transform of M points is 2.5·M·log2 M FLOP; a complex multiply-add is 8. One of odd
        # length is done as a complex one, and large prime factors are slow.
        work = max(1.0, levels(height) + levels(width) * (1 + width % 2))
        slow = max(1.0, work / math.log2(max(2, height * width)))
        transform = 2.5 * height * width * work
        item = max(4, ITEMSIZE[problem.dtype])
        # Two passes an axis over the real and the complex image, and the filter's spectrum once.
        passes = slow * (2 * height * width + 8 * spectrum)
        traffic = item * (images * passes + 2 * filters * spectrum)
        running = images * 2 * spectrum + (images + filters) * height * width
        loading = cls.held * filters * height * width
        workspace = workspace_bytes(problem, max(running, loading))
        # A filter is flipped, grown and rolled, then transformed and put in order.
        loaded = item * filters * (8 * height * width + 12 * spectrum)
        return Cost(
            images * transform + 8.0 * products * spectrum,
            traffic,
            workspace,
            once_flops=filters * transform,
            once_bytes=loaded,
        )

    @classmethod
    def error_bound(cls, problem: Problem) -> float:
        return bounds.fourier(problem, math.prod(padded_size(problem, "numpy", cls.padding)))

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, self.xp = problem, xp
        self.device = device
        self.size, self.library = self.engine(problem, xp)
        self.pointwise = problem.in_channels == problem.groups
        self.grown = problem.boundary == "circular" and not transformed_whole(problem, self.padding)
        # On a GPU, looking at the filter would wait for it.
        self.by_value = device == "cpu" and not self.library.divides

    def engine(self, problem: Problem, xp: Any) -> tuple[Size, Library]:
        """The padded size and the transforms at it: what another engine's file replaces."""
        namespace = xp.__name__.rpartition(".")[2]
        size = padded_size(problem, namespace, self.padding)
        images, filters, products = batches(problem)
        dtype = bounds.compute_dtype(problem.dtype)
        return size, library(xp, size, dtype, self.device, (images, filters), (products,))

    def load(self, b: Any) -> None:
        problem, xp = self.problem, self.xp
        w = layout.filters(b, problem, xp)  # a correlation's filter, as every op's answer is
        self.power = exponent(w, xp) if self.by_value else 0
        if self.power:
            w = scaled(w, -self.power)
        w = xp.flip(w, axis=(-2, -1))
        if not self.library.divides:
            w = w / math.prod(self.size)
        shape = (*w.shape[:-2], *self.size)
        grown = xp.zeros(shape, dtype=w.dtype, device=w.device)
        (height, width), (dy, dx) = problem.extent, problem.dilation
        grown[..., :height:dy, :width:dx] = w
        top, left = (0, 0) if self.grown else (problem.pads[0][0], problem.pads[1][0])
        starts = (height - 1 - top, width - 1 - left)
        grown = xp.roll(grown, (-starts[0], -starts[1]), axis=(-2, -1))
        spectrum = self.library.forward(grown)  # (G, K/G, C/G, M1, M2/2+1)
        if not self.pointwise:
            # (G, M1·(M2/2+1), C/G, K/G): a matrix at each frequency
            spectrum = self._frequencies_first(spectrum)
        self.spectrum = spectrum

    def _frequencies_first(self, spectrum: Any) -> Any:
        """(G, P, Q, M1, M2/2+1) → (G, M1·(M2/2+1), Q, P)"""
        shape = spectrum.shape
        flat = self.xp.reshape(spectrum, (*shape[:3], shape[3] * shape[4]))
        return self.xp.permute_dims(flat, (0, 3, 2, 1))

    def run(self, a: Any) -> Any:
        problem, xp = self.problem, self.xp
        with stage("forward"):
            x = self.forward(layout.images(a, problem, xp))
        y = self.filtered(x)
        with stage("crop"):
            part = self.cropped(y)
            # A view would be free, but would keep the padded image alive and be handed on strided.
            view = not self.power and part.shape != y.shape
            y = xp.astype(part, getattr(xp, problem.dtype), copy=view)
            return layout.result(y, problem, xp)

    def forward(self, x: Any) -> Any:
        """(B, G, C/G, H, W) → (B, G, C/G, M1, M2/2+1); of any batch, as what follows."""
        return self.library.forward(layout.padded(x, self.problem, self.xp) if self.grown else x)

    def filtered(self, x: Any) -> Any:
        """(B, G, C/G, M1, M2/2+1) → (B, G, K/G, M1, M2)"""
        with stage("multiply"):
            product = self._multiply(x)
        with stage("inverse"):
            return self.library.inverse(product)

    def cropped(self, y: Any) -> Any:
        """(B, G, K/G, M1, M2) → (B, G, K/G, OH, OW), a view where the filter was not scaled."""
        (height, width), (down, across) = self.problem.output, self.problem.stride
        part = y[..., : (height - 1) * down + 1 : down, : (width - 1) * across + 1 : across]
        return scaled(part, self.power) if self.power else part

    def provenance(self) -> dict[str, Any]:
        return {"padded": list(self.size)}

    def _multiply(self, x: Any) -> Any:
        """(B, G, C/G, M1, M2/2+1) → (B, G, K/G, M1, M2/2+1)"""
        if not self.pointwise:
            return self._channels(x)
        spectrum = self.spectrum[:, :, 0, :, :]
        if self.problem.out_channels != self.problem.groups:
            return x * spectrum
        x *= spectrum  # in its own memory: a fresh array of this size costs its page faults
        return x

    def _channels(self, x: Any) -> Any:
        """Sum over input channels: (B, G, C/G, M1, M2/2+1) → (B, G, K/G, M1, M2/2+1)."""
        xp, half = self.xp, x.shape[-2:]
        flat = xp.reshape(x, (*x.shape[:3], half[0] * half[1]))
        by_frequency = xp.permute_dims(flat, (1, 3, 0, 2))  # (G, F, B, C/G)
        product = xp.matmul(by_frequency, self.spectrum)  # · (G, F, C/G, K/G)
        product = xp.permute_dims(product, (2, 0, 3, 1))
        return xp.reshape(product, (*product.shape[:3], *half))
