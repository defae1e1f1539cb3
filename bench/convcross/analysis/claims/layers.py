"""In how many layers of networks FFT is the fastest, by how much, by batch, channels and kernel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from convcross.analysis.claims.finding import Finding, span
from convcross.analysis.crossover.verdict import TIE
from convcross.analysis.fastest import has_time, sides
from convcross.analysis.grids import with_channels
from convcross.analysis.load import Results
from convcross.analysis.tables import describe
from convcross.sweeps.spec import Layer
from convkernels.problem import Problem

COMMAND = "convcross run layers"
FEW = 5  # layers that are told one by one
BY = {  # column → what it is, and from where on its groups begin
    "batch": ("batch", (1, 2, 8, 32, 128)),
    "channels": ("input channels of a group", (1, 2, 16, 64, 256)),
    "kernel": ("kernel", (1, 4, 8, 16)),
}
WHERE = ["device", "regime", "dtype", "op", "data"]


def ratios(results: Results) -> pd.DataFrame:
    """A row a layer (a problem with channels) and conditions, FFT's best layer first.

    Columns: device, regime, dtype, op, data, problem, name, batch, channels (of the input, in a
    group), kernel (its larger side), ``ratio``: the time of the fastest contender of any other
    family over that of the fastest FFT, their names ``other`` and ``fft``, and ``scaled``: how the
    problem differs from the sweep's layer, in words. ``attrs["left_out"]``: layers of which the
    fastest of a side has no usable time.
    """
    frame = results.frame
    rows = frame[with_channels(frame) & (frame["direction"] == "forward")]
    found, left_out = [], 0
    named = names(results)
    for values, own in rows.groupby([*WHERE, "problem"], sort=False):
        *conditions, problem = values
        assert isinstance(problem, Problem)
        pair = sides(own)
        if pair is None:
            left_out += set(own.loc[has_time(own), "family"]) > {"fft"}
            continue
        best, rival = pair
        found.append(
            {
                **dict(zip(WHERE, conditions, strict=True)),
                "problem": problem,
                "name": named.get(shape(problem), describe(problem)),
                "batch": problem.batch,
                "channels": problem.in_channels // problem.groups,
                "kernel": max(problem.kernel),
                "ratio": rival["seconds"] / best["seconds"],
                "fft": best["contender"],
                "other": rival["contender"],
                "scaled": best["scaled"],
            }
        )
    columns = [*WHERE, "problem", "name", *BY, "ratio", "fft", "other", "scaled"]
    table = pd.DataFrame(found, columns=columns).sort_values("ratio", ascending=False)
    table.attrs["left_out"] = left_out
    return table


def shape(problem: Problem) -> tuple[Any, ...]:
    """What tells it from other layers of a sweep."""
    size = (problem.image, problem.kernel, problem.batch, problem.in_channels)
    rest = (problem.out_channels, problem.groups, problem.padding, problem.stride, problem.dilation)
    return (*size, *rest)


def names(results: Results) -> dict[tuple[Any, ...], str]:
    """Shape of a layer → its name in the sweep; the first of several."""
    found: dict[tuple[Any, ...], str] = {}
    for header in results.headers:
        listed = header.sweep.get("layers")
        for keys in listed if isinstance(listed, list) else []:
            try:
                layer = Layer.model_validate(keys)
                mode = None if layer.padding is not None else "same"
                found.setdefault(shape(Problem(**layer.fields(), mode=mode)), layer.name)
            except (ValidationError, ValueError):  # a header that is another's
                continue
    return found


def judge(results: Results) -> list[Finding]:
    """A finding for each device and conditions under which layers were timed."""
    table = ratios(results)
    if table.empty:
        why = "no layer has a usable time of its fastest FFT and of its fastest other contender"
        return [Finding(results.machine, "not measured here", why, command=COMMAND)]
    findings = [
        _finding(f"{results.machine} ({', '.join(map(str, values))} data)", own)
        for values, own in table.groupby(WHERE, sort=True)
    ]
    if count := table.attrs["left_out"]:
        findings[-1].numbers.append(
            f"Left out: {count} more, as the fastest FFT or the fastest other one has no usable "
            "time there (--include-flagged counts flagged ones)."
        )
    return findings


def _finding(where: str, table: pd.DataFrame) -> Finding:
    won = table[np.log(table["ratio"]) >= TIE]
    count, total = len(won), len(table)
    numbers = []
    if count:
        few = [
            f"{row['name']} {row['ratio']:.2g}× ({row['fft']} against {row['other']})"
            for row in won.head(FEW).to_dict("records")
        ]
        first = f", most of all {'; '.join(few)}" if count > FEW else f": {'; '.join(few)}"
        numbers.append(
            f"FFT is the fastest in {count} of {total} layers, there "
            f"{span(won['ratio'].min(), won['ratio'].max())} times as fast as the best of all "
            f"other contenders{first}."
        )
    if count < total:
        slower = 1 / table.loc[table.index.difference(won.index), "ratio"]
        mean = math.exp(float(np.log(slower).mean()))
        numbers.append(
            f"In the other {total - count} the best FFT takes {span(slower.min(), slower.max())} "
            f"times as long as the fastest contender, {span(mean, mean)} in geometric mean."
        )
    shares = {column: _shares(table, won, column) for column in BY}
    numbers += [
        f"By {BY[column][0]}: {'; '.join(f'{key}: {a} of {b}' for key, (a, b) in own.items())}."
        for column, own in shares.items()
    ]
    values: Mapping[str, Any] = {
        "layers": total,
        "fft_fastest": count,
        "ratios": dict(zip(table["name"], map(float, table["ratio"]), strict=True)),
        "by": shares,
    }
    told: dict[str, Any] = {"numbers": numbers, "values": dict(values)}
    if not count:
        return Finding(where, "false", f"it is so in none of {total} layers", **told)
    if count == total:
        return Finding(where, "holds", **told)
    return Finding(where, "holds only if", f"the layer is one of {count} of {total}", **told)


def _shares(table: pd.DataFrame, won: pd.DataFrame, column: str) -> dict[str, tuple[int, int]]:
    """Group of values → (layers in which FFT is the fastest, layers)."""
    _, starts = BY[column]
    found = {}
    for place, start in enumerate(starts):
        end = starts[place + 1] if place + 1 < len(starts) else math.inf
        inside = (table[column] >= start) & (table[column] < end)
        values: Sequence[int] = sorted(set(table.loc[inside, column]))
        if values:
            label = str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"
            hits = (won[column] >= start) & (won[column] < end)
            found[label] = (int(hits.sum()), int(inside.sum()))
    return found
