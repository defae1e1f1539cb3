"""Claims of algebra, computed at once: flipping, commuting, associating, the convolution theorem.

Small seeded problems, on every contender that NumPy has here, in float64 and float32. Distances are
max|y − z| / max|z|.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from convcross.analysis.claims.finding import Finding, Word
from convkernels import Problem, UnsupportedProblem, convolve, discovery

SEED = 1806  # seeds the data
EXACT = {"float64": 1e-13, "float32": 3e-5}  # a distance up to this is rounding
FAR = 1e-2  # from this on it is none
IMAGE, KERNEL, OTHER = (32, 31), (5, 5), (3, 7)

Array = npt.NDArray[np.floating]
# (x, w, **options) → y, of one contender
Convolve = Callable[..., Array]


@dataclass
class Distances:
    """Distances that should be rounding, or should not, over contenders, dtypes and modes.

    Attributes
    ----------
    largest, least : dtype → of all distances
    identical, count : comparisons equal to the last bit, and all
    where : the contender of the largest distance, where that is no rounding
    contenders : all that were compared
    """

    largest: dict[str, float] = field(default_factory=dict)
    least: dict[str, float] = field(default_factory=dict)
    identical: int = 0
    count: int = 0
    where: str = ""
    contenders: set[str] = field(default_factory=set)

    def add(self, who: str, y: Array, z: Array) -> None:
        dtype = str(z.dtype)
        distance = float(np.abs(y - z).max() / np.abs(z).max())
        distance = np.inf if np.isnan(distance) else distance
        if distance > max(self.largest.get(dtype, 0.0), EXACT[dtype]):
            self.where = who
        self.largest[dtype] = max(distance, self.largest.get(dtype, distance))
        self.least[dtype] = min(distance, self.least.get(dtype, distance))
        self.identical += bool(np.array_equal(y, z))
        self.count += 1
        self.contenders.add(who)

    @property
    def equal(self) -> bool:
        """All of them rounding."""
        return self.count > 0 and all(self.largest[dtype] <= EXACT[dtype] for dtype in self.largest)

    @property
    def different(self) -> bool:
        """None of them rounding."""
        return self.count > 0 and all(least >= FAR for least in self.least.values())

    def words(self) -> str:
        parts = [f"{value:.2g} in {dtype}" for dtype, value in self.largest.items()]
        bits = f"; {self.identical} of {self.count} equal to the last bit" if self.identical else ""
        return f"largest distance {', '.join(parts)}{bits}"


def contenders() -> list[str]:
    """Algorithms that take NumPy arrays here."""
    return [
        algorithm.name
        for algorithm in discovery.algorithms().values()
        if "numpy" in algorithm.namespaces and algorithm.missing("numpy") is None
    ]


def _arrays(dtype: str, *shapes: tuple[int, int]) -> list[Array]:
    rng = np.random.default_rng(SEED)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def _each() -> Iterable[tuple[str, str, Convolve]]:
    """(contender, dtype, its convolve)"""
    for name, dtype in itertools.product(contenders(), EXACT):

        def own(x: Array, w: Array, name: str = name, **options: str) -> Array:
            result: Array = convolve(x, w, algorithm=name, **options)  # type: ignore[arg-type]
            return result

        if (
            discovery.find(name).refuses(Problem(IMAGE, KERNEL, dtype=dtype), "numpy", "cpu")
            is None
        ):
            yield name, dtype, own


def _palindrome(w: Array) -> Array:
    """Symmetric under a half turn."""
    half: Array = w + w[::-1, ::-1]
    return half


@dataclass(frozen=True)
class Flipping:
    """``flipped``: convolution with w against correlation with w flipped, of odd kernels in every
    mode and of even ones in full and valid; ``even``: of even ones in mode same; ``symmetric`` and
    ``transposed``: convolution against correlation with one kernel that equals its half turn, and
    one that equals its transpose."""

    flipped: Distances
    even: Distances
    symmetric: Distances
    transposed: Distances


def flipping() -> Flipping:
    """Claim 5."""
    found = Flipping(*(Distances() for _ in range(4)))
    for name, dtype, own in _each():
        x, w, even = _arrays(dtype, IMAGE, KERNEL, (4, 4))
        for mode, kernel in itertools.product(("full", "same", "valid"), (w, even)):
            y = own(x, kernel, mode=mode)
            z = own(x, kernel[::-1, ::-1].copy(), mode=mode, op="correlation")
            moved = kernel is even and mode == "same"
            (found.even if moved else found.flipped).add(name, y, z)
        for kernel, distances in (
            (_palindrome(w), found.symmetric),
            (w + w.T, found.transposed),
        ):
            distances.add(name, own(x, kernel), own(x, kernel, op="correlation"))
    return found


@dataclass(frozen=True)
class Order:
    """``commutes`` and ``associates``: convolution in mode full; ``cropped``: associating in mode
    same; ``correlation_commutes`` and ``correlation_associates``: correlation in mode full."""

    commutes: Distances
    associates: Distances
    cropped: Distances
    correlation_commutes: Distances
    correlation_associates: Distances


def order() -> Order:
    """Claim 6."""
    found = Order(*(Distances() for _ in range(5)))
    for name, dtype, own in _each():
        x, v, w = _arrays(dtype, IMAGE, KERNEL, OTHER)
        found.commutes.add(name, own(x, w), own(w, x))
        found.associates.add(name, own(own(x, v), w), own(x, own(v, w)))
        inside = own(v, w)  # the two kernels' own product is whole; the images are cropped
        cropped = own(own(x, v, mode="same"), w, mode="same")
        found.cropped.add(name, cropped, own(x, inside, mode="same"))
        turn = {"op": "correlation"}
        found.correlation_commutes.add(name, own(x, w, **turn), own(w, x, **turn))
        both = own(own(x, v, **turn), w, **turn)
        found.correlation_associates.add(name, both, own(x, own(v, w, **turn), **turn))
    return found


@dataclass(frozen=True)
class Theorem:
    """F⁻¹(F(x)·F(w)) at the image's size against ``circular`` convolution and against the image's
    part of the zero-filled one (``unpadded``); at N + n − 1 against the latter (``padded``)."""

    circular: Distances
    unpadded: Distances
    padded: Distances


def theorem() -> Theorem:
    """Claim 7."""
    import scipy.fft

    def product(x: Array, w: Array, size: tuple[int, ...]) -> Array:
        spectrum = scipy.fft.fft2(x, size) * scipy.fft.fft2(w, size)
        result: Array = scipy.fft.ifft2(spectrum).real
        return result

    found = Theorem(*(Distances() for _ in range(3)))
    for name, dtype, own in _each():
        x, w = _arrays(dtype, IMAGE, KERNEL)
        try:
            y = own(x, w, boundary="circular", mode="full")
        except UnsupportedProblem:  # a library without this boundary
            pass
        else:
            found.circular.add(name, product(x, w, x.shape), y)
        filled = own(x, w)
        found.unpadded.add(name, product(x, w, x.shape), filled[: IMAGE[0], : IMAGE[1]])
        found.padded.add(name, product(x, w, filled.shape), filled)
    return found


# ---- findings ------------------------------------------------------------------------------


def _here(distances: Distances) -> str:
    return f"computed here: {len(distances.contenders)} contenders on NumPy, seed {SEED}"


def _distances(found: Any) -> dict[str, Any]:
    return {
        key: {"largest": distance.largest, "least": distance.least, "where": distance.where}
        for key, distance in vars(found).items()
    }


def _broken(*distances: Distances) -> str:
    """The contenders that break what should hold."""
    return ", ".join(sorted({distance.where for distance in distances if not distance.equal}))


def judge_flipping() -> Finding:
    found = flipping()
    where, values = _here(found.flipped), _distances(found)
    numbers = [
        f"Convolution with w against correlation with w flipped: {found.flipped.words()}.",
        f"A kernel that equals its half turn, convolved and correlated: {found.symmetric.words()}.",
        f"An even kernel in mode same: {found.even.words()}; the two centre it on either side.",
        f"A kernel that only equals its transpose: {found.transposed.words()}.",
    ]
    if not (found.flipped.equal and found.symmetric.equal):
        broken = _broken(found.flipped, found.symmetric)
        return Finding(where, "false", f"{broken} breaks it", numbers, values=values)
    condition = (
        "symmetric means equal to its half turn, and in mode same the kernel has odd sides"
        if found.even.different and found.transposed.different
        else ""
    )
    word: Word = "holds only if" if condition else "holds"
    return Finding(where, word, condition, numbers, values=values)


def judge_order() -> Finding:
    found = order()
    where, values = _here(found.commutes), _distances(found)
    numbers = [
        f"x * w against w * x: {found.commutes.words()}.",
        f"(x * v) * w against x * (v * w): {found.associates.words()}.",
        f"The same in mode same, which crops: {found.cropped.words()}.",
        f"Correlation, operands exchanged: {found.correlation_commutes.words()}.",
        f"Correlation, one by one against kernels first: {found.correlation_associates.words()}.",
    ]
    if not (found.commutes.equal and found.associates.equal):
        broken = _broken(found.commutes, found.associates)
        return Finding(where, "false", f"{broken} breaks it", numbers, values=values)
    if not (found.correlation_commutes.different and found.correlation_associates.different):
        return Finding(where, "false", "correlation does too", numbers, values=values)
    condition = "nothing is cropped (mode full), and but for rounding"
    word: Word = "holds only if" if found.cropped.different else "holds"
    return Finding(where, word, condition, numbers, values=values)


def judge_theorem() -> Finding:
    found = theorem()
    where, values = _here(found.padded), _distances(found)
    numbers = [
        f"Circular boundary, nothing padded or cropped: {found.circular.words()}.",
        f"Zeros outside, transforms of N + n − 1 points: {found.padded.words()}.",
        f"Zeros outside, transforms of N points: {found.unpadded.words()}; it wraps around.",
    ]
    if not (found.circular.equal and found.padded.equal):
        broken = _broken(found.circular, found.padded)
        return Finding(where, "false", f"{broken} breaks it", numbers, values=values)
    condition = "the boundary is circular, or both are first padded with zeros to N + n − 1"
    word: Word = "holds only if" if found.unpadded.different else "holds"
    return Finding(where, word, condition, numbers, values=values)
