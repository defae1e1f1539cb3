"""What subnormal numbers cost: times on an image of them over times on ordinary values.

Processors that handle them in microcode take a hundred cycles for an operation (pytorch#67797). A
direct sum meets them in every product; a transform's first pass leaves them behind.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from convcross.analysis.claims.finding import Finding, span
from convcross.analysis.crossover.sides import FAMILIES
from convcross.analysis.load import CONDITIONS, Results

COMMAND = "convcross run denormal"
ORDINARY, DENORMAL = "normal", "denormal"  # names of image data
SLOWER, ALIKE = 1.5, 1.2  # times as long counts as slower; up to that, as hardly so


def ratios(results: Results) -> pd.DataFrame:
    """Rows with device, contender, family, N, n and ``ratio``: the time on an image of subnormal
    numbers over that on ordinary ones, all else alike."""
    keys = [*(key for key in CONDITIONS if key != "data"), "contender", "family", "N", "n"]
    grid = results.grid[results.grid["dimensions"] == 2]
    sides = [
        # Not sorted: channels are numbers and pairs.
        grid[grid["data"] == kind].groupby(keys, sort=False)["seconds"].median()
        for kind in (DENORMAL, ORDINARY)
    ]
    if any(side.empty for side in sides):
        return pd.DataFrame(columns=[*keys, "ratio"])
    sides[1] = sides[1].reindex(sides[0].index)
    found: pd.Series[float] = (sides[0] / sides[1]).dropna()
    return found.reset_index(name="ratio")


def judge(results: Results) -> list[Finding]:
    """A finding for each device on which both kinds were timed."""
    table = ratios(results)
    if table.empty:
        why = "no contender was timed on denormal and on normal data"
        return [Finding(results.machine, "not measured here", why, command=COMMAND)]
    return [
        _finding(f"{results.machine} ({device})", own)
        for device, own in table.groupby("device", sort=True)
    ]


def _finding(where: str, table: pd.DataFrame) -> Finding:
    numbers, values = [], {}
    typical: dict[str, list[float]] = {family: [] for family in FAMILIES}
    for (family, name), own in table.groupby(["family", "contender"], sort=True):
        mean = math.exp(float(np.log(own["ratio"]).mean()))
        numbers.append(
            f"{name} ({family}): {mean:.2f} times as long on subnormal numbers, "
            f"{span(own['ratio'].min(), own['ratio'].max())} over {len(own)} cells."
        )
        values[str(name)] = {"mean": mean, "most": float(own["ratio"].max())}
        if family in typical:
            typical[family].append(mean)
    direct, fft = (typical[family] for family in FAMILIES)
    if not direct or not fft:
        why = "no direct sum beside an FFT was timed on both kinds of data"
        return Finding(where, "not measured here", why, numbers, COMMAND, values)
    slow = sum(mean >= SLOWER for mean in direct)
    unmoved = all(mean <= ALIKE for mean in fft)
    told: dict[str, Any] = {"numbers": numbers, "values": values}
    if slow == len(direct) and unmoved:
        return Finding(where, "holds", **told)
    if not slow:
        return Finding(where, "false", "no direct sum is half as slow again", **told)
    fast = "" if unmoved else ", and an FFT is slowed too"
    condition = f"the sum is one of {slow} of {len(direct)} that are slowed{fast}"
    return Finding(where, "holds only if", condition, **told)
