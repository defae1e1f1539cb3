"""Groups: names by which sweeps and commands ask for many contenders at once."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from pathlib import Path

from convkernels.discovery import algorithms


@dataclass(frozen=True)
class Group:
    """Algorithms that are named together, as far as they are there.

    Attributes
    ----------
    words : what they are
    names : patterns over the names of algorithms, which need not exist
    libraries : so are all of the room ``libraries/`` and of family "library"
    """

    words: str
    names: tuple[str, ...] = ()
    libraries: bool = False

    def holds(self, name: str) -> bool:
        """Whether the algorithm of this name belongs to it."""
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in self.names):
            return True
        return self.libraries and _is_library(name)


GROUPS = {
    "textbook": Group("written once on the array API", ("direct", "im2col-gemm", "fft")),
    "classical": Group(
        "other ways to the same sum, on the array API",
        (
            *("toeplitz-gemm", "im2col-chunked", "kn2row", "mec"),
            *("overlap-save", "overlap-add", "fft-packed", "fft-float64"),
            *("fft-exact", "fft-power-of-two", "winograd-*"),
            *("separable", "low-rank-*", "integral"),
        ),
    ),
    "strong": Group(
        "our own for speed",
        (
            "numba-direct",
            "numba-overlap-save",
            "numba-separable",
            "cuda-direct",
            "cuda-overlap-save",
        ),
    ),
    "layers": Group(
        "for layers of networks: between single images they sum nothing", ("fft-gemm",)
    ),
    # and the textbook's FFT on other libraries' transforms
    "libraries": Group(
        "what people use today", ("fft-ducc", "fft-fftw", "fft-mkl"), libraries=True
    ),
    "all": Group("every one", ("*",)),
}


def groups_of(name: str) -> list[str]:
    """The groups that the algorithm of this name belongs to."""
    return [group for group, members in GROUPS.items() if members.holds(name)]


def _is_library(name: str) -> bool:
    algorithm = algorithms().get(name)
    if algorithm is None:
        return False
    return algorithm.family == "library" or Path(algorithm.path).parent.name == "libraries"
