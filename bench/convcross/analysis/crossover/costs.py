"""What a contender costs, and which samples tell it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from convcross.errors import BadInput
from convcross.results.fields import MOST_ROUNDS
from convcross.stats.bootstrap import SHORTEST, Array, Samples, in_rounds, join

SEEDS = 5  # data seeds from which on an error has an interval


@dataclass(frozen=True)
class Phase:
    """What a user pays: the sum of these measured parts, in words."""

    parts: tuple[str, ...]
    words: str


PHASES = {
    "steady": Phase(("run",), "run alone"),
    "fresh": Phase(("fresh",), "load and run, as when the filter changed"),
    "first": Phase(("cold_plan", "fresh"), "plan, compiling included, load and run"),
}
ROUND_COLUMNS = {"run": "rounds", "fresh": "fresh_rounds"}  # of the rounds of each part


def _times(rows: pd.DataFrame, phase: str, least: float) -> list[Samples | None]:
    parts = PHASES[phase].parts
    if len(parts) == 1:
        columns = (rows[key] for key in (parts[0], ROUND_COLUMNS[parts[0]], *_launches(parts)))
        found = [
            in_rounds(values, rounds, launches) if _known(values) else None
            for values, rounds, launches in zip(*columns, strict=True)
        ]
        # One time that was told without samples has no spread, unless several launches have one.
        return [
            replace(own, exact=True) if own is not None and told and len(own) == 1 else own
            for own, told in zip(found, rows["summary"], strict=True)
        ]
    times = zip(*(rows[part] for part in parts), strict=True)
    launches = zip(*(rows[key] for key in _launches(parts)), strict=True)
    return [
        Samples(tuple(map(np.log, own)), launches=of) if all(map(_known, own)) else None
        for own, of in zip(times, launches, strict=True)
    ]


def _launches(parts: Sequence[str]) -> list[str]:
    """Columns of the launch of each sample of these parts."""
    return [f"{part.removeprefix('cold_')}_launches" for part in parts]


def _errors(rows: pd.DataFrame, phase: str, least: float) -> list[Samples | None]:
    """Two contenders met the same data where seed and place in the list agree."""
    _, seeds = np.unique(rows["seed"], return_inverse=True)
    return [
        in_rounds(np.maximum(errors, least), seed * MOST_ROUNDS + np.arange(len(errors)))
        if len(errors)
        else None
        for errors, seed in zip(rows["errors"], seeds, strict=True)
    ]


def _workspaces(rows: pd.DataFrame, phase: str, least: float) -> list[Samples | None]:
    return [
        None if np.isnan(value) else Samples((np.log(np.array([max(value, least)])),), exact=True)
        for value in rows["workspace"]
    ]


def _energies(rows: pd.DataFrame, phase: str, least: float) -> list[Samples | None]:
    return [Samples((np.log(windows),)) if _known(windows) else None for windows in rows["energy"]]


def _known(values: Array) -> bool:
    """Whether there are values, and none is under what can be told from nothing."""
    return len(values) > 0 and bool(values.min() >= SHORTEST)


@dataclass(frozen=True)
class Cost:
    """A cost that contenders are compared by.

    Attributes
    ----------
    label, unit : of an axis
    better : what less of it is called
    least : the least value that is told apart
    samples : (rows, phase, least) → of each row its samples, None where it has none
    of_a_run : it is measured of the run alone: no other phase has it
    """

    label: str
    unit: str
    better: str
    least: float
    samples: Callable[[pd.DataFrame, str, float], list[Samples | None]]
    of_a_run: bool = False


COSTS = {
    "time": Cost("time", "s", "faster", 0.0, _times),
    "error": Cost("relative L2 error", "", "more accurate", 1e-20, _errors, of_a_run=True),
    "workspace": Cost("workspace", "B", "smaller in workspace", 1.0, _workspaces),
    "energy": Cost(
        "energy of one run", "J", "more energy-efficient", 0.0, _energies, of_a_run=True
    ),
}


def check(phase: str, cost: str) -> None:
    """Raises BadInput for a phase or cost that is unknown, or not of each other."""
    if phase not in PHASES:
        raise BadInput(f"phase is {phase!r}; allowed: {', '.join(PHASES)}")
    if cost not in COSTS:
        raise BadInput(f"cost is {cost!r}; allowed: {', '.join(COSTS)}")
    if COSTS[cost].of_a_run and phase != "steady":
        raise BadInput(
            f"phase is {phase!r}; allowed with cost {cost!r}: steady, where alone it is measured"
        )


def samples(rows: pd.DataFrame, phase: str, cost: str) -> list[Samples | None]:
    """Of each row, its samples; None where it has none."""
    return COSTS[cost].samples(rows, phase, COSTS[cost].least)


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
