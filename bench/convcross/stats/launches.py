"""Medians over launches: what one process tells of the next, and how far to believe it.

A launch has a level of its own (memory layout, placement of threads, a slow mode), which all its
samples share: more samples of one process tell nothing of the next, so launches come first and
rounds second (Kalibera & Jones 2013, ISMM, section 4). The estimate is the median over launches of
the medians within them: a mode that comes in fewer than half of the processes does not move it.

    half width = t(L − 1) · c(L) · s / √L,    s² = Σ over cells of Σ (level − mean)² / Σ (L − 1)

The variance s² is pooled over all cells that the processes measured, as three levels of one cell
tell little of it; c(L) is the standard error of a median of L normal values over that of their
mean. No level of the cell lies outside: of two modes, the interval has both where both were met
(the range of five values covers their median in 94 %, whatever their distribution).

How many degrees of freedom s² has depends on what its cells share: where a process that is slow is
slow in all of them, they tell no more than one would, L − 1. As many as they are worth is estimated
from the levels, as for an analysis of variance with correlated errors (Box 1954, Ann. Math. Stat.
25, section 3; Huynh & Feldt 1976, J. Educ. Stat. 1): with S the covariance of the cells,
(tr S)² / tr S². Each beyond the first counts as one degree and not as L − 1, since few launches
tell little of S either: counted in full, intervals of three launches that share most cover 94 %.
tests/proofs/launches.py simulates levels shared, of each cell, of both, and bimodal ones.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from convcross.stats.bootstrap import Array, median
from convcross.stats.confidence import CONFIDENCE

# Standard error of the median of L normal values, over that of their mean: by numerical
# integration of the order statistics' variance (Arnold, Balakrishnan & Nagaraja 1992, section 4.9).
MEDIAN_OVER_MEAN = {1: 1.0, 2: 1.0, 3: 1.160, 4: 1.092, 5: 1.198}
MANY = 1.253  # √(π/2), of many


@dataclass(frozen=True)
class Spread:
    """How far levels of launches lie apart, pooled over cells.

    Attributes
    ----------
    deviation : s, in the unit of the levels; 0 where no cell has two launches
    launches : the most that a cell has
    cells : that have levels of their own, at least 1
    """

    deviation: float
    launches: int
    cells: float = 1.0

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the deviation, at least 1."""
        return freedom(self.launches, self.cells)

    @property
    def quantile(self) -> float:
        """Standard errors that an interval reaches to either side."""
        return float(special.stdtrit(self.freedom, (1 + CONFIDENCE) / 2))

    def standard_error(self, levels: Array) -> float:
        """Of the median of a cell's levels: so large that the interval holds all of them."""
        own = of_median(self.deviation, len(levels))
        farthest = float(np.abs(levels - median(levels)).max())
        return max(own, farthest / self.quantile)

    def reach(self, levels: Array) -> float:
        """Half width of the interval of the median of a cell's levels."""
        return self.quantile * self.standard_error(levels)


def freedom(launches: int, cells: float) -> float:
    """Degrees of freedom of a deviation pooled over so many cells with levels of their own."""
    return max(1.0, launches - 2 + cells)


def of_median(deviation: float, count: int) -> float:
    """Standard error of the median of so many levels."""
    return MEDIAN_OVER_MEAN.get(count, MANY) * deviation / math.sqrt(count)


def pooled(cells: Iterable[Sequence[float] | Array]) -> Spread:
    """The spread of levels (L,) about the mean of each cell; cells may differ in L.

    What cells share is told by those that have the most launches, in the same order.
    """
    left = [np.asarray(levels, dtype=np.float64) - np.mean(levels) for levels in cells]
    most = max(map(len, left), default=1)
    if most == 1:
        return Spread(0.0, 1)
    squares = sum(float(own @ own) for own in left)
    count = sum(len(own) - 1 for own in left)
    whole = np.stack([own for own in left if len(own) == most])
    return Spread(math.sqrt(squares / count), most, _independent(whole))


def _independent(left: Array) -> float:
    """How many of the cells have levels of their own, of levels (cells, launches) less their means.

    (tr S)² / tr S² by the unbiased estimates of both from the launches' products G = leftᵀ left,
    which is Wishart's with p = L − 1: tr S² = (tr G² − (tr G)² / p) / ((p − 1)(p + 2)) and
    (tr S)² = ((tr G)² / p − 2 tr S²) / p.
    """
    cells, freedom = left.shape[0], left.shape[1] - 1
    products = left.T @ left
    total, squared = float(np.trace(products)) ** 2, float(np.sum(products**2))
    if freedom == 1 or not total:
        return 1.0  # two launches do not tell
    shared = (squared - total / freedom) / ((freedom - 1) * (freedom + 2))
    if shared <= 0:
        return float(cells)
    return float(np.clip((total / (freedom * shared) - 2) / freedom, 1, cells))


def levels(values: Array, launches: Array) -> Array:
    """The median of each launch's values, launches in ascending order."""
    return np.array([median(values[launches == launch]) for launch in np.unique(launches)])


@dataclass(frozen=True)
class Difference:
    """Of two medians over launches, with its standard error and the degrees of freedom of that."""

    point: float
    error: float
    freedom: float

    @property
    def p(self) -> float:
        """Of the two-sided t-test of no difference."""
        if not self.error:
            return 0.0 if self.point else 1.0
        return 2.0 * float(special.stdtr(self.freedom, -abs(self.point) / self.error))

    def least(self, error: float) -> float:
        """The smallest difference of which p is so small."""
        return self.error * float(special.stdtrit(self.freedom, 1 - error / 2))


def difference(a: Array, of_a: Spread, b: Array, of_b: Spread) -> Difference:
    """Median of the levels b less that of a, which lie apart as the spreads say.

    Their errors are independent, the degrees of freedom those of Welch (1947, Biometrika 34).
    """
    variances = [own.standard_error(one) ** 2 for own, one in ((of_a, a), (of_b, b))]
    total = sum(variances)
    freedom = of_a.freedom + of_b.freedom
    if total:
        parts = zip(variances, (of_a.freedom, of_b.freedom), strict=True)
        freedom = total**2 / sum(variance**2 / own for variance, own in parts)
    return Difference(median(b) - median(a), math.sqrt(total), freedom)


def replicates(center: float, error: float, freedom: float, draws: int) -> Array:
    """So many values distributed as the interval says: center + t · standard error, ascending."""
    return center + error * _quantiles(freedom, draws)


@functools.lru_cache(64)
def _quantiles(freedom: float, draws: int) -> Array:
    """Of Student's t at (i + ½)/draws."""
    found: Array = special.stdtrit(freedom, (np.arange(draws) + 0.5) / draws)
    return found


def critical(spread: Spread, cells: int, error: float) -> float:
    """Standard errors past which one of so many cells differs, at one error for all of them.

    Šidák's bound (1967, JASA 62, section 3) for as many cells as have levels of their own: one,
    where all share those of their processes.
    """
    each = -np.expm1(np.log1p(-error) / min(float(cells), spread.cells))
    return float(special.stdtrit(spread.freedom, 1 - each / 2))
