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

The degrees of freedom are those of one cell: a process that is slow is slow in all its cells, so
that many cells of the same processes know hardly more than one. Where levels are independent from
cell to cell the interval is wider than it need be. tests/proofs/launches.py simulates both, and
bimodal levels.
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
    """

    deviation: float
    launches: int

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the deviation."""
        return max(1, self.launches - 1)

    @property
    def quantile(self) -> float:
        """Standard errors that an interval reaches to either side."""
        return float(special.stdtrit(self.freedom, (1 + CONFIDENCE) / 2))

    def standard_error(self, levels: Array) -> float:
        """Of the median of a cell's levels: so large that the interval holds all of them."""
        count = len(levels)
        own = MEDIAN_OVER_MEAN.get(count, MANY) * self.deviation / math.sqrt(count)
        farthest = float(np.abs(levels - median(levels)).max())
        return max(own, farthest / self.quantile)

    def reach(self, levels: Array) -> float:
        """Half width of the interval of the median of a cell's levels."""
        return self.quantile * self.standard_error(levels)


def pooled(cells: Iterable[Sequence[float] | Array]) -> Spread:
    """The spread of levels (L,) about the mean of each cell; cells may differ in L."""
    squares, freedom, most = 0.0, 0, 1
    for levels in cells:
        values = np.asarray(levels, dtype=np.float64)
        squares += float(np.sum((values - values.mean()) ** 2))
        freedom += len(values) - 1
        most = max(most, len(values))
    return Spread(float(np.sqrt(squares / freedom)) if freedom else 0.0, most)


def levels(values: Array, launches: Array) -> Array:
    """The median of each launch's values, launches in ascending order."""
    return np.array([median(values[launches == launch]) for launch in np.unique(launches)])


def replicates(center: float, error: float, freedom: int, draws: int) -> Array:
    """So many values distributed as the interval says: center + t · standard error, ascending."""
    return center + error * _quantiles(freedom, draws)


@functools.cache
def _quantiles(freedom: int, draws: int) -> Array:
    """Of Student's t at (i + ½)/draws."""
    found: Array = special.stdtrit(freedom, (np.arange(draws) + 0.5) / draws)
    return found


def critical(spread: Spread, cells: int, error: float) -> float:
    """Standard errors past which one of so many cells differs, at one error for all of them.

    The larger of two: what holds for levels that all cells of a process share, and Šidák's for
    cells with levels of their own, whose pooled variance then has that many more degrees of freedom
    (Šidák 1967, JASA 62, section 3).
    """
    shared = special.stdtrit(spread.freedom, 1 - error / 2)
    each = -np.expm1(np.log1p(-error) / cells)
    own = special.stdtrit(spread.freedom * cells, 1 - each / 2)
    return float(max(shared, own))
