"""Curves of log(A/B) against n, from the grid: each side's samples are made ready once."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from convcross.analysis.crossover import costs
from convcross.analysis.crossover import sides as pairs
from convcross.analysis.crossover.sides import Pair
from convcross.analysis.crossover.verdict import Curve
from convcross.analysis.load import CONDITIONS
from convcross.stats import launches, simultaneous
from convcross.stats.bootstrap import Array, Ratio, Samples, log_ratio
from convcross.stats.confidence import CONFIDENCE

DRAWS = 1000
SEED = 20260101

# n → samples of the cost of the contender that represents the side there, and who represents it
Side = dict[int, tuple[Samples, list[str]]]
# n → who represents the side at the last smaller n, and refuses this one
Refusals = dict[int, list[str]]


def in_order(group: tuple[tuple[Any, ...], Any]) -> tuple[Any, ...]:
    """What groups by ``CONDITIONS`` are sorted by: channels are one number, or in and out."""
    *conditions, channels = group[0]
    return *conditions, channels if isinstance(channels, tuple) else (channels, channels)


class Grid:
    """The usable N×n grid of a phase and a cost.

    Parameters
    ----------
    rows : see ``load.Results.grid``
    phase, cost : see ``costs``
    size : what notes call the column N

    Attributes
    ----------
    notes : what was left out of the curves made so far, one sentence each
    """

    def __init__(self, rows: pd.DataFrame, phase: str, cost: str, size: str = "N") -> None:
        times = costs.samples(rows, phase, "time")
        self._values = times if cost == "time" else costs.samples(rows, phase, cost)
        self._times, self._cost, self._size = times, cost, size
        self._names, self._failed = list(rows["contender"]), list(rows["failed"])
        self._refused = list(rows["refused"])
        self.notes: list[str] = []
        self._series: dict[tuple[str, tuple[Any, ...]], dict[int, tuple[Side, Refusals]]] = {}
        # Conditions → family or contender → N → n → places of its rows.
        self._cells: dict[tuple[Any, ...], dict[str, dict[int, dict[int, list[int]]]]] = {}
        where: dict[Any, Any] = rows.groupby(CONDITIONS, sort=False).indices
        columns = [rows[key].tolist() for key in ("family", "contender", "N", "n")]
        for conditions, places in sorted(where.items(), key=in_order):
            sides = self._cells.setdefault(conditions, {})
            for place in places:
                family, contender, N, n = (column[place] for column in columns)
                for who in (family, contender):
                    kernels = sides.setdefault(who, {}).setdefault(N, {})
                    kernels.setdefault(n, []).append(place)

    def curves(self, pair: Pair, draws: int = DRAWS) -> Iterable[tuple[dict[str, Any], int, Curve]]:
        """(conditions, N, curve) for each N where both sides have a common kernel.

        Two sides that each name a device are compared across their devices.
        """
        sides = [pairs.Side.parse(name) for name in pair]
        across = all(side.device is not None for side in sides)
        for device, *others in self._conditions(across):
            devices = [side.device or device for side in sides]
            a, b = (
                self._of(side.who, (own, *others)) for side, own in zip(sides, devices, strict=True)
            )
            shared = [" against ".join(sorted(set(devices))), *others]
            conditions = dict(zip(CONDITIONS, shared, strict=True))
            for N in sorted(set(a) & set(b)):
                (first, refused), (second, also_refused) = a[N], b[N]
                if set(first) & set(second):
                    found, refusals = curve(first, second, draws), (refused, also_refused)
                    if made := _made_by_refusal(found, refusals):
                        self._tell_of_refusals(pair, N, refusals, made)
                        kept = {n: first[n] for n in first if n not in made}
                        found = curve(kept, second, draws)
                    yield conditions, N, found

    def _conditions(self, across: bool) -> Iterable[tuple[Any, ...]]:
        """Each set of conditions, or each once for all devices."""
        if not across:
            return list(self._cells)
        return list(dict.fromkeys(("", *conditions[1:]) for conditions in self._cells))

    def _tell_of_refusals(
        self, pair: Pair, N: int, refusals: tuple[Refusals, Refusals], made: Sequence[int]
    ) -> None:
        for who, rival, refused in ((*pair, refusals[0]), (*pair[::-1], refusals[1])):
            left_out: dict[str, list[int]] = {}
            for n in made:
                if n in refused:
                    left_out.setdefault(" and ".join(refused[n]), []).append(n)
            for names, sizes in left_out.items():
                self.notes.append(
                    f"family {who} is left out at {self._size} = {N}, "
                    f"n = {', '.join(map(str, sizes))}: "
                    f"{names}, its fastest up to there, refuses such kernels, and {rival} is ahead "
                    "by the refusal"
                )

    def _of(self, who: str, conditions: tuple[Any, ...]) -> dict[int, tuple[Side, Refusals]]:
        """N → the family or contender there, and where its fastest refuses."""
        key = (who, conditions)
        if key not in self._series:
            cells = self._cells.get(conditions, {}).get(who, {})
            self._series[key] = {}
            for N, kernels in cells.items():
                side = self._side(who, N, kernels)
                self._series[key][N] = side, self._refusals(side, kernels)
        return self._series[key]

    def _refusals(self, side: Side, kernels: dict[int, list[int]]) -> Refusals:
        """Where a family is represented by another because its fastest, at the last smaller kernel
        that it takes, refuses this one."""
        found: Refusals = {}
        fastest: set[str] = set()
        for n in sorted(side):
            if refuses := sorted(fastest & self._refused[kernels[n][0]]):
                found[n] = refuses
            else:
                fastest = set(side[n][1])
        return found

    def _side(self, who: str, N: int, kernels: dict[int, list[int]]) -> Side:
        """A family is left out of a cell where the contender that stands for it next to that cell
        failed: who stands in its stead would make a crossing of its failure."""
        found = {}
        for n, places in kernels.items():
            representatives = self._representative(places)
            if representatives is not None:
                found[n] = representatives
        if "/" in who:
            return found
        failed = {n: self._failed[kernels[n][0]] for n in found}
        whole = sorted(n for n in found if not failed[n])
        missing: dict[str, list[int]] = {}
        for n in sorted(set(found) - set(whole)):
            at = bisect.bisect(whole, n)
            nearest = {name for next_ in whole[max(at - 1, 0) : at + 1] for name in found[next_][1]}
            if missed := sorted(nearest & failed[n]):
                del found[n]
                missing.setdefault(" and ".join(missed), []).append(n)
        for names, left_out in missing.items():
            self.notes.append(
                f"family {who} is left out at {self._size} = {N}, "
                f"n = {', '.join(map(str, left_out))}: "
                f"{names}, its fastest next to it, has no usable time there"
            )
        return found

    def _representative(self, places: list[int]) -> tuple[Samples, list[str]] | None:
        """Samples of the contender that is fastest in a cell, and its name.

        Two names where the halves of the rounds chose two.
        """
        names = [self._names[place] for place in places]
        times = costs.by_contender(names, [self._times[place] for place in places], "time")
        if not times:
            return None
        chosen, samples = pairs.representative(times)
        if self._values is not self._times:
            own = [self._values[place] for place in places]
            values = costs.by_contender(names, own, self._cost)
            first = next(iter(chosen.values()))
            return (values[first], [first]) if first in values else None
        return samples, sorted(set(chosen.values()))


def _made_by_refusal(curve: Curve, refusals: tuple[Refusals, Refusals]) -> list[int]:
    """Kernels at which a side is behind since its fastest refuses them, which was ahead before:
    that the rival overtakes it there says nothing of the two ideas."""
    made: set[int] = set()
    for side, refused in zip((-1, 1), refusals, strict=True):
        ahead = False
        for n, ratio in zip(map(int, curve.n), side * curve.ratio, strict=True):
            if n not in refused:
                ahead = ratio > 0
            elif ahead and ratio < 0:
                made.add(n)
    return sorted(made)


def _spread(found: Sequence[Ratio], samples: Array, draws: int) -> tuple[Array, Array]:
    """Replicates (K, draws) of the ratios of a curve, and the least of them that differ from zero
    with all the others (K,): over launches where there are several, else over rounds."""
    points = np.array([ratio.point for ratio in found])
    within = np.stack([ratio.replicates for ratio in found])
    if not draws:
        return within, np.zeros(len(found))
    of_rounds = np.sqrt(np.mean((within - points[:, None]) ** 2, axis=1))
    error = 1 - CONFIDENCE
    spread = launches.pooled([ratio.levels for ratio in found if len(ratio.levels)])
    if spread.launches == 1:
        return within, simultaneous.critical(samples, len(found), error) * of_rounds
    # Without a common launch, as one would be.
    own = [r.levels if len(r.levels) else np.array([r.point]) for r in found]
    errors = np.array([spread.standard_error(levels) for levels in own])
    errors = np.maximum(errors, of_rounds)  # a cell may be noisier than those it is pooled with
    replicates = [
        np.concatenate(
            [
                launches.replicates(center, size, spread.freedom, draws // len(centers))
                for center in centers
            ]
        )
        for centers, size in zip(
            [ratio.ends or (ratio.point,) for ratio in found], errors, strict=True
        )
    ]
    return np.stack(replicates), launches.critical(spread, len(found), error) * errors


def curve(a: Side, b: Side, draws: int = DRAWS) -> Curve:
    """The curve of two sides at one N over the kernels that both have."""
    rng = np.random.default_rng(SEED)
    sizes = sorted(set(a) & set(b))
    found = [log_ratio(a[n][0], b[n][0], draws, rng) for n in sizes]
    samples = np.array([min(len(a[n][0]), len(b[n][0])) for n in sizes], dtype=float)
    return Curve(
        np.array(sizes, dtype=float),
        np.array([ratio.point for ratio in found]),
        *_spread(found, samples, draws),
        exact=any(side[n][0].exact for side in (a, b) for n in sizes),
        representatives=([a[n][1] for n in sizes], [b[n][1] for n in sizes]),
    )
