"""Launches of one cell as one row: their samples together, and the interval that counts them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from convcross.results.status import STATUSES
from convcross.stats import launches
from convcross.stats.bootstrap import Array, median
from convcross.stats.median import PRECISION, median_interval, quantile

KEYS = ("problem", "data", "seed", "regime", "contender", "device")  # of a cell
SAMPLED = ("run", "fresh", "load", "plan", "cold_plan", "rounds", "fresh_rounds")
LAUNCHED = ("run_launches", "fresh_launches", "plan_launches")
# What the first launch alone is asked: taken from the first that tells it.
ASKED_ONCE = ("error", "errors", "energy", "no_energy", "algebra", "stages", "padded", "floor")

PREEMPTED = "preempted"  # the flag

Row = dict[str, Any]


def pooled(rows: Iterable[Row]) -> list[Row]:
    """A row a cell, of rows a launch.

    A contender that failed in one launch failed. The interval of a median is that of
    ``stats.launches``, with a spread pooled over all cells of its contender; ``settled`` where
    that lies within PRECISION and each launch had settled.
    """
    cells: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        cells.setdefault(tuple(row[key] for key in KEYS), []).append(row)
    joined = [_joined(sorted(own, key=lambda row: row["launch"])) for own in cells.values()]
    contenders: dict[tuple[Any, ...], list[Row]] = {}
    for row in joined:
        contenders.setdefault((row["contender"], row["device"], row["regime"]), []).append(row)
    for own in contenders.values():
        _settle(own)
    return joined


def _joined(rows: list[Row]) -> Row:
    rows = _undisturbed(rows)
    if len(rows) == 1:
        return rows[0]
    worst = max(rows, key=lambda row: STATUSES[row["status"]].gravity)
    timed = [row for row in rows if row["measured"]]
    whole = dict(worst if worst["status"] != "ok" else rows[0])
    whole["flags"] = tuple(sorted({flag for row in rows for flag in row["flags"]}))
    whole["measured"] = worst["status"] == "ok" and bool(timed)
    whole["settled"] = all(row["settled"] for row in rows)
    for key in (*SAMPLED, *LAUNCHED):
        whole[key] = np.concatenate([row[key] for row in rows])
    for key in ASKED_ONCE:
        whole[key] = next((row[key] for row in rows if _told(row[key])), rows[0][key])
    if timed:
        whole["seconds"] = math.exp(median(np.log([row["seconds"] for row in timed])))
    whole["p95"] = p95(whole["run"])
    whole["waited"] = float(np.mean([row["waited"] for row in rows]))
    return whole


def _undisturbed(rows: list[Row]) -> list[Row]:
    """Without the launches that waited for a core in most of their samples, and those for which a
    budget left no time, where others did not: the interval of fewer is wider."""
    kept = [row for row in rows if PREEMPTED not in row["flags"] and row["status"] != "left-out"]
    return kept if any(row["measured"] for row in kept) else rows


def p95(run: Array) -> float:
    """The time that 95 % of the samples do not exceed, over all launches; NaN of fewer than 20."""
    found = quantile(run.tolist())
    return math.nan if found is None else found


def _told(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isnan(value)
    return value is not None and len(value) > 0


def _settle(rows: Sequence[Row]) -> None:
    """The intervals of one contender's cells, where several launches tell how far they lie apart.

    ``spread`` is that deviation, relative, and NaN where one launch is all there is.
    """
    levels = {id(row): levels_of(row) for row in rows if row["measured"]}
    spread = launches.pooled(levels.values())
    for row in rows:
        row["spread"] = np.nan
        if id(row) not in levels or spread.launches == 1:
            continue
        row["spread"] = spread.deviation
        reach = spread.reach(levels[id(row)])
        low, high = (row["seconds"] * math.exp(side * reach) for side in (-1, 1))
        # One launch of a cell may be less sure of itself than launches are of each other.
        if len(levels[id(row)]) == 1:
            low, high = min(low, row["low"]), max(high, row["high"])
        row["low"], row["high"] = low, high
        row["settled"] = row["settled"] and math.expm1(reach) <= PRECISION


def deviations(rows: pd.DataFrame) -> pd.DataFrame:
    """How far each launch lies from its cell, and how far it may by its own samples.

    Returns
    -------
    a row for each launch of each cell that has several: contender, N, n, launch, apart (logarithm
    of its median over the cell's) and within (half width of the interval of its median, relative)
    """
    found = []
    cells: list[Any] = rows[["contender", "N", "n", "run", "run_launches"]].to_dict("records")
    for row in cells:
        levels = levels_of(row)
        if len(levels) > 1:
            apart = levels - median(levels)
            numbers = np.unique(row["run_launches"])
            found += [
                (row["contender"], row["N"], row["n"], int(number), float(one), width)
                for number, one, width in zip(numbers, apart, widths(row), strict=True)
            ]
    return pd.DataFrame(found, columns=["contender", "N", "n", "launch", "apart", "within"])


def widths(row: Row) -> list[float]:
    """Half widths of the intervals of the medians of its launches, relative."""
    found = []
    for launch in np.unique(row["run_launches"]):
        middle, low, high = median_interval(row["run"][row["run_launches"] == launch])
        found.append((high - low) / 2 / middle)
    return found


def levels_of(row: Row) -> Array:
    """(L,) logarithms of the medians of a row's launches."""
    return launches.levels(np.log(row["run"]), row["run_launches"])
