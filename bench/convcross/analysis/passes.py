"""Layers by pass, and FFT against all others by outputs, kernel, batch and channels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from convcross.analysis.claims.layers import names, shape
from convcross.analysis.fastest import has_time, sides
from convcross.analysis.grids import by_output, with_channels
from convcross.analysis.load import Results, why_left_out
from convcross.analysis.tables import describe
from convcross.stats.bootstrap import median
from convkernels.problem import DIRECTIONS, STEP, Problem
from convkernels.toolbox.directions import forward_of

WHERE = ["device", "regime", "dtype", "op", "data"]


@dataclass(frozen=True)
class Pass:
    """A contender in one pass of a layer.

    Attributes
    ----------
    seconds : of a run, median of launches; NaN where there is no usable time, which ``why`` says
    fresh : of a load and a run, likewise
    error : relative L2
    workspace : bytes, as declared
    fastest : of the pass
    """

    seconds: float
    fresh: float
    error: float
    workspace: float
    fastest: bool
    why: str


@dataclass(frozen=True)
class LayerPasses:
    """A layer's contenders by pass, those first that are fastest in all passes together.

    Attributes
    ----------
    directions : the passes that were measured, forward first, and the step last
    contenders : name → pass by direction; those with a usable time in some pass
    scaled : how the problem differs from the sweep's layer, in words
    """

    name: str
    problem: str
    where: str
    directions: list[str]
    contenders: dict[str, dict[str, Pass]]
    scaled: str = ""

    def total(self, contender: str) -> float:
        """Seconds of all passes apart, one after the other, each with its load; NaN where one has
        no time."""
        passes = self.contenders[contender]
        apart = [way for way in self.directions if way != STEP]
        return sum(passes[way].fresh if way in passes else np.nan for way in apart)

    def step_share(self, contender: str) -> float:
        """What all passes at once take of the time that they take apart; NaN where one has no
        time, and where not all three are there."""
        passes = self.contenders[contender]
        if STEP not in passes or len(self.directions) <= len(DIRECTIONS):
            return math.nan
        return passes[STEP].seconds / self.total(contender)


def of_layers(results: Results) -> list[LayerPasses]:
    """A table for each problem with channels that no grid has, in the order measured."""
    frame = results.frame
    is_layer = with_channels(frame)
    rows = frame[is_layer].assign(why=why_left_out(frame[is_layer]))
    rows["layer"] = rows["problem"].map(forward_of)
    named, found = names(results), []
    for (layer, *conditions), own in rows.groupby(["layer", *WHERE], sort=False):
        assert isinstance(layer, Problem)
        if own["usable"].any():
            told = ", ".join(map(str, conditions))
            name = named.get(shape(layer), "")
            found.append(_table(own, name, describe(layer), f"{told} data"))
    return found


def _table(rows: pd.DataFrame, name: str, problem: str, where: str) -> LayerPasses:
    directions = [way for way in (*DIRECTIONS, STEP) if way in set(rows["direction"])]
    usable = rows[rows["usable"]]
    # A flagged time is shown by nobody, but who takes longer is not the fastest.
    medians = rows[has_time(rows)].groupby(["direction", "contender"])["seconds"].median()
    least = dict(medians.groupby("direction").min())
    contenders: dict[str, dict[str, Pass]] = {}
    for (contender, way), own in rows.groupby(["contender", "direction"], sort=False):
        timed = own[own["usable"]]
        seconds = float(timed["seconds"].median())
        contenders.setdefault(str(contender), {})[str(way)] = Pass(
            seconds,
            _median(timed["fresh"]),
            timed["error"].median(),
            timed["workspace"].max(),
            seconds == least.get(way),
            "" if len(timed) else str(own["why"].iloc[0]),
        )
    kept = set(usable["contender"])
    table = LayerPasses(
        name,
        problem,
        where,
        directions,
        {key: contenders[key] for key in contenders if key in kept},
    )

    def order(contender: str) -> tuple[float, ...]:
        """What has all passes comes before what lacks some."""
        times = [table.total(contender)]
        times += [one.seconds for one in table.contenders[contender].values()]
        return tuple(np.nan_to_num(times, nan=np.inf))

    ordered = sorted(table.contenders, key=order)
    contenders = {contender: table.contenders[contender] for contender in ordered}
    return replace(table, contenders=contenders, scaled=str(rows["scaled"].iloc[0]))


def _median(launches: pd.Series[Any]) -> float:
    """Of the launches' medians; NaN where none has a sample."""
    return float(np.median([median(one) for one in launches if len(one)] or [np.nan]))


def speed_ups(results: Results) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """Of each set of conditions and direction of a grid by outputs, a row a cell.

    A cell of which the fastest of a side has no usable time is left out. Columns: batch, channels,
    output, kernel, ``ratio``: the time of the fastest contender of any other family over that of
    the fastest FFT, their names ``other`` and ``fft``, and ``scaled``: which larger problem the
    cell stands for, in words.
    """
    rows = results.frame[by_output(results.frame)]
    found = []
    for values, own in rows.groupby([*WHERE, "direction"], sort=False):
        cells = [
            _speed_up(problem, *pair)
            for problem, cell in own.groupby("problem", sort=False)
            if (pair := sides(cell)) is not None
        ]
        if cells:
            conditions = dict(zip([*WHERE, "direction"], values, strict=True))
            found.append((conditions, pd.DataFrame(cells)))
    return found


def _speed_up(problem: Any, fft: pd.Series[Any], other: pd.Series[Any]) -> Mapping[str, Any]:
    return {
        "batch": problem.batch,
        "channels": problem.in_channels,
        "output": problem.output[1],
        "kernel": problem.kernel[1],
        "ratio": other["seconds"] / fft["seconds"],
        "other": other["contender"],
        "fft": fft["contender"],
        "scaled": fft["scaled"],
    }
