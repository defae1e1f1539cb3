"""Samples of a cost, and the paired bootstrap of their medians' ratio.

    log ratio = median over rounds of (log a − log b), resampled with replacement

Rounds are resampled as pairs, so that what slows a round down slows both sides (Davison & Hinkley
1997, sections 2.4 and 3.4). The resampled medians are drawn from their own distribution, not by
resampling (see ``resampled_median``). tests/proofs/crossovers.py simulates what is made of them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import special

Array = npt.NDArray[np.float64]
Rounds = npt.NDArray[np.int64]

SHORTEST = 1e-15  # s; less is no measurement of a run
_FAR = 100.0  # a log ratio beyond any measurement: where one sample says nothing of its spread


def median(values: Array) -> float:
    """As ``np.median``, which takes ten times as long on a few dozen values."""
    ordered = np.sort(values)
    return float(ordered[len(values) // 2] + ordered[~(len(values) // 2)]) / 2


@dataclass(frozen=True)
class Samples:
    """One contender's samples of a cost in one cell.

    Attributes
    ----------
    parts : logarithms of the samples of each term that the cost is the sum of
    rounds : the round of each sample, ascending, where there is one part; else None
    exact : the value is known without spread (bytes); there is no interval
    fastest : of a family whose contender is not clear, samples of the one fastest on all rounds
    """

    parts: tuple[Array, ...]
    rounds: Rounds | None = None
    exact: bool = False
    fastest: Samples | None = None

    @cached_property
    def middle(self) -> float:
        """Logarithm of the sum of the parts' medians."""
        return float(np.logaddexp.reduce([median(part) for part in self.parts]))

    def half(self, odd: int) -> Samples:
        """The even (0) or odd (1) rounds, or places where there are no rounds."""
        if self.rounds is None:
            return Samples(tuple(part[odd::2] for part in self.parts), None, self.exact)
        own = self.rounds % 2 == odd
        return Samples((self.parts[0][own],), self.rounds[own], self.exact)

    def __len__(self) -> int:
        return min(len(part) for part in self.parts)


def in_rounds(values: Array, rounds: Rounds) -> Samples:
    """Samples that can be paired, in the order of their rounds; one a round (its median)."""
    if (rounds[1:] > rounds[:-1]).all():
        return Samples((np.log(values),), rounds)
    order = np.argsort(rounds, kind="stable")
    logs, ids = np.log(values[order]), rounds[order]
    starts = np.flatnonzero(np.diff(ids, prepend=ids[0] - 1))
    if len(starts) < len(ids):
        logs = np.array([median(part) for part in np.split(logs, starts[1:])])
    return Samples((logs,), ids[starts])


def join(samples: list[Samples]) -> Samples:
    """Samples of one contender and cell that several duels took."""
    if len(samples) == 1:
        return samples[0]
    parts = tuple(np.concatenate(part) for part in zip(*(s.parts for s in samples), strict=True))
    rounds = [s.rounds for s in samples if s.rounds is not None]
    if not rounds:
        return Samples(parts, None, samples[0].exact)
    ids = np.concatenate(rounds)
    order = np.argsort(ids, kind="stable")
    return Samples((parts[0][order],), ids[order], samples[0].exact)


def levels(samples: list[Samples]) -> list[Array]:
    """How long each takes beside the others, as logarithms: over all rounds, over the even ones
    and over the odd ones; over all alone where one of them has no half.

    Over the rounds that all have, the median of what is left when the level of each round, the
    median of all in it, is taken off: medians of each for itself would be as noisy as the rounds.
    """
    rounds = [sample.rounds for sample in samples if sample.rounds is not None]
    if len(rounds) == len(samples):
        common = functools.reduce(_shared, rounds)
        if len(common) and 2 * len(common) >= min(map(len, samples)):
            logs = np.stack(
                [
                    sample.parts[0]
                    if len(own) == len(common)
                    else sample.parts[0][np.searchsorted(own, common)]
                    for sample, own in zip(samples, rounds, strict=True)
                ]
            )
            left, odd = logs - _medians(logs.T), common % 2 == 1
            halves = [left[:, ~odd], left[:, odd]]
            return [_medians(left), *(_medians(half) for half in halves if half.size)]
    sets = [samples, *([sample.half(odd) for sample in samples] for odd in (0, 1))]
    return [np.array([own.middle for own in group]) for group in sets if min(map(len, group))]


