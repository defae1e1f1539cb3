"""Percentile intervals of bootstrap replicates, and which of them leave out zero.

    interval = [x₍ₖ₊₁₎, x₍B₋ₖ₎] of B replicates in order,    k = ⌊(1 − confidence)/2 · B⌋ − 1

of which one less lies outside than a tail holds, as what was measured counts among the replicates
(Davison & Hinkley 1997, section 4.2 and 5.3). What such intervals of n* cover is simulated by
tests/proofs/crossovers.py.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from convcross.stats.bootstrap import Array
from convcross.stats.confidence import CONFIDENCE

Signs = npt.NDArray[np.int64]


def across(draws: int) -> int:
    """How many of so many replicates may lie across a bound: k of the formula above."""
    return max(int((1 - CONFIDENCE) / 2 * draws + 1e-9), 1) - 1


def signs(replicates: Array) -> Signs:
    """The sign of each row whose interval leaves out zero, each row for itself; 0 for the others.

    Parameters
    ----------
    replicates : (K, draws)

    Returns
    -------
    array (K,) of -1, 0, 1
    """
    most = across(replicates.shape[1])
    above = np.count_nonzero(replicates <= 0, axis=1) <= most
    below = np.count_nonzero(replicates >= 0, axis=1) <= most
    found: Signs = above.astype(np.int64) - below
    return found


def interval(replicates: Array) -> tuple[float, float]:
    """The ends of the interval of replicates (draws,), in their unit, by interpolated quantiles."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail])
    return float(low), float(high)
