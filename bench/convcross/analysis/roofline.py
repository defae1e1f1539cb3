"""Attained FLOP/s against arithmetic intensity, and the ceilings above them.

Williams, Waterman & Patterson 2009, "Roofline".
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from convcross.analysis.tables import by_cell
from convkernels import discovery
from convkernels.problem import Problem
from convkernels.toolbox.bounds import compute_dtype

APART = 1.5  # a level of memory is drawn where it is so many times faster than the next larger


@dataclass(frozen=True)
class Roof:
    """The ceilings of a device for one dtype.

    Attributes
    ----------
    flops : peak FLOP/s
    memory : (bytes that the level holds, or None for main memory; bytes/s), main memory first
    """

    flops: float
    memory: list[tuple[float | None, float]]


def over(ceilings: Mapping[str, Any] | None, device: str, dtype: str, regime: str) -> Roof | None:
    """The roof for a device and dtype; None where the ceilings do not tell it.

    Flushed, no cache holds an operand: main memory is the only level.
    """
    if ceilings is None or _kind(ceilings.get("device", device)) != _kind(device):
        return None
    rates = ceilings.get("flops", {})
    peak = rates.get(dtype) or rates.get(compute_dtype(dtype))
    ladder = ceilings.get("bytes")
    if not peak or not ladder:
        return None
    return Roof(peak, levels(ladder)[: 1 if regime == "flushed" else None])


def _kind(device: str) -> str:
    return device.partition(":")[0]


def levels(ladder: Sequence[Sequence[float]]) -> list[tuple[float | None, float]]:
    """The levels of memory in (working set, bytes/s) pairs: main memory, then the caches."""
    falling = sorted(((size, rate) for size, rate in ladder), reverse=True)
    found: list[tuple[float | None, float]] = [(None, falling[0][1])]
    for size, rate in falling[1:]:
        if rate >= APART * found[-1][1]:
            found.append((size, rate))
    return found


def points(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Each contender and cell of a usable grid under the roof, and whose FLOP are not its own.

    A library that chooses by itself is left out: what it runs may be cheaper than what it declares.

    Returns
    -------
    frame
        The columns of ``by_cell``, with intensity (FLOP/byte) and rate (FLOP/s), of the FLOP and
        bytes that the algorithm declares.
    names : algorithms that are not registered here: those of the defining sum stand for them
    """
    rows = rows[rows["family"] != "library"]
    known = discovery.algorithms()
    foreign = sorted({name.partition("/")[0] for name in rows["contender"]} - set(known))

    @functools.cache
    def cost(name: str, problem: Problem) -> tuple[float, float]:
        if name not in known:
            return float(problem.flops), float(problem.min_bytes)
        own = known[name].implementation.cost(problem)
        return float(own.flops), float(own.bytes)

    cells = by_cell(rows)
    problems = dict(zip(zip(rows["N"], rows["n"], strict=True), rows["problem"], strict=True))
    asked = zip(cells["contender"], cells["N"], cells["n"], strict=True)
    costs = [cost(name.partition("/")[0], problems[N, n]) for name, N, n in asked]
    flops = pd.Series([flop for flop, _ in costs], index=cells.index)
    cells["intensity"] = flops / [moved if moved > 0 else math.nan for _, moved in costs]
    cells["rate"] = flops / cells["seconds"]
    sound = (flops > 0) & (cells["intensity"] < math.inf) & (cells["rate"] < math.inf)
    return cells[sound], foreign
