"""Where one curve overtakes another: zeros of a log ratio, their interval, and the verdict."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from convcross.stats import percentile
from convcross.stats.bootstrap import Array
from convcross.stats.percentile import Signs

TIE = np.log(1.02)  # a difference under 2 % is none: layout and alignment alone move times so far
_STEPS = 32  # places between two measured kernels where the interval is looked at


@dataclass(frozen=True)
class Curve:
    """log(cost of A / cost of B) against n at one N; positive where B is better.

    Attributes
    ----------
    n : (K,) kernel sizes, ascending
    ratio : (K,)
    replicates : (K, draws) of ratio, as its interval says
    least : (K,) absolute ratios that differ from zero, one error for all of them together
    exact : there is no spread, hence no interval
    representatives : for A and for B, the contenders that were compared at each of the K sizes
    """

    n: Array
    ratio: Array
    replicates: Array
    least: Array
    exact: bool = False
    representatives: tuple[list[list[str]], list[list[str]]] = ([], [])

    def compared(self, n_star: float | None) -> tuple[list[str], list[str]]:
        """Contenders of A and of B that were compared next to n*, or at every n without one."""
        places = np.arange(len(self.n))
        if n_star is not None:
            above = int(np.clip(np.searchsorted(self.n, n_star), 1, len(self.n) - 1))
            places = np.array([above - 1, above])
        a, b = (
            sorted({name for place in places for name in side[place]})
            for side in self.representatives
        )
        return a, b


@dataclass(frozen=True)
class Verdict:
    """The answer for one curve, in the words of bench/reading-the-numbers.md.

    The bounds of n* stand in low and high.
    """

    verdict: str
    n_star: float | None = None
    low: float | None = None
    high: float | None = None
    tie_low: float | None = None
    tie_high: float | None = None
    crossings: list[float] = field(default_factory=list)


def judge(curve: Curve, N: float) -> Verdict:
    """The verdict on B against A, of images of N pixels a side; math.inf where the kernel bounds
    the image and not the image the kernel.

    A cell counts for A or for B where its log ratio differs from zero at 95 % for all cells of the
    curve together (``stats.simultaneous``: of many cells that do not differ, some would seem to at
    95 % each) and by 2 % or more; other cells are ties and make no crossing. Where that leaves
    only one side, differences under 2 % count too.

    - always, never: B, or A, better in every cell, each at 95 %, as all must agree.
    - tie: no cell counts.
    - crosses: A better, then B to the end. n* is the last zero of the interpolated log ratio
      between the last cell of A and the next of B, and its interval the kernels there at which
      the resampled ratio does not differ from zero at 95 %.
    - beyond-grid: B is not better to the end (n* > low), or A is nowhere (n* ≤ high).
    """
    n, ratio = curve.n, curve.ratio
    each = percentile.signs(curve.replicates)
    if (each > 0).all():
        return Verdict("always", high=n[0])
    if (each < 0).all():  # the largest odd kernel of an even image is N−1
        return Verdict("never" if n[-1] >= N - 1 else "beyond-grid", low=n[-1])
    together = np.sign(ratio) * (np.abs(ratio) > curve.least)
    significant = np.where(each == together, together, 0)
    clear = np.where(np.abs(ratio) >= TIE, significant, 0)
    signs = clear if {-1, 1} <= set(clear) else significant
    decided = [int(cell) for cell in np.flatnonzero(signs)]
    if not decided:
        return Verdict("tie", tie_low=n[0], tie_high=n[-1])
    brackets = [
        (left, right) for left, right in itertools.pairwise(decided) if signs[left] != signs[right]
    ]
    zeros = [_zero(curve, left, right) for left, right in brackets]
    if signs[decided[-1]] < 0:
        return Verdict("beyond-grid", low=n[decided[-1]], crossings=zeros)
    if not brackets:
        unsure = np.flatnonzero(ratio[: decided[-1]] <= -TIE)  # A was better there, if by chance
        bound = (
            decided[0] if not len(unsure) else min(cell for cell in decided if cell > unsure[-1])
        )
        return Verdict("beyond-grid", high=n[bound])
    left, right = brackets[-1]
    interval, tie = _interval_and_tie_band(curve, left, right, clear, zeros[-1])
    return Verdict(
        "crosses",
        zeros[-1],
        low=interval[0],
        high=interval[1],
        tie_low=tie[0],
        tie_high=tie[1],
        crossings=zeros,
    )


def _zero(curve: Curve, left: int, right: int) -> float:
    """The last zero in the direction of the change between two cells of opposite signs."""
    part = curve.ratio[left : right + 1] * np.sign(curve.ratio[right])
    at = left + int(np.flatnonzero((part[:-1] <= 0) & (part[1:] > 0))[-1])
    before, after = curve.ratio[at], curve.ratio[at + 1]
    logs = np.log(curve.n[at : at + 2])
    return float(np.exp(logs[0] + (logs[1] - logs[0]) * before / (before - after)))


def _refined(curve: Curve, left: int, right: int) -> tuple[Array, Array, Array]:
    """n, ratio and its replicates between two cells, interpolated over log n."""
    place = np.linspace(left, right, (right - left) * _STEPS + 1)
    below = np.minimum(place.astype(np.int64), right - 1)
    weight = place - below
    logs = np.log(curve.n)
    n = np.exp(logs[below] * (1 - weight) + logs[below + 1] * weight)
    ratio = curve.ratio[below] * (1 - weight) + curve.ratio[below + 1] * weight
    share = weight[:, None]
    replicates = curve.replicates[below] * (1 - share) + curve.replicates[below + 1] * share
    return n, ratio, replicates


def _hull(n: Array, open_: npt.NDArray[np.bool_], zero: float) -> tuple[float, float]:
    """The least interval between places that are not open, around those that are and the zero."""
    inside = np.append(np.flatnonzero(open_), np.searchsorted(n, zero))
    first, last = max(int(inside.min()) - 1, 0), min(int(inside.max()) + 1, len(n) - 1)
    return float(n[first]), float(n[last])


def _interval(n: Array, replicates: Array, signs: Signs, zero: float) -> tuple[float, float]:
    """From where A is no longer significantly better to where B begins to be, to the end.

    Parameters
    ----------
    n, replicates, signs : of places of which A is significantly better at the first, B at the last
    """
    rank = percentile.across(replicates.shape[1])

    def edge(place: int, side: int) -> float:
        """Between this place and the next, the zero of the bound of the ratio on that side."""
        rows = side * np.partition(side * replicates[place : place + 2], rank, axis=1)[:, rank]
        share = rows[0] / (rows[0] - rows[1])
        return float(n[place] ** (1 - share) * n[place + 1] ** share)

    first = int(np.argmax(signs >= 0)) - 1
    last = len(n) - 1 - int(np.argmax(signs[::-1] <= 0))
    return min(edge(first, -1), zero), max(edge(last, 1), zero)


def _interval_and_tie_band(
    curve: Curve, left: int, right: int, clear: Signs, zero: float
) -> tuple[tuple[float, float] | tuple[None, None], tuple[float, float]]:
    """Where the ratio is not significant between left and right; and where it is not clear, from
    the last kernel where A is clearly better to the first where B is."""
    before = np.flatnonzero(clear[: left + 1])
    after = np.flatnonzero(clear[right:])
    first = int(before[-1]) if len(before) else 0
    last = right + int(after[0]) if len(after) else len(clear) - 1
    n, ratio, replicates = _refined(curve, first, last)
    signs = percentile.signs(replicates)
    tie = _hull(n, (np.abs(ratio) < TIE) | (signs == 0), zero)
    if curve.exact:
        return (None, None), tie
    inner = slice((left - first) * _STEPS, (right - first) * _STEPS + 1)
    low, high = _interval(n[inner], replicates[inner], signs[inner], zero)
    return (low, high), (min(low, tie[0]), max(high, tie[1]))
