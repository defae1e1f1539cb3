"""Tables beside the crossovers: the fastest contender of each cell and layer, and what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from convcross.analysis.crossover.curves import Grid
from convcross.analysis.crossover.sides import Pair
from convcross.analysis.grids import by_output
from convcross.analysis.load import FLAGS, why_left_out
from convcross.results.status import FAILURES
from convcross.stats.bootstrap import Array
from convkernels.problem import Problem

MOST = 8  # sizes, or image sizes, that are told one by one


def by_cell(grid: pd.DataFrame) -> pd.DataFrame:
    """One row for each contender, N and n: medians over the duels of that cell.

    Columns: contender, family, N, n, seconds with its 95 % interval low and high, error with its
    range over data seeds error_low to error_high, workspace (bytes, as declared), floor (seconds),
    settled (all of them) and flagged (any).
    """
    keys = ["contender", "family", "N", "n"]
    groups = grid.assign(
        flagged=grid["flags"].map(bool),
        error_low=[errors.min() if len(errors) else np.nan for errors in grid["errors"]],
        error_high=[errors.max() if len(errors) else np.nan for errors in grid["errors"]],
    ).groupby(keys, as_index=False)
    return groups.agg(
        seconds=("seconds", "median"),
        low=("low", "median"),
        high=("high", "median"),
        error=("error", "median"),
        error_low=("error_low", "min"),
        error_high=("error_high", "max"),
        workspace=("workspace", "max"),
        floor=("floor", "min"),
        settled=("settled", "all"),
        flagged=("flagged", "any"),
    )


def with_gaps(cells: pd.DataFrame, unusable: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``by_cell``, and one without numbers for each cell that a contender tried in
    vain (timed out, wrong, left out for a flag…), by n.

    Parameters
    ----------
    vain : records of the grid that are not usable, under the conditions of ``cells``
    """
    keys = ["contender", "family", "N", "n"]
    tried = unusable[keys].drop_duplicates()
    gaps = tried[~tried.set_index(keys).index.isin(cells.set_index(keys).index)]
    return pd.concat([cells.astype({"settled": object, "flagged": object}), gaps]).sort_values("n")


