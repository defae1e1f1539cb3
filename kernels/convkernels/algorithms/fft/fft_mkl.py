"""``fft`` with Intel MKL (mkl_fft): rows by its 1-D real transforms, columns by its complex ones.

MKL chooses kernels by the CPU's vendor: on an AMD processor it takes its AVX2 code, with AVX-512
or without. mkl_fft makes its descriptors within each call; there is nothing to plan. Importing it
patches nothing (``patch_numpy_fft`` would). torch has an MKL of its own, in which it uses 2-D
descriptors: ``fft`` on torch is not this contender with other arrays.

Its threads are those of torch's OpenMP library (``libraries/_mkl``): Intel's own would spin for
200 ms after each call, on a core that the next contender needs. How many is MKL's setting.
"""

from __future__ import annotations

from typing import Any

from convkernels import optional
from convkernels.algorithms.fft._engines import EngineFFT, Kept
from convkernels.algorithms.fft.fft import padded_size
from convkernels.algorithms.libraries import _mkl
from convkernels.problem import DIRECTIONS, Problem, Size
from convkernels.registry import algorithm
from convkernels.toolbox import threads
from convkernels.toolbox.bounds import compute_dtype

Array = Any


class MKL(Kept):
    def __init__(self, size: Size, dtype: str) -> None:
        _mkl.library()  # before mkl_fft chooses another threading layer
        import mkl_fft

        super().__init__(size, dtype)
        self.fft, self.version = mkl_fft, mkl_fft.__version__
        self.threads = threads.count()

    def r2c(self, image: Array, spectrum: Array) -> None:
        self.fft.rfft2(image, out=spectrum)

    def c2r(self, spectrum: Array, image: Array) -> None:
        # irfft2 does these two, but with the columns in memory that it allocates.
        self.fft.ifft(spectrum, axis=-2, norm="forward", out=spectrum)
        self.fft.irfft(spectrum, n=self.size[1], norm="forward", out=image)


@algorithm(
    name="fft-mkl",
    family="fft",
    namespaces=("numpy",),
    arithmetic="ieee, float32 for 16-bit storage",
    source="mkl_fft.rfft2, ifft, irfft",
    directions=DIRECTIONS,
)
class FFTByMKL(EngineFFT):
    library: MKL

    @staticmethod
    def missing(namespace: str) -> str | None:
        return optional.missing("mkl_fft", "pip install 'convcross[mkl]'") or _mkl.missing()

    def engine(self, problem: Problem, xp: Any) -> tuple[Size, MKL]:
        size = padded_size(problem, "mkl")
        return size, MKL(size, compute_dtype(problem.dtype))

    def provenance(self) -> dict[str, Any]:
        return {
            "padded": list(self.size),
            "engine": f"mkl_fft {self.library.version}",
            "threads": self.library.threads,
        }
