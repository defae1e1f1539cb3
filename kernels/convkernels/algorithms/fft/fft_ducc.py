"""``fft`` with ducc0, pocketfft's successor: vectorised over rows and columns, threaded, no plans
to make (it keeps the last few twiddle tables itself). Sizes are the library's own good ones.

ducc0 is under the GPL: an extra only. Reinecke, gitlab.mpcdf.mpg.de/mtr/ducc.
"""

from __future__ import annotations

from typing import Any

from convkernels import optional
from convkernels.algorithms.fft._engines import EngineFFT, Kept
from convkernels.algorithms.fft._libraries import AXES
from convkernels.algorithms.fft.fft import least_size, transformed_whole
from convkernels.problem import DIRECTIONS, Problem, Size
from convkernels.registry import algorithm
from convkernels.toolbox import threads
from convkernels.toolbox.bounds import compute_dtype

Array = Any


class Ducc(Kept):
    def __init__(self, size: Size, dtype: str) -> None:
        import ducc0

        super().__init__(size, dtype)
        self.fft, self.version = ducc0.fft, ducc0.__version__
        self.threads = threads.count()

    def r2c(self, image: Array, spectrum: Array) -> None:
        self.fft.r2c(image, axes=AXES, out=spectrum, nthreads=self.threads)

    def c2r(self, spectrum: Array, image: Array) -> None:
        self.fft.c2r(
            spectrum,
            axes=AXES,
            lastsize=self.size[1],
            forward=False,
            out=image,
            nthreads=self.threads,
            allow_overwriting_input=True,
        )


@algorithm(
    name="fft-ducc",
    family="fft",
    namespaces=("numpy",),
    arithmetic="ieee, float32 for 16-bit storage",
    source="ducc0.fft.r2c, c2r",
    directions=DIRECTIONS,
)
class FFTByDucc(EngineFFT):
    library: Ducc

    @staticmethod
    def missing(namespace: str) -> str | None:
        return optional.missing("ducc0", "pip install 'convcross[ducc]'")

    def engine(self, problem: Problem, xp: Any) -> tuple[Size, Ducc]:
        import ducc0

        rows, columns = least_size(problem)
        if not transformed_whole(problem):
            good = ducc0.fft.good_size
            rows, columns = good(rows, False), good(columns, True)  # real: the last
        return (rows, columns), Ducc((rows, columns), compute_dtype(problem.dtype))

    def provenance(self) -> dict[str, Any]:
        return {
            "padded": list(self.size),
            "engine": f"ducc0 {self.library.version}",
            "threads": self.library.threads,
        }
