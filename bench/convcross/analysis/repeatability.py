"""What a machine can tell apart: launches of one sweep held against each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convcross.analysis.launches import levels_of, widths
from convcross.analysis.load import Results, load
from convcross.errors import BadInput
from convcross.machine.repeatability import CONFIDENCE, Repeat, Repeatability
from convcross.stats import launches, modes
from convcross.stats.bootstrap import Array, median

SHOWN = (3, 5)  # launches a run, of which the smallest difference is shown
APART = 1.05  # times slower that a slow mode is at least

Row = dict[str, Any]


def repeatability(file: Path) -> Repeatability:
    """Of a results file of several launches.

    Raises BadInput on a file that ``load`` refuses, or in which no cell has two launches.
    """
    results = load([file])
    header = results.headers[0]
    return Repeatability(
        machine=results.machine,
        measured_at=header.started_at,
        commit=str(header.software.get("commit", "unknown")),
        sweep=str(header.sweep.get("name", "unnamed")),
        repeats=_repeats(results),
    )


def _repeats(results: Results) -> list[Repeat]:
    usable = results.frame[results.frame["usable"]]
    found = []
    groups: Any = usable.groupby(["contender", "device", "regime", "N"])
    for (contender, device, regime, N), rows in groups:
        cells: list[Row] = rows.to_dict("records")
        levels = [levels_of(row) for row in cells]
        spread = launches.pooled(levels)
        if spread.launches < 2:
            continue
        whole = [own - own.mean() for own in levels if len(own) == spread.launches]
        found.append(
            Repeat(
                contender=str(contender),
                device=str(device),
                regime=str(regime),
                N=int(N),
                deviation=spread.deviation,
                within=median(np.array([width for row in cells for width in widths(row)])),
                launches=spread.launches,
                cells=spread.cells,
                slow=_slow(np.mean(whole, axis=0)),
            )
        )
    if not found:
        raise BadInput(
            f"{results.paths[0]}: no contender was measured in two launches; allowed: results of "
            "a sweep with --launches 2 or more, better 10"
        )
    return found


def _slow(levels: Array) -> tuple[int, float] | None:
    """How many launches make an upper group, and how many times slower it is."""
    count = modes.upper(levels)
    ordered = np.sort(levels)
    factor = math.exp(ordered[-count:].mean() - ordered[:-count].mean()) if count else 1.0
    return (count, factor) if factor >= APART else None


def print_repeatability(found: Repeatability) -> None:
    """Print a row for each contender and image size, the steadiest first; then what they say."""
    repeats = sorted(found.repeats, key=lambda one: one.deviation)
    names = [f"{one.contender}@{one.device}" for one in repeats]
    width = max(map(len, names))
    tells = "".join(f"{f'{count} tell':>9}" for count in SHOWN)
    print(f"{'contender':{width}} {'N':>6} {'between':>8} {'within':>7}{tells}  launches")
    for name, one in zip(names, repeats, strict=True):
        told = "".join(f"{_told(one, count):>9}" for count in SHOWN)
        print(
            f"{name:{width}} {one.N:6} {one.deviation:8.1%} {one.within:7.1%}{told}  {_modes(one)}"
        )
    print(
        "between: standard deviation between processes; within: half width of the interval of one; "
        "tell: the smallest difference between two runs of so many launches that is no chance "
        f"({CONFIDENCE:.0%} of runs of the same code differ by less)"
    )
    print(_sentence(repeats))


def _told(one: Repeat, count: int) -> str:
    return f"{math.expm1(one.smallest(count, count)):.1%}"


def _modes(one: Repeat) -> str:
    if one.slow is None:
        told = "no slow mode" if one.launches >= modes.LEAST else "too few to tell a slow mode"
        return f"{one.launches}: {told}"
    count, factor = one.slow
    return f"{one.launches}: bimodal, {count} are {factor:.2f} times slower"


def _sentence(repeats: Sequence[Repeat]) -> str:
    best, worst = repeats[0], repeats[-1]
    return (
        f"Two runs of {SHOWN[0]} launches tell differences from {_told(best, SHOWN[0])} "
        f"({best.contender}, N = {best.N}) to {_told(worst, SHOWN[0])} ({worst.contender}, "
        f"N = {worst.N}) apart here."
    )
