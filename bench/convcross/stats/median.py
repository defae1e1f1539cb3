"""The median of a series of times, how sure it is, and when it has settled.

    P(x₍ₖ₎ ≤ median ≤ x₍ₙ₊₁₋ₖ₎) = 1 − 2 · P(Binomial(n, ½) < k)

whatever the distribution of the times (David & Nagaraja 2003, section 7.1). What it covers with the
stopping rule is simulated by tests/proofs/medians.py.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

# Of the interval at one look. A series stops at the look where it happens to be narrow, which takes
# its toll: what is reported then covers the median in 95 % of series (tests/proofs/medians.py).
LOOK_CONFIDENCE = 0.98
PRECISION = 0.01  # half-width of the interval at which a median counts as settled, relative


@functools.cache
def _rank(count: int) -> int:
    """The largest k of which [x₍ₖ₎, x₍ₙ₊₁₋ₖ₎] has LOOK_CONFIDENCE to cover the median, or 0."""
    tail, rank = 0.0, 0
    whole = math.lgamma(count + 1) - count * math.log(2)  # logarithms: count! is past any float
    for k in range(count // 2):
        tail += math.exp(whole - math.lgamma(k + 1) - math.lgamma(count - k + 1))
        if 2 * tail > 1 - LOOK_CONFIDENCE:
            break
        rank = k + 1
    return rank


def median_interval(samples: Sequence[float]) -> tuple[float, float, float]:
    """Median, and its distribution-free interval from order statistics (David & Nagaraja 2003,
    section 7.1), in the unit of the samples. Under 7 samples the interval is their range."""
    ordered = sorted(samples)
    count = len(ordered)
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    rank = max(1, _rank(count))
    return middle, ordered[rank - 1], ordered[count - rank]


def is_settled(samples: Sequence[float]) -> bool:
    """Whether the interval of the median lies within PRECISION of it."""
    if _rank(len(samples)) == 0:
        return False
    middle, low, high = median_interval(samples)
    return high - middle <= PRECISION * middle and middle - low <= PRECISION * middle


HIGH = 0.95  # the quantile that a deadline asks for


def quantile(samples: Sequence[float], share: float = HIGH) -> float | None:
    """The order statistic that this share of the samples do not exceed; None of so few that it
    would be their largest."""
    place = math.ceil(share * len(samples))
    return sorted(samples)[place - 1] if place < len(samples) else None
