"""What a contender costs, and which samples tell it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from convcross.analysis.load import ROUNDS_A_GROUP
from convcross.errors import BadInput
from convcross.stats.bootstrap import SHORTEST, Array, Samples, in_rounds, join

# What a user pays in each phase: the sum of these measured parts.
PHASES = {"steady": ("run",), "fresh": ("fresh",), "first": ("plan", "fresh")}
ROUNDS = {"run": "rounds", "fresh": "fresh_rounds"}  # the column of the rounds of each part
PHASE_WORDS = {
    "steady": "run alone",
    "fresh": "load and run, as when the filter changed",
    "first": "plan, load and run",
}


@dataclass(frozen=True)
class Cost:
    """A cost: its axis label, what less of it is called, and the least value that is told apart."""

    label: str
    better: str
    least: float


COSTS = {
    "time": Cost("time", "faster", 0.0),
    "error": Cost("relative L2 error", "more accurate", 1e-20),
    "workspace": Cost("workspace (bytes)", "smaller in workspace", 1.0),
    "energy": Cost("energy of a run (J)", "more energy-efficient", 0.0),
}
OF_A_RUN = ("error", "energy")  # what is measured of the run alone
SEEDS = 5  # data seeds from which on an error has an interval


def check(phase: str, cost: str) -> None:
    """Raises BadInput for a phase or cost that is unknown, or not of each other."""
    if phase not in PHASES:
        raise BadInput(f"phase is {phase!r}; allowed: {', '.join(PHASES)}")
    if cost not in COSTS:
        raise BadInput(f"cost is {cost!r}; allowed: {', '.join(COSTS)}")
    if cost in OF_A_RUN and phase != "steady":
        raise BadInput(
            f"phase is {phase!r}; allowed with cost {cost!r}: steady, where alone it is measured"
        )


def samples(rows: pd.DataFrame, phase: str, cost: str) -> list[Samples | None]:
    """Of each row, its samples; None where it has none."""
    least = COSTS[cost].least
    if cost == "workspace":
        return [
            None
            if np.isnan(value)
            else Samples((np.log(np.array([max(value, least)])),), exact=True)
            for value in rows["workspace"]
        ]
    if cost == "energy":
        return [
            Samples((np.log(windows),)) if _known(windows) else None for windows in rows["energy"]
        ]
    if cost == "error":  # two contenders met the same data where seed and place in the list agree
        _, seeds = np.unique(rows["seed"], return_inverse=True)
        return [
            in_rounds(np.maximum(errors, least), seed * ROUNDS_A_GROUP + np.arange(len(errors)))
            if len(errors)
            else None
            for errors, seed in zip(rows["errors"], seeds, strict=True)
        ]
    if len(PHASES[phase]) == 1:
        (part,) = PHASES[phase]
        pairs = zip(rows[part], rows[ROUNDS[part]], strict=True)
        return [in_rounds(values, rounds) if _known(values) else None for values, rounds in pairs]
    columns = [rows[part] for part in PHASES[phase]]
    return [
        Samples(tuple(np.log(part) for part in parts)) if all(map(_known, parts)) else None
        for parts in zip(*columns, strict=True)
    ]


def _known(values: Array) -> bool:
    """Whether there are values, and none is under what can be told from nothing."""
    return len(values) > 0 and bool(values.min() >= SHORTEST)


def by_contender(
    names: Iterable[str], found: Iterable[Samples | None], cost: str
) -> dict[str, Samples]:
    """Samples of each contender from those of the rows of one cell; several duels' are joined."""
    lists: dict[str, list[Samples]] = {}
    for name, own in zip(names, found, strict=True):
        if own is not None:
            lists.setdefault(name, []).append(own)
    joined = {name: join(several) for name, several in lists.items()}
    if cost == "error":
        return {
            name: replace(samples, exact=len(samples) < SEEDS) for name, samples in joined.items()
        }
    return joined