def _shared(a: Rounds, b: Rounds) -> Rounds:
    return b if np.array_equal(a, b) else np.intersect1d(a, b, assume_unique=True)


def _medians(rows: Array) -> Array:
    """The median of each row: see ``median``."""
    ordered, count = np.sort(rows, axis=1), rows.shape[1]
    middles: Array = (ordered[:, count // 2] + ordered[:, (count - 1) // 2]) / 2
    return middles


def log_ratio(a: Samples, b: Samples, draws: int, rng: np.random.Generator) -> tuple[float, Array]:
    """log(A/B), positive where B costs less, and ``draws`` bootstrap replicates of it.

    A family whose contender is not clear is on average too slow, as half of its rounds may choose
    the second best; and the one fastest on all rounds too fast, as its luck chose it. The
    replicates are taken in equal parts with A the faster and with B the faster.
    """
    faster = [side if side.fastest is None else side.fastest for side in (a, b)]
    if faster[0] is a and faster[1] is b:
        return _log_ratio(a, b, draws, rng)
    point, _ = _log_ratio(a, b, 0, rng)
    _, low = _log_ratio(faster[0], b, draws // 2, rng)
    _, high = _log_ratio(a, faster[1], draws - draws // 2, rng)
    return point, np.concatenate([low, high])


def _log_ratio(a: Samples, b: Samples, draws: int, rng: np.random.Generator) -> tuple[float, Array]:
    """``log_ratio`` of sides taken as they are.

    Over the rounds that both have, the median of the rounds' own log ratios, so that whatever
    slows a round down slows both sides of its ratio. Without common rounds, the ratio of the
    medians, resampled independently.
    """
    if a.exact or b.exact:
        point = a.middle - b.middle
        return point, np.full(draws, point)
    if a.rounds is not None and b.rounds is not None:
        at_a, at_b = _common(a.rounds, b.rounds)
        if len(at_a) and 2 * len(at_a) >= min(len(a), len(b)):
            ratios = a.parts[0][at_a] - b.parts[0][at_b]
            return median(ratios), resampled_median(ratios, draws, rng)
    sums = [_resampled_sum(side, draws, rng) for side in (a, b)]
    replicates: Array = sums[0] - sums[1]
    return a.middle - b.middle, replicates


def _common(a: Rounds, b: Rounds) -> tuple[Rounds, Rounds]:
    """The places of the rounds that both have, in each."""
    if np.array_equal(a, b):
        places = np.arange(len(a))
        return places, places
    _, at_a, at_b = np.intersect1d(a, b, assume_unique=True, return_indices=True)
    return at_a, at_b


def _resampled_sum(side: Samples, draws: int, rng: np.random.Generator) -> Array:
    """Replicates of ``side.middle``, each part resampled for itself."""
    medians = np.stack([resampled_median(part, draws, rng) for part in side.parts])
    total: Array = np.logaddexp.reduce(medians, axis=0)
    return total


def resampled_median(values: Array, draws: int, rng: np.random.Generator) -> Array:
    """Medians of ``draws`` bootstrap resamples of ``values``, from their distribution.

    The median of a resample is Q(U), where Q is the quantile function of the values and U the
    median of as many uniform numbers, which is Beta((R+1)/2, (R+1)/2). The draws of U are its
    quantiles at (i + ½)/draws in random order: one of each stratum (Latin hypercube sampling, McKay
    et al. 1979), so that an interval has no noise of its own.
    Q interpolates the order statistics at k/(R+1) (the smoothed bootstrap: Davison & Hinkley 1997,
    section 3.4) and goes on linearly past the first and last, as fewer than 6 values do not reach
    a 95 % interval. A single value has no spread to resample: its replicates lie far on both
    sides.
    """
    count, order = len(values), rng.permutation(draws)
    if count == 1:
        far: Array = values[0] + np.where(order < draws / 2, -_FAR, _FAR)
        return far
    below, share = _places(count, draws)
    ordered = np.sort(values)
    resampled: Array = ordered[below - 1] + share * (ordered[below] - ordered[below - 1])
    return resampled[order]


@functools.cache
def _places(count: int, draws: int) -> tuple[Rounds, Array]:
    """Between which order statistics of so many values the quantiles of U lie, and how far."""
    half = (count + 1) / 2
    place = (count + 1) * special.betaincinv(half, half, (np.arange(draws) + 0.5) / draws)
    below = np.clip(place.astype(np.int64), 1, count - 1)
    return below, place - below
