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
from typing import Any

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
    launches : the launch of each sample of each part, where there were any
    """

    parts: tuple[Array, ...]
    rounds: Rounds | None = None
    exact: bool = False
    fastest: Samples | None = None
    launches: tuple[Rounds, ...] = ()

    @cached_property
    def by_launch(self) -> dict[int, float]:
        """Launch → logarithm of the sum of the parts' medians in it; of those that have all parts.

        Without launches, one that stands for all: 0.
        """
        if not self.launches:
            return {0: float(np.logaddexp.reduce([median(part) for part in self.parts]))}
        common = functools.reduce(np.intersect1d, map(np.unique, self.launches))
        return {
            int(launch): float(
                np.logaddexp.reduce(
                    [
                        median(part[own == launch])
                        for part, own in zip(self.parts, self.launches, strict=True)
                    ]
                )
            )
            for launch in common
        }

    @cached_property
    def middle(self) -> float:
        """Logarithm of the sum of the parts' medians: the median of it over launches."""
        return median(np.array(list(self.by_launch.values())))

    @cached_property
    def folds(self) -> Rounds:
        """Of each sample of the first part, the part of the data in which it stands in for a
        family that the others have chosen for: its launch or, of one launch, every other round."""
        if self.launches and len(np.unique(self.launches[0])) > 1:
            return self.launches[0]
        return (np.arange(len(self.parts[0])) if self.rounds is None else self.rounds) % 2

    def fold(self, number: int, *, without: bool = False) -> Samples:
        """The samples of a fold, or all but those."""
        if self.launches and len(np.unique(self.launches[0])) > 1:
            inside = [(own == number) != without for own in self.launches]
        elif self.rounds is not None:
            inside = [(self.rounds % 2 == number) != without]
        else:
            inside = [(np.arange(len(part)) % 2 == number) != without for part in self.parts]
        return Samples(
            tuple(part[own] for part, own in zip(self.parts, inside, strict=True)),
            None if self.rounds is None else self.rounds[inside[0]],
            self.exact,
            launches=tuple(part[own] for part, own in zip(self.launches, inside, strict=True))
            if self.launches
            else (),
        )

    def __len__(self) -> int:
        return min(len(part) for part in self.parts)


def in_rounds(values: Array, rounds: Rounds, launches: Rounds | None = None) -> Samples:
    """Samples that can be paired, in the order of their rounds; one a round (its median)."""
    own: tuple[Rounds, ...] = () if launches is None else (launches,)
    if (rounds[1:] > rounds[:-1]).all():
        return Samples((np.log(values),), rounds, launches=own)
    order = np.argsort(rounds, kind="stable")
    logs, ids = np.log(values[order]), rounds[order]
    starts = np.flatnonzero(np.diff(ids, prepend=ids[0] - 1))
    if len(starts) < len(ids):
        logs = np.array([median(part) for part in np.split(logs, starts[1:])])
    return Samples((logs,), ids[starts], launches=tuple(part[order][starts] for part in own))


def join(samples: list[Samples]) -> Samples:
    """Samples of one contender and cell that several duels took."""
    if len(samples) == 1:
        return samples[0]

    def joined(name: str) -> tuple[Any, ...]:
        return tuple(
            np.concatenate(part)
            for part in zip(*(getattr(own, name) for own in samples), strict=True)
        )

    parts = joined("parts")
    launches: tuple[Rounds, ...] = ()
    if all(own.launches for own in samples):
        launches = joined("launches")
    rounds = [s.rounds for s in samples if s.rounds is not None]
    if not rounds:
        return Samples(parts, None, samples[0].exact, launches=launches)
    ids = np.concatenate(rounds)
    order = np.argsort(ids, kind="stable")
    launches = tuple(own[order] for own in launches)
    return Samples((parts[0][order],), ids[order], samples[0].exact, launches=launches)


