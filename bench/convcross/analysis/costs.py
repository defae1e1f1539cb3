"""What a contender costs, and which samples tell it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from convcross.analysis.samples import Samples, in_rounds, join
from convcross.failures import BadInput

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
    """A cost: its column and axis label, what less of it is called, and its least value."""

    column: str
    label: str
    better: str
    least: float


COSTS = {
    "time": Cost("run", "time", "faster", 0.0),
    "error": Cost("error", "relative L2 error", "more accurate", 1e-20),
    "workspace": Cost("workspace", "workspace (bytes)", "smaller in workspace", 1.0),
}


def check(phase: str, cost: str) -> None:
    """Raises BadInput for a phase or cost that is unknown or not measured."""
    if phase not in PHASES:
        raise BadInput(f"phase is {phase!r}; allowed: {', '.join(PHASES)}")
    if cost == "energy":
        raise BadInput(f"cost is 'energy': not measured; allowed: {', '.join(COSTS)}")
    if cost not in COSTS:
        raise BadInput(f"cost is {cost!r}; allowed: {', '.join(COSTS)}")


def samples(rows: pd.DataFrame, phase: str, cost: str) -> list[Samples | None]:
    """Of each row, its samples; None where it has none."""
    if cost != "time":
        least = COSTS[cost].least
        return [
            None
            if np.isnan(value)
            else Samples((np.log(np.array([max(value, least)])),), None, exact=True)
            for value in rows[COSTS[cost].column]
        ]
    if len(PHASES[phase]) == 1:
        (part,) = PHASES[phase]
        pairs = zip(rows[part], rows[ROUNDS[part]], strict=True)
        return [in_rounds(values, rounds) if len(values) else None for values, rounds in pairs]
    columns = [rows[part] for part in PHASES[phase]]
    return [
        Samples(tuple(np.log(part) for part in parts)) if all(map(len, parts)) else None
        for parts in zip(*columns, strict=True)
    ]


def by_contender(names: Iterable[str], found: Iterable[Samples | None]) -> dict[str, Samples]:
    """Samples of each contender from those of the rows of one cell; several duels' are joined."""
    lists: dict[str, list[Samples]] = {}
    for name, one in zip(names, found, strict=True):
        if one is not None:
            lists.setdefault(name, []).append(one)
    return {name: join(several) for name, several in lists.items()}
