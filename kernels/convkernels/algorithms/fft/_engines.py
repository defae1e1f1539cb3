"""``fft`` by another engine on NumPy arrays: the same algorithm, transforms between kept arrays.

FFTW's plans own their arrays, and the other engines' calls take an ``out``: so each has one real
and one complex array a batch shape, and a run allocates the result only. ``fft`` itself lets
scipy.fft allocate in each call, as SciPy does.
"""

from __future__ import annotations

from typing import Any

from convkernels.algorithms.fft._libraries import COMPLEX, Library
from convkernels.algorithms.fft.fft import FFT
from convkernels.problem import Shape, Size

Array = Any


class Kept(Library):
    """Transforms between a real and a complex array that are kept for each batch shape.

    What it returns is overwritten by its next call.
    """

    divides = False

    def __init__(self, size: Size, dtype: str) -> None:
        self.size, self.dtype = size, dtype
        self._pairs: dict[Shape, tuple[Array, Array]] = {}

    def r2c(self, image: Array, spectrum: Array) -> None:
        """(…, M1, M2) → (…, M1, M2/2+1), over the last two axes; both are a kept pair."""
        raise NotImplementedError

    def c2r(self, spectrum: Array, image: Array) -> None:
        """Back, times M1·M2; may overwrite the spectrum."""
        raise NotImplementedError

    def empty(self, shape: Shape, dtype: str) -> Array:
        import numpy as np

        return np.empty(shape, dtype)

    def pair(self, batch: Shape) -> tuple[Array, Array]:
        if batch not in self._pairs:
            half = (self.size[0], self.size[1] // 2 + 1)
            self._pairs[batch] = (
                self.empty((*batch, *self.size), self.dtype),
                self.empty((*batch, *half), COMPLEX[self.dtype]),
            )
        return self._pairs[batch]

    def forward(self, x: Array) -> Array:
        image, spectrum = self.pair(x.shape[:-2])
        height, width = x.shape[-2:]
        image[..., :height, :width] = x
        image[..., :height, width:] = 0  # again in each call: the inverse writes there
        image[..., height:, :] = 0
        self.r2c(image, spectrum)
        return spectrum

    def inverse(self, spectrum: Array) -> Array:
        image, kept = self.pair(spectrum.shape[:-2])
        if spectrum is not kept:
            kept[...] = spectrum
        self.c2r(kept, image)
        return image


class EngineFFT(FFT):
    """``fft`` on a ``Kept``; a subclass gives its ``engine``."""

    library: Kept
    held = 4.3  # the kept pair too

    def load(self, b: Any) -> None:
        super().load(b)
        self.spectrum = self.spectrum.copy(order="K")  # the next run overwrites where it was made

    def run(self, a: Any) -> Any:
        y = super().run(a)
        problem = self.problem
        groups = problem.groups
        image, _ = self.library.pair((problem.batch, groups, problem.out_channels // groups))
        return y.copy() if self.xp.may_share_memory(y, image) else y  # where nothing was cropped
