"""What planning and loading cost beside running, and when the dearer preparation pays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pandas as pd

from convcross.analysis.crossover.sides import FAMILIES
from convcross.stats.bootstrap import median

PHASES = ("plan", "load", "run")


class Bill(NamedTuple):
    """Seconds of k pieces of work: fixed + k · each."""

    fixed: float
    each: float


@dataclass(frozen=True)
class Parts:
    """Median seconds of plan, load and run of a contender in a cell."""

    contender: str
    family: str
    plan: float
    load: float
    run: float

    @property
    def images(self) -> Bill:
        """Of k images through one filter: plan + load + k · run."""
        return Bill(self.plan + self.load, self.run)

    @property
    def filters(self) -> Bill:
        """Of k filters, one image each: plan + k · (load + run)."""
        return Bill(self.plan, self.load + self.run)


def break_even(a: Bill, b: Bill) -> int | None:
    """The least k ≥ 0 from which on B costs less than A: 0 for always, None for never.

    Never also where B is cheaper only up to some k: ``break_even(b, a)`` is that bound.
    """
    ahead = Fraction(b.fixed) - Fraction(a.fixed)  # exact: B costs this more to begin with
    gain = Fraction(a.each) - Fraction(b.each)
    if gain > 0:
        return max(0, math.floor(ahead / gain) + 1)
    return 0 if gain == 0 and ahead < 0 else None


@dataclass(frozen=True)
class BreakEven:
    """Two contenders in a cell, and from how many images and filters on B is cheaper."""

    N: int
    n: int
    what: str
    a: Parts
    b: Parts

    @property
    def images(self) -> int | None:
        return break_even(self.a.images, self.b.images)

    @property
    def filters(self) -> int | None:
        return break_even(self.a.filters, self.b.filters)


def comparisons(rows: pd.DataFrame, n_star: Mapping[int, float]) -> Iterable[BreakEven]:
    """The best of family direct against the best of family fft, and the second fastest contender
    against the fastest, at the smallest kernel, the nearest to n*, and the largest.

    Parameters
    ----------
    rows : usable grid of one set of conditions
    n_star : N → n*, where it is known
    """
    whole = np.logical_and.reduce([rows[phase].map(len) > 0 for phase in PHASES])
    for N, image in rows[whole].groupby("N", sort=True):
        several = image.groupby("n", sort=True)["contender"].nunique() > 1
        kernels = several.index[several].tolist()
        for n in _shown(kernels, n_star.get(int(str(N)))):
            ranked = _ranked(image[image["n"] == n])
            best = {part.family: part for part in reversed(ranked)}
            direct, fft = (best.get(family) for family in FAMILIES)
            if direct is not None and fft is not None:
                yield BreakEven(int(str(N)), n, "best direct, best fft", direct, fft)
            yield BreakEven(int(str(N)), n, "second, fastest", ranked[1], ranked[0])


def _ranked(cell: pd.DataFrame) -> list[Parts]:
    """Contenders, the fastest run first."""
    found = []
    for (contender, family), own in cell.groupby(["contender", "family"]):
        phases = [np.concatenate(own[phase].tolist()) for phase in PHASES]
        found.append(Parts(str(contender), str(family), *map(median, phases)))
    return sorted(found, key=lambda part: part.run)


def _shown(kernels: list[int], n_star: float | None) -> list[int]:
    if not kernels:
        return []
    chosen = {kernels[0], kernels[-1]}
    if n_star is not None:
        chosen.add(min(kernels, key=lambda n: abs(n - n_star)))
    return sorted(chosen)
