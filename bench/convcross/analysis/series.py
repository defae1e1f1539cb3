"""Curves of log(A/B) against n, from the grid: each side's samples are made ready once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from convcross.analysis import costs, pairs
from convcross.analysis.load import CONDITIONS
from convcross.analysis.pairs import Pair, Side
from convcross.analysis.samples import Samples, log_ratio
from convcross.analysis.verdict import Curve

DRAWS = 1000
SEED = 20260101

# N → n → samples of the cost of the contender that stands there, and the names of who stood
Series = dict[int, dict[int, tuple[Samples, list[str]]]]


class Grid:
    """The usable N×n grid of a phase and a cost.

    Parameters
    ----------
    rows : see ``load.Results.grid``
    phase, cost : see ``costs``
    """

    def __init__(self, rows: pd.DataFrame, phase: str, cost: str) -> None:
        times = costs.samples(rows, phase, "time")
        self._values = times if cost == "time" else costs.samples(rows, phase, cost)
        self._times = times
        self._names = list(rows["contender"])
        self._series: dict[tuple[str, tuple[Any, ...]], Series] = {}
        # Conditions → family or contender → N → n → places of its rows.
        self._cells: dict[tuple[Any, ...], dict[str, dict[int, dict[int, list[int]]]]] = {}
        where: dict[Any, Any] = rows.groupby(CONDITIONS, sort=True).indices
        columns = [rows[key].tolist() for key in ("family", "contender", "N", "n")]
        for conditions, places in where.items():
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
        sides = [Side.parse(name) for name in pair]
        across = all(side.device is not None for side in sides)
        for device, *others in self._conditions(across):
            devices = [side.device or device for side in sides]
            a, b = (
                self._of(side.who, (own, *others)) for side, own in zip(sides, devices, strict=True)
            )
            told = [" against ".join(sorted(set(devices))), *others]
            conditions = dict(zip(CONDITIONS, told, strict=True))
            for N in sorted(set(a) & set(b)):
                sizes = sorted(set(a[N]) & set(b[N]))
                if sizes:
                    yield conditions, N, _curve(sizes, a[N], b[N], draws)

    def _conditions(self, across: bool) -> Iterable[tuple[Any, ...]]:
        """Each set of conditions, or each once for all devices."""
        if not across:
            return list(self._cells)
        return list(dict.fromkeys(("", *conditions[1:]) for conditions in self._cells))

    def _of(self, who: str, conditions: tuple[Any, ...]) -> Series:
        key = (who, conditions)
        if key not in self._series:
            cells = self._cells.get(conditions, {}).get(who, {})
            found: Series = {}
            for N, kernels in cells.items():
                for n, places in kernels.items():
                    stood = self._stands(places)
                    if stood is not None:
                        found.setdefault(N, {})[n] = stood
            self._series[key] = found
        return self._series[key]

    def _stands(self, places: list[int]) -> tuple[Samples, list[str]] | None:
        """Samples of the contender that is fastest in a cell, and its name.

        Two names where the halves of the rounds chose two.
        """
        names = [self._names[place] for place in places]
        times = costs.by_contender(names, [self._times[place] for place in places])
        if not times:
            return None
        chosen, samples = pairs.represent(times)
        if self._values is not self._times:
            values = costs.by_contender(names, [self._values[place] for place in places])
            if chosen[0] not in values:
                return None
            samples = values[chosen[0]]
        return samples, sorted(set(chosen.values()))


def _curve(
    sizes: list[int],
    a: dict[int, tuple[Samples, list[str]]],
    b: dict[int, tuple[Samples, list[str]]],
    draws: int,
) -> Curve:
    rng = np.random.default_rng(SEED)
    compared = [log_ratio(a[n][0], b[n][0], draws, rng) for n in sizes]
    points, replicates = zip(*compared, strict=True)
    return Curve(
        np.array(sizes, dtype=float),
        np.array(points),
        np.stack(replicates),
        exact=any(a[n][0].exact for n in sizes),
        stood=([a[n][1] for n in sizes], [b[n][1] for n in sizes]),
    )
