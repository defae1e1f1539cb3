"""The FFT library of each namespace: its good sizes, and real transforms over the last two axes.

numpy: scipy.fft (pocketfft), faster than numpy.fft and float32 throughout; torch: MKL on the CPU
and cuFFT on CUDA, which caches its plans by shape; cupy: cuFFT with plans kept here. Any other
array-API namespace: its own ``fft`` extension.
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Sequence
from typing import Any, Protocol

from convkernels.problem import Problem, Shape, Size

Array = Any
AXES = (-2, -1)
COMPLEX = {"float32": "complex64", "float64": "complex128"}


class Library(Protocol):
    """Transforms at one padded size (M1, M2).

    Attributes
    ----------
    divides : whether ``inverse`` divides by M1·M2. On the CPU that is free, and spectra of small
        numbers stay normal ones; on a GPU it is a pass over the image, and whoever made the other
        spectrum can have done it for nothing.
    """

    divides: bool

    def forward(self, x: Array) -> Array:
        """(…, h, w) real, h and w at most the padded size, → its spectrum (…, M1, M2/2+1)."""

    def inverse(self, spectrum: Array) -> Array:
        """A spectrum (…, M1, M2/2+1) → (…, M1, M2) real, times M1·M2 unless it ``divides``; may
        overwrite it."""


@functools.cache
def smooth_numbers(primes: tuple[int, ...], limit: int) -> list[int]:
    """Products of powers of these primes up to limit, ascending."""
    found = [1]
    for prime in primes:
        powers = [prime**k for k in range(limit.bit_length()) if prime**k <= limit]
        found = [number * power for number in found for power in powers]
        found = [number for number in found if number <= limit]
    return sorted(found)


# The factors that each library has kernels for: pocketfft's real transforms 2, 3, 4, 5 (11 only in
# complex ones); cuFFT documents 2, 3, 5, 7; MKL is fast on the same and on 11 and 13; FFTW
# documents 2, 3, 5, 7 and one 11 or 13.
FACTORS = {
    "numpy": (2, 3, 5),
    "torch": (2, 3, 5, 7),
    "cupy": (2, 3, 5, 7),
    "fftw": (2, 3, 5, 7),
    "mkl": (2, 3, 5, 7),
}


def good_size(least: int, namespace: str, *, even: bool) -> int:
    """The smallest size ≥ least that the library of this namespace, or this one, transforms well.

    ``even`` for the axis of the real transform, which is done as a complex one of half the size.
    """
    sizes = smooth_numbers(FACTORS.get(namespace, (2, 3, 5)), 1 << max(1, (least - 1).bit_length()))
    # The limit is itself such a size, and an even one.
    return next(s for s in sizes[bisect.bisect_left(sizes, least) :] if not (even and s % 2))


@functools.cache
def prime_factors(number: int) -> list[int]:
    """Ascending, each as often as it divides; none of 1."""
    found, prime = [], 2
    while prime * prime <= number:
        if number % prime:
            prime += 1
        else:
            found.append(prime)
            number //= prime
    return [*found, number] if number > 1 else found


def largest_prime(number: int) -> int:
    """The largest prime factor; 1 of 1."""
    return max(prime_factors(number), default=1)


def levels(size: int) -> float:
    """Work of a complex transform of this length, a point, in that of a pass of radix 2: p/2 for
    each prime factor p, or three times the work at a good size of twice the length (Bluestein
    1970), whichever is less: pocketfft's estimate, by which it chooses. About log2(size) for
    products of 2, 3 and 5."""
    work = sum(prime_factors(size)) / 2
    if largest_prime(size) <= 5:
        return work
    doubled = good_size(2 * size - 1, "numpy", even=False)
    return min(work, 3 * doubled / size * levels(doubled))


class ArrayAPI:
    """The namespace's own fft extension."""

    def __init__(self, xp: Any, size: Size, divides: bool) -> None:
        self.fft, self.size, self.divides = xp.fft, size, divides

    def forward(self, x: Array) -> Array:
        return self.fft.rfftn(x, s=self.size, axes=AXES)

    def inverse(self, spectrum: Array) -> Array:
        norm = "backward" if self.divides else "forward"
        return self.fft.irfftn(spectrum, s=self.size, axes=AXES, norm=norm)