def fastest(cells: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``by_cell`` with the least time at their N and n."""
    return cells.loc[cells.groupby(["N", "n"])["seconds"].idxmin()]


def wins(cells: pd.DataFrame) -> Counter[str]:
    """At how many N and n of ``by_cell`` each contender is the fastest of its family."""
    best = cells.groupby(["family", "N", "n"])["seconds"].idxmin().dropna()
    return Counter(map(str, cells.loc[best, "contender"]))


def foremost(cells: pd.DataFrame) -> set[str]:
    """Of each family the contender with most ``wins``; of several the first by name."""
    won = wins(cells)
    families = cells.groupby("family")["contender"]
    return {max(sorted(set(names)), key=lambda name: won[name]) for _, names in families}


def speed_ups(
    rows: pd.DataFrame, pair: Pair
) -> dict[tuple[Any, ...], dict[tuple[int, int], float]]:
    """Conditions → (N, n) → time of A over time of B there, as the crossover sees it."""
    found: dict[tuple[Any, ...], dict[tuple[int, int], float]] = {}
    for conditions, N, curve in Grid(rows, "steady", "time").curves(pair, draws=0):
        here = found.setdefault(tuple(conditions.values()), {})
        here |= {(N, int(n)): float(r) for n, r in zip(curve.n, np.exp(curve.ratio), strict=True)}
    return found


@dataclass(frozen=True)
class LayerResult:
    """The fastest contender on a problem that is no cell of the N×n grid."""

    problem: str
    device: str
    regime: str
    data: str
    fastest: str
    seconds: float
    second: str | None
    ratio: float | None  # time of the second over that of the fastest


def layers(frame: pd.DataFrame) -> list[LayerResult]:
    """The fastest contender of each usable problem off the grid, in the order measured."""
    found = []
    rows = frame[frame["usable"] & ~frame["is_grid"] & ~by_output(frame)]
    keys = ["problem", "device", "regime", "data"]
    for (_, device, regime, data), group in rows.groupby(keys, sort=False):
        times = group.groupby("contender")["seconds"].median().sort_values()
        names, seconds = list(times.index), times.to_numpy(dtype=float)
        several = len(names) > 1
        found.append(
            LayerResult(
                describe(group["problem"].iloc[0]),
                str(device),
                str(regime),
                str(data),
                names[0],
                seconds[0],
                names[1] if several else None,
                seconds[1] / seconds[0] if several else None,
            )
        )
    return found


def describe(problem: Problem) -> str:
    """A problem in one line, its defaults left out."""
    kernel = "×".join(map(str, problem.kernel))
    image = "×".join(map(str, problem.image))
    parts = [f"{kernel} kernel on {image}"]
    if not problem.is_image:
        parts.append(f"{problem.in_channels} → {problem.out_channels} channels")
    plain = Problem(problem.image, problem.image)
    for name in ("batch", "groups", "stride", "dilation", "padding", "boundary", "direction"):
        value = getattr(problem, name)
        if value != getattr(plain, name):
            parts.append(f"{name} {value}")
    parts += [problem.mode or "", problem.op, problem.dtype]
    return ", ".join(part for part in parts if part)


def left_out(frame: pd.DataFrame) -> pd.DataFrame:
    """How many records of each contender are in no crossover and no map, and why.

    Columns: contender, device, status, reason, count, of (all records of that contender), cells
    (which, as a list of words). An unusable "ok" record has the status of its flags. Reasons that
    differ in their numbers alone are counted together; the first is shown. The contenders with the
    gravest failure (see ``FAILURES``) come first, and of each its first reason.
    """
    rows = frame[~frame["usable"]].copy()
    meant = rows["flags"].map(
        lambda words: "; ".join(FLAGS.get(w, "flagged") for w in sorted(words))
    )
    rows["reason"] = rows["reason"].where(rows["status"] != "ok", meant)
    rows["status"] = why_left_out(rows)
    rows["alike"] = rows["reason"].str.replace(r"\d+(\.\d+)?(e[+-]\d+)?", "#", regex=True)
    own = ["contender", "device"]
    total: dict[Any, int] = frame.groupby(own).size().to_dict()
    found = [
        (*keys[:3], group["reason"].iloc[0], len(group), total[keys[:2]], _cells(group))
        for keys, group in rows.groupby([*own, "status", "alike"], sort=False)
    ]
    counted = pd.DataFrame(found, columns=[*own, "status", "reason", "count", "of", "cells"])
    counted["severity"] = counted["status"].map(_severity)
    counted["gravest"] = counted.groupby(own)["severity"].transform("min")
    counted = counted.sort_values(["gravest", *own], kind="stable", ignore_index=True)
    return counted.drop(columns=["severity", "gravest"])


def _severity(status: str) -> int:
    return FAILURES.index(status) if status in FAILURES else len(FAILURES)


def _cells(rows: pd.DataFrame) -> list[str]:
    """Which cells: "N = 128: n = 3, 5", "N = 256: n = 3 to 31 (9)"; off the grid, the problems."""
    grid = rows[rows["is_grid"]]
    parts = [f"N = {N}: n = {_few(own['n'])}" for N, own in grid.groupby("N", sort=True)]
    parts += sorted({describe(problem) for problem in rows.loc[~rows["is_grid"], "problem"]})
    more = len(parts) - MOST
    return [*parts[:MOST], *([f"and {more} more"] if more > 0 else [])]


def _few(sizes: pd.Series[int]) -> str:
    """All sizes, or the range of more than MOST."""
    known = sorted(set(sizes))
    if len(known) > MOST:
        return f"{known[0]} to {known[-1]} ({len(known)})"
    return ", ".join(map(str, known))


def matrix(values: Mapping[tuple[int, int], float], sizes: list[int], kernels: list[int]) -> Array:
    """(kernels, sizes) values at (N, n), NaN where there is none."""
    table: Array = np.full((len(kernels), len(sizes)), np.nan)
    for (size, kernel), value in values.items():
        table[kernels.index(kernel), sizes.index(size)] = value
    return table
