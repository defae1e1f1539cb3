"""The FFT library of each namespace: its good sizes, and real transforms over the last two axes.

numpy: scipy.fft (pocketfft), faster than numpy.fft and float32 throughout; torch: MKL on the CPU
and cuFFT on CUDA, which caches its plans by shape; cupy: cuFFT with plans kept here. Any other
array-API namespace: its own ``fft`` extension.
"""

from __future__ import annotations

import bisect
import functools
from typing import Any, Protocol

Pair = tuple[int, int]
Array = Any


class Library(Protocol):
    """Transforms of one batch shape at one padded size."""

    def forward(self, x: Array) -> Array:
        """(…, h, w) real, h and w at most the padded size, → its spectrum (…, M1, M2/2+1)."""

    def inverse(self, spectrum: Array) -> Array:
        """A spectrum (…, M1, M2/2+1) → (…, M1, M2) real. May overwrite the spectrum."""


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
# complex ones); cuFFT documents 2, 3, 5, 7; MKL is fast on the same and on 11 and 13.
FACTORS = {"numpy": (2, 3, 5), "torch": (2, 3, 5, 7), "cupy": (2, 3, 5, 7)}


def good_size(least: int, namespace: str, *, even: bool) -> int:
    """The smallest size ≥ least that this library transforms well.

    ``even`` for the axis of the real transform, which is done as a complex one of half the size.
    """
    sizes = smooth_numbers(FACTORS.get(namespace, (2, 3, 5)), 1 << max(1, (least - 1).bit_length()))
    # The limit is itself such a size, and an even one.
    return next(s for s in sizes[bisect.bisect_left(sizes, least) :] if not (even and s % 2))


class ArrayAPI:
    """The namespace's own fft extension."""

    def __init__(self, xp: Any, size: Pair) -> None:
        self.fft, self.size = xp.fft, size

    def forward(self, x: Array) -> Array:
        return self.fft.rfftn(x, s=self.size, axes=(-2, -1))

    def inverse(self, spectrum: Array) -> Array:
        return self.fft.irfftn(spectrum, s=self.size, axes=(-2, -1))


class SciPy:
    """scipy.fft; the number of workers is the caller's (``scipy.fft.set_workers``)."""

    def __init__(self, size: Pair) -> None:
        import scipy.fft

        self.fft, self.size = scipy.fft, size

    def forward(self, x: Array) -> Array:
        return self.fft.rfft2(x, s=self.size)

    def inverse(self, spectrum: Array) -> Array:
        return self.fft.irfft2(spectrum, s=self.size, overwrite_x=True)


class CuPy:
    """cuFFT through cupyx.scipy.fft, with one plan for each batch shape and direction."""

    def __init__(self, size: Pair) -> None:
        import cupy
        import cupyx.scipy.fft

        self.cupy, self.fft, self.size = cupy, cupyx.scipy.fft, size
        self._plans: dict[Any, Any] = {}

    def _plan(self, array: Array, value_type: str) -> Any:
        key = (array.shape, value_type)
        if key not in self._plans:
            self._plans[key] = self.fft.get_fft_plan(
                array, shape=self.size, axes=(-2, -1), value_type=value_type
            )
        return self._plans[key]

    def forward(self, x: Array) -> Array:
        if x.shape[-2:] != self.size:
            grown = self.cupy.zeros((*x.shape[:-2], *self.size), dtype=x.dtype)
            grown[..., : x.shape[-2], : x.shape[-1]] = x
            x = grown
        plan = self._plan(x, "R2C")
        return self.fft.rfftn(x, s=self.size, axes=(-2, -1), plan=plan)

    def inverse(self, spectrum: Array) -> Array:
        plan = self._plan(spectrum, "C2R")
        return self.fft.irfftn(spectrum, s=self.size, axes=(-2, -1), overwrite_x=True, plan=plan)


def library(namespace: str, xp: Any, size: Pair) -> Library:
    """The transforms that an array of this namespace goes through."""
    if namespace == "numpy":
        return SciPy(size)
    if namespace == "cupy":
        return CuPy(size)
    return ArrayAPI(xp, size)