def levels(samples: list[Samples]) -> tuple[Array, dict[int, Array]]:
    """How long each takes beside the others, as logarithms: over all rounds, and for each fold
    (``Samples.folds``) over the rounds outside it; no folds where one of them has nothing there.

    Over the rounds that all have, the median of what is left when the level of each round, the
    median of all in it, is taken off: medians of each for itself would be as noisy as the rounds.
    """
    rounds = [sample.rounds for sample in samples if sample.rounds is not None]
    if len(rounds) == len(samples):
        common = functools.reduce(_shared, rounds)
        if len(common) and 2 * len(common) >= min(map(len, samples)):
            places = [
                slice(None) if len(own) == len(common) else np.searchsorted(own, common)
                for own in rounds
            ]
            logs = np.stack([own.parts[0][at] for own, at in zip(samples, places, strict=True)])
            left, folds = logs - _medians(logs.T), samples[0].folds[places[0]]
            numbers = np.unique(folds)
            if len(numbers) == 1:  # one launch is all that they share
                return _medians(left), {}
            outside = {int(one): _medians(left[:, folds != one]) for one in numbers}
            return _medians(left), outside
    together = np.array([own.middle for own in samples])
    numbers = functools.reduce(np.intersect1d, [np.unique(own.folds) for own in samples])
    rest = {int(one): [own.fold(one, without=True) for own in samples] for one in numbers}
    if len(numbers) < 2 or not all(len(own) for outside in rest.values() for own in outside):
        return together, {}
    return together, {
        one: np.array([own.middle for own in outside]) for one, outside in rest.items()
    }


def _shared(a: Rounds, b: Rounds) -> Rounds:
    return b if np.array_equal(a, b) else np.intersect1d(a, b, assume_unique=True)


def _medians(rows: Array) -> Array:
    """The median of each row: see ``median``."""
    ordered, count = np.sort(rows, axis=1), rows.shape[1]
    middles: Array = (ordered[:, count // 2] + ordered[:, (count - 1) // 2]) / 2
    return middles


@dataclass(frozen=True)
class Ratio:
    """log(A/B), positive where B costs less.

    Attributes
    ----------
    point : the median of it over launches
    levels : (L,) of each launch that both have
    replicates : ``draws`` bootstrap replicates, as one launch tells them: of rounds
    ends : ``point`` with the fastest of all in the place of a family's on either side, where its
        contender is not clear
    """

    point: float
    levels: Array
    replicates: Array
    ends: tuple[float, ...] = ()


def log_ratio(a: Samples, b: Samples, draws: int, rng: np.random.Generator) -> Ratio:
    """The ratio of two sides.

    A family whose contender is not clear is on average too slow, as half of its rounds may choose
    the second best; and the one fastest on all rounds too fast, as its luck chose it. The
    replicates are taken in equal parts with A the faster and with B the faster.
    """
    faster = [side if side.fastest is None else side.fastest for side in (a, b)]
    if faster[0] is a and faster[1] is b:
        return _log_ratio(a, b, draws, rng)
    found = _log_ratio(a, b, 0, rng)
    low = _log_ratio(faster[0], b, draws // 2, rng)
    high = _log_ratio(a, faster[1], draws - draws // 2, rng)
    replicates = np.concatenate([low.replicates, high.replicates])
    return Ratio(found.point, found.levels, replicates, (low.point, high.point))


def _log_ratio(a: Samples, b: Samples, draws: int, rng: np.random.Generator) -> Ratio:
    """``log_ratio`` of sides taken as they are.

    Over the rounds that both have, the median of the rounds' own log ratios, so that whatever
    slows a round down slows both sides of its ratio. Without common rounds, the ratio of the
    medians, resampled independently.
    """
    if a.exact or b.exact:
        point = a.middle - b.middle
        return Ratio(point, np.array([point]), np.full(draws, point))
    if a.rounds is not None and b.rounds is not None:
        at_a, at_b = _common(a.rounds, b.rounds)
        if len(at_a) and 2 * len(at_a) >= min(len(a), len(b)):
            ratios = a.parts[0][at_a] - b.parts[0][at_b]
            own = tuple(launches[at_a] for launches in a.launches)
            found = np.array(list(Samples((ratios,), launches=own).by_launch.values()))
            return Ratio(median(found), found, resampled_median(ratios, draws, rng))
    sums = [_resampled_sum(side, draws, rng) for side in (a, b)]
    both = sorted(a.by_launch.keys() & b.by_launch.keys())
    found = np.array([a.by_launch[one] - b.by_launch[one] for one in both])
    point = median(found) if both else a.middle - b.middle
    return Ratio(point, found, sums[0] - sums[1])


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
