"""How far to believe a crossover: what its contenders reach of their floors, and who beats both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from convcross.analysis.crossover.costs import PHASES
from convcross.stats.bootstrap import median

WEAK = 0.25  # of its floor's pace: a contender under it says more about itself than about its idea


class Weight(NamedTuple):
    """What a crossover weighs, next to n*: floor / time of A and of B, None where unknown."""

    share_a: float | None = None
    share_b: float | None = None
    weak: Mapping[str, float] = MappingProxyType({})  # contender → its share, under WEAK
    beaten_by: Sequence[str] = ()  # contenders of family library that are faster than both


def weigh(
    rows: pd.DataFrame,
    conditions: Mapping[str, Any],
    phase: str,
    place: tuple[int, float],
    representatives: Sequence[Sequence[str]],
) -> Weight:
    """The contenders of a crossover at the measured kernel size that is nearest to n*.

    Parameters
    ----------
    rows : see ``crossover.comparable``
    place : (N, n*)
    representatives : contenders that were compared for A and for B
    """
    N, n_star = place
    here = rows[(rows["N"] == N) & _under(rows, conditions)]
    sizes = sorted(set(here["n"]))
    if not sizes:
        return Weight()
    n = min(sizes, key=lambda size: abs(float(np.log(size / n_star))))
    beside = here[here["n"] == n]
    seconds = dict(zip(beside["contender"], _seconds(beside, phase), strict=True))
    floors = dict(zip(beside["contender"], beside["floor"], strict=True))
    shares: list[float | None] = []
    weak: dict[str, float] = {}
    for names in representatives:
        known = {
            name: floors[name] / seconds[name]
            for name in names
            if np.isfinite(floors.get(name, np.nan) / seconds.get(name, np.nan))
        }
        shares.append(max(known.values(), default=None))
        weak |= {name: share for name, share in known.items() if share < WEAK}
    own = [seconds[name] for names in representatives for name in names if name in seconds]
    libraries = beside.loc[beside["family"] == "library", "contender"]
    faster = [name for name in dict.fromkeys(libraries) if own and seconds[name] < min(own)]
    return Weight(shares[0], shares[1], weak, faster)


def _under(rows: pd.DataFrame, conditions: Mapping[str, Any]) -> pd.Series[bool]:
    """Rows of these conditions; of a pair across devices, of both."""
    same = pd.Series(True, index=rows.index)
    for key, value in conditions.items():
        if key == "channels":  # one number, or in and out
            same &= rows[key].map(lambda own, value=value: own == value)
        elif key == "device":
            same &= rows[key].isin(str(value).split(" against "))
        else:
            same &= rows[key] == value
    return same


def _seconds(rows: pd.DataFrame, phase: str) -> list[float]:
    """The median of each record in a phase; not a number where it was not measured."""
    parts = [rows[part] for part in PHASES[phase].parts]
    return [
        sum(median(samples) if len(samples) else np.nan for samples in own)
        for own in zip(*parts, strict=True)
    ]
