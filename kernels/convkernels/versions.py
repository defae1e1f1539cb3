"""Versions of the libraries that compute, from their packages' metadata: none is imported."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
from collections.abc import Iterable, Mapping

# Distributions that may provide a library; the first that is installed tells the version.
DISTRIBUTIONS = {
    "numpy": ("numpy",),
    "scipy": ("scipy",),
    "torch": ("torch",),
    "cupy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
    "triton": ("triton",),
    "array-api-compat": ("array-api-compat",),
    "opencv": (
        "opencv-python-headless",
        "opencv-python",
        "opencv-contrib-python-headless",
        "opencv-contrib-python",
    ),
    "numba": ("numba",),
    "llvmlite": ("llvmlite",),
    "ipp": ("ipp",),
    "mkl": ("mkl",),
    "mkl_fft": ("mkl_fft",),
    "pyfftw": ("pyfftw",),
    "ducc0": ("ducc0",),
    "fft-conv-pytorch": ("fft-conv-pytorch",),
    "npp": ("nvidia-npp", "nvidia-npp-cu12"),
    "subquadratic-ops-torch": ("subquadratic-ops-torch-cu13",),
}
OWN = "convcross"  # the distribution that this package is a part of


def version(distributions: Iterable[str]) -> str | None:
    """Of the first of these distributions that is installed, or None."""
    for distribution in distributions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(distribution)
    return None


@functools.cache
def installed() -> Mapping[str, str]:
    """The version of each library that is installed, and of our own distribution; read once a
    process."""
    found = {library: version(names) for library, names in DISTRIBUTIONS.items()}
    found[OWN] = version((OWN,))
    return {library: text for library, text in found.items() if text is not None}
