"""``fft`` with FFTW 3 (pyfftw): plans timed on this machine, for real 2-D transforms.

The plan is the idea: FFTW times its codelets on the very arrays (FFTW_MEASURE), which takes from
milliseconds to 13 s at the largest sizes, so beyond 2²⁰ points it is left to guess
(FFTW_ESTIMATE). What was measured once is kept as wisdom for as long as the process lives: the
first plan of a size is dear (a record's ``first_plan_s``), the next ones are not.

The wheel bundles FFTW, which is under the GPL: an extra only. Frigo & Johnson 2005.
"""

from __future__ import annotations

import functools
import math
import os
import sys
from typing import Any

from convkernels import optional
from convkernels.algorithms.fft._engines import EngineFFT, Kept
from convkernels.algorithms.fft._libraries import AXES, batches
from convkernels.algorithms.fft.fft import padded_size
from convkernels.problem import DIRECTIONS, Problem, Shape, Size
from convkernels.registry import algorithm
from convkernels.toolbox import threads
from convkernels.toolbox.bounds import compute_dtype

MEASURED = 1 << 20  # points of a transform, at most, for which plans are timed
ALONE = 1 << 14  # points under which a second thread costs more than it does, and plans 10 times

Array = Any


@functools.cache
def _loaded() -> Any:
    """pyfftw, bound to the FFTW of its own wheel: MKL has functions of the same names, which would
    be found first where MKL was loaded for all to see, as mkl_fft loads it."""
    flags = sys.getdlopenflags() if hasattr(sys, "getdlopenflags") else None
    if flags is not None:
        sys.setdlopenflags(os.RTLD_NOW | getattr(os, "RTLD_DEEPBIND", 0))
    try:
        import pyfftw
    finally:
        if flags is not None:
            sys.setdlopenflags(flags)
    return pyfftw


class FFTW(Kept):
    """Plans from and to each kept pair, made here."""

    def __init__(
        self, size: Size, dtype: str, forward: tuple[Shape, ...], inverse: tuple[Shape, ...]
    ) -> None:
        pyfftw = _loaded()
        super().__init__(size, dtype)
        self.pyfftw, self.version = pyfftw, pyfftw.fftw_version
        self.effort = "FFTW_MEASURE" if math.prod(size) <= MEASURED else "FFTW_ESTIMATE"
        self.threads = threads.count() if math.prod(size) >= ALONE else 1
        self._forward = {batch: self._plan(*self.pair(batch)) for batch in forward}
        self._inverse = {batch: self._plan(*self.pair(batch)[::-1]) for batch in inverse}

    def _plan(self, source: Array, target: Array) -> Any:
        real = source.dtype.kind == "f"
        return self.pyfftw.FFTW(
            source,
            target,
            axes=AXES,
            direction="FFTW_FORWARD" if real else "FFTW_BACKWARD",
            flags=(self.effort,),  # and, back from complex, it destroys what it reads
            threads=self.threads,
        )

    def empty(self, shape: Shape, dtype: str) -> Array:
        return self.pyfftw.empty_aligned(shape, dtype)

    def r2c(self, image: Array, spectrum: Array) -> None:
        self._forward[image.shape[:-2]].execute()

    def c2r(self, spectrum: Array, image: Array) -> None:
        self._inverse[image.shape[:-2]].execute()


@algorithm(
    name="fft-fftw",
    family="fft",
    namespaces=("numpy",),
    arithmetic="ieee, float32 for 16-bit storage",
    source="pyfftw.FFTW (Frigo & Johnson 2005)",
    directions=DIRECTIONS,
)
class FFTByFFTW(EngineFFT):
    library: FFTW

    @staticmethod
    def missing(namespace: str) -> str | None:
        return optional.missing("pyfftw", "pip install 'convcross[fftw]'")

    def engine(self, problem: Problem, xp: Any) -> tuple[Size, FFTW]:
        size = padded_size(problem, "fftw")
        images, filters, products = batches(problem)
        dtype = compute_dtype(problem.dtype)
        return size, FFTW(size, dtype, (images, filters), (products,))

    def provenance(self) -> dict[str, Any]:
        engine = self.library
        return {
            "padded": list(self.size),
            "engine": f"{engine.version}, {engine.effort}",
            "threads": engine.threads,
        }
