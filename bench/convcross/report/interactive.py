"""The interactive chart: all its curves as JSON, for chart.js to draw with plotly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from convcross.analysis.crossover import words
from convcross.analysis.crossover.costs import COSTS, PHASES
from convcross.analysis.crossover.crossover import Crossover
from convcross.analysis.load import CONDITIONS, Results
from convcross.report.figures.style import Appearance
from convcross.stats.bootstrap import Array
from convcross.stats.median import median_interval

# As matplotlib's markers: plotly's.
SYMBOLS = {
    "o": "circle",
    "s": "square",
    "D": "diamond",
    "^": "triangle-up",
    "v": "triangle-down",
    "P": "cross",
    "*": "star",
    "X": "x",
    "p": "pentagon",
    "h": "hexagon",
    "<": "triangle-left",
    ">": "triangle-right",
}
DIGITS = 4  # of numbers on the page; points.csv has them all


def data(
    results: Results,
    sets: Sequence[tuple[str, Mapping[str, Any]]],
    rows: Iterable[Crossover],
    appearances: Mapping[str, Appearance],
    shown_first: Collection[str],
) -> dict[str, Any] | None:
    """What the chart shows, ready for JSON; None where there is no usable time.

    Parameters
    ----------
    sets : (in words, values) of each set of conditions
    rows : crossovers of one pair, in any phases and costs
    shown_first : contenders whose curves are shown when it opens; all have a box to tick
    """
    frame = results.frame[results.frame["is_grid"]]
    if not sets:
        return None
    measured = _measured(frame[frame["usable"]])
    known = [key for key in measured if np.isfinite(measured[key][0]).any()]
    crossings: dict[tuple[Any, ...], dict[str, dict[int, Any]]] = {}
    for row in rows:
        key = row.phase if row.cost == "time" else row.cost
        here = crossings.setdefault(tuple(getattr(row, name) for name in CONDITIONS), {})
        here.setdefault(key, {})[row.N] = {
            "said": words.sentence(row),
            "n": [_short(value) for value in (row.n_star, row.low, row.high)],
        }
    curves = _curves(frame, {key: measured[key] for key in known})
    shown = []
    for where, conditions in sets:
        values = tuple(conditions[name] for name in CONDITIONS)
        shown.append(
            {
                "where": where,
                "curves": curves[values],
                "crossings": crossings.get(values, {}),
            }
        )
    named = {
        name: appearances[name]
        for name in appearances
        if any(name in drawn["curves"] for drawn in shown)
    }
    return {
        "sets": shown,
        "phases": [[key, f"{key}: {PHASES[key].words}"] for key in PHASES if key in known],
        "costs": [
            [cost, cost, COSTS[cost].label, COSTS[cost].unit]
            for cost in COSTS
            if cost == "time" or cost in known
        ],
        "looks": {
            name: [appearance.colour, SYMBOLS[appearance.marker]]
            for name, appearance in named.items()
        },
        "hidden": [name for name in named if name not in shown_first],
    }


def _measured(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Each phase and cost → columns 0, 1 and 2: middle, low and high of each row.

    The interval of a sum is recovered from those of its parts (MOVER: Zou & Donner 2008). Of
    errors and energies it is the range over data seeds and windows.
    """
    fresh = _intervals(rows["fresh"])
    plan = _intervals(rows["plan"])
    middle = fresh[:, 0] + plan[:, 0]
    low, high = (np.hypot(*(part[:, 0] - part[:, k] for part in (fresh, plan))) for k in (1, 2))
    found = {
        "steady": rows[["seconds", "low", "high"]].to_numpy(dtype=float),
        "fresh": fresh,
        "first": np.stack([middle, middle - low, middle + high], axis=1),
        "error": _ranges(rows["errors"]),
        "workspace": np.repeat(rows[["workspace"]].to_numpy(dtype=float), 3, axis=1),
        "energy": _ranges(rows["energy"]),
    }
    return {key: pd.DataFrame(values, index=rows.index) for key, values in found.items()}


def _intervals(samples: Iterable[Array]) -> Array:
    nothing = (math.nan,) * 3
    return np.array(
        [median_interval(sample.tolist()) if len(sample) else nothing for sample in samples]
    )


def _ranges(samples: Iterable[Array]) -> Array:
    nothing = (math.nan,) * 3
    return np.array(
        [
            (np.median(sample), sample.min(), sample.max()) if len(sample) else nothing
            for sample in samples
        ]
    )


def _curves(
    frame: pd.DataFrame, measured: Mapping[str, pd.DataFrame]
) -> dict[tuple[Any, ...], dict[str, dict[str, Any]]]:
    """Conditions → contender → N → {"n": kernels, phase or cost: [middles, lows, highs]}.

    Medians over the duels of a cell. A cell that was tried in vain has null in its place.
    """
    wide = pd.concat(measured, axis=1)
    # By the number of a set of conditions: channels, numbers and pairs, have no order.
    sets = frame.groupby(CONDITIONS, sort=False).ngroup()
    conditions = dict(zip(sets, zip(*(frame[key] for key in CONDITIONS), strict=True), strict=True))
    keys = ["set", "contender", "N", "n"]
    numbered = frame.assign(set=sets)[keys].join(wide.set_axis(range(wide.shape[1]), axis=1))
    medians = numbered.groupby(keys).median()
    rounded = _rounded(medians.to_numpy())
    values = rounded.astype(object)
    values[np.isnan(rounded)] = None  # JSON has no NaN
    kernels = medians.index.get_level_values("n")
    starts = np.flatnonzero(~medians.index.to_frame()[keys[:-1]].duplicated())
    found: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for start, stop in itertools.pairwise([*starts, len(values)]):
        number, contender, N, _ = medians.index[start]
        curve: dict[str, Any] = {"n": kernels[start:stop].tolist()}
        for place, key in enumerate(measured):
            lines = values[start:stop, 3 * place : 3 * place + 3].T.tolist()
            if any(value is not None for value in lines[0]):
                curve[key] = lines
        if len(curve) > 1:
            own = found.setdefault(conditions[number], {}).setdefault(contender, {})
            own[str(N)] = curve
    return found


def _rounded(values: Array) -> Array:
    """To DIGITS significant digits."""
    with np.errstate(divide="ignore", invalid="ignore"):
        exponents = np.floor(np.log10(np.abs(values)))
    scale = 10.0 ** (DIGITS - 1 - np.where(np.isfinite(exponents), exponents, 0))
    rounded: Array = np.round(values * scale) / scale
    return rounded


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")
