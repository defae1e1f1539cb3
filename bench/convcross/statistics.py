"""The median of a series of times, how sure it is, and when to stop taking more."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

# Of the interval at one look. A series stops at the look where it happens to be narrow, which takes
# its toll: what is reported then covers the median in 95 % of series (tests/proofs/coverage.py).
CONFIDENCE = 0.98
PRECISION = 0.01  # half-width of the interval at which a median counts as settled, relative
FIRST_LOOK, GROWTH = 8, 1.5
LEAST = 5  # samples, however slow the contender


@functools.cache
def _rank(count: int) -> int:
    """The largest k for which [x₍ₖ₎, x₍ₙ₊₁₋ₖ₎] covers the median with CONFIDENCE; 0 for none."""
    tail, rank = 0.0, 0
    for k in range(count // 2):
        tail += math.comb(count, k) * 0.5**count
        if 2 * tail > 1 - CONFIDENCE:
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


@dataclass
class Series:
    """Samples of one contender, the round of each, and whether the median has settled."""

    samples: list[float] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    settled: bool = False
    spent: float = 0.0  # seconds inside samples, batches counted whole


def interleave(
    actions: Mapping[str, Callable[[], tuple[float, float] | None]],
    *,
    seconds: float,
    samples: int,
    order: random.Random,
) -> dict[str, Series]:
    """Sample each action in rounds of random order until its median has settled.

    All contenders meet the same clocks, temperatures and neighbours, round by round. Looks come
    at 8, 12, 18, 27, … samples, so that few of them can stop by chance.

    Parameters
    ----------
    actions : name → callable
        Takes one sample; returns (seconds of one run, seconds spent in the sample), or None to
        leave the rounds.
    seconds, samples : limits of each series; at least LEAST samples are taken all the same.
    order : seeded source of each round's order
    """
    series = {name: Series() for name in actions}
    looks = dict.fromkeys(actions, FIRST_LOOK)
    active = list(actions)
    number = 0
    while active:
        order.shuffle(active)
        for name in list(active):
            one, sample = series[name], actions[name]()
            if sample is None:
                active.remove(name)
                continue
            run, spent = sample
            one.samples.append(run)
            one.rounds.append(number)
            one.spent += spent
            count = len(one.samples)
            if count >= looks[name]:
                looks[name] = math.ceil(count * GROWTH)
                one.settled = is_settled(one.samples)
            at_limit = count >= samples or (one.spent >= seconds and count >= LEAST)
            if one.settled or at_limit:
                one.settled = one.settled or is_settled(one.samples)
                active.remove(name)
        number += 1
    return series


def is_settled(samples: Sequence[float]) -> bool:
    """Whether the interval of the median lies within PRECISION of it."""
    middle, low, high = median_interval(samples)
    if _rank(len(samples)) == 0:
        return False
    return high - middle <= PRECISION * middle and middle - low <= PRECISION * middle