class SciPy:
    """scipy.fft; the number of workers is the caller's (``scipy.fft.set_workers``)."""

    divides = True

    def __init__(self, size: Size) -> None:
        import scipy.fft

        self.fft, self.size = scipy.fft, size

    def forward(self, x: Array) -> Array:
        return self.fft.rfft2(x, s=self.size)

    def inverse(self, spectrum: Array) -> Array:
        return self.fft.irfft2(spectrum, s=self.size, overwrite_x=True)


class Complex:
    """Transforms (…, h, w) → (…, M1, M2) and back of complex numbers, by scipy.fft for NumPy and
    the namespace's own for others.

    Parameters
    ----------
    dtype : "complex64" or "complex128"
    """

    def __init__(self, xp: Any, size: Size, dtype: str, divides: bool) -> None:
        self.xp, self.fft = xp, xp.fft
        if xp.__name__.endswith(".numpy"):
            import scipy.fft

            self.fft = scipy.fft
        self.size, self.dtype, self.divides = size, getattr(xp, dtype), divides

    def forward(self, x: Array) -> Array:
        """Of real numbers too."""
        return self.fft.fftn(self.xp.astype(x, self.dtype, copy=False), s=self.size, axes=AXES)

    def inverse(self, spectrum: Array) -> Array:
        norm = "backward" if self.divides else "forward"
        return self.fft.ifftn(spectrum, s=self.size, axes=AXES, norm=norm)


class CuPy:
    """cuFFT through cupyx.scipy.fft, with the plans of a problem's transforms made here.

    Parameters
    ----------
    size : (M1, M2)
    dtype : "float32" or "float64"
    forward, inverse : batch shapes that will be transformed
    """

    divides = False

    def __init__(
        self, size: Size, dtype: str, forward: Sequence[Shape], inverse: Sequence[Shape]
    ) -> None:
        import cupy
        import cupyx.scipy.fft

        self.cupy, self.fft, self.size = cupy, cupyx.scipy.fft, size
        self._plans: dict[tuple[str, Shape], Any] = {}
        self._grown: dict[Shape, Array] = {}
        if 1 in size:  # CuPy has no 2-D plan for what is both C- and F-contiguous
            return
        half = (size[0], size[1] // 2 + 1)
        for kind, batches, extent, of in (
            ("R2C", forward, size, dtype),
            ("C2R", inverse, half, COMPLEX[dtype]),
        ):
            for batch in batches:
                like = cupy.empty((*batch, *extent), dtype=of)
                self._plans[kind, (*batch, *extent)] = self.fft.get_fft_plan(
                    like, shape=size, axes=AXES, value_type=kind
                )

    def forward(self, x: Array) -> Array:
        if x.shape[-2:] != self.size:
            x = self._padded(x)
        plan = self._plans.get(("R2C", x.shape))
        return self.fft.rfftn(x, s=self.size, axes=AXES, plan=plan)

    def _padded(self, x: Array) -> Array:
        """x in the corner of an image of zeros that is kept: only the corner is written again."""
        shape = (*x.shape[:-2], *self.size)
        if shape not in self._grown:
            self._grown[shape] = self.cupy.zeros(shape, dtype=x.dtype)
        grown = self._grown[shape]
        grown[..., : x.shape[-2], : x.shape[-1]] = x
        return grown

    def inverse(self, spectrum: Array) -> Array:
        plan = self._plans.get(("C2R", spectrum.shape))
        return self.fft.irfftn(
            spectrum, s=self.size, axes=AXES, norm="forward", overwrite_x=True, plan=plan
        )


def batches(problem: Problem) -> tuple[Shape, Shape, Shape]:
    """Batch shapes that ``FFT`` transforms: of images, of filters, and back of products."""
    groups = problem.groups
    ins, outs = problem.in_channels // groups, problem.out_channels // groups
    return (problem.batch, groups, ins), (groups, outs, ins), (problem.batch, groups, outs)


def library(
    xp: Any, size: Size, dtype: str, device: str, forward: Sequence[Shape], inverse: Sequence[Shape]
) -> Library:
    """The transforms that arrays of a namespace go through, of real numbers of this dtype.

    Parameters
    ----------
    forward, inverse : batch shapes that will be transformed, for the library that plans
    """
    namespace = xp.__name__.rpartition(".")[2]
    if namespace == "numpy":
        return SciPy(size)
    if namespace == "cupy":
        return CuPy(size, dtype, forward, inverse)
    return ArrayAPI(xp, size, divides=device == "cpu")
