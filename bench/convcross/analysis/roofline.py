"""Attained FLOP/s against arithmetic intensity, and the ceilings above them.

Williams, Waterman & Patterson 2009, "Roofline".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from convcross.analysis.tables import by_cell
from convcross.sweeps.regimes import REGIMES
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
    flushed = regime in REGIMES and REGIMES[regime].flushed
    rates = ceilings.get("flops", {})
    peak = rates.get(dtype) or rates.get(compute_dtype(dtype))
    ladder = ceilings.get("bytes")
    if not peak or not ladder:
        return None
    return Roof(peak, levels(ladder)[: 1 if flushed else None])


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


def points(rows: pd.DataFrame) -> pd.DataFrame:
    """Each contender and cell of a usable grid under the roof.

    A library that chooses by itself is left out: what it runs may be cheaper than what it declares.

    Returns
    -------
    frame
        The columns of ``by_cell``, with intensity (FLOP/byte) and rate (FLOP/s), of the FLOP and
        bytes that the algorithm declared; without cells of records that name none.
    """
    rows = rows[rows["family"] != "library"]
    cells = by_cell(rows)
    keys = ["contender", "N", "n"]
    declared = rows.groupby(keys)[["declared_flops", "declared_bytes"]].first()
    declared = declared.reindex(pd.MultiIndex.from_frame(cells[keys]))
    flops = pd.Series(declared["declared_flops"].to_numpy(dtype=float), index=cells.index)
    moved = pd.Series(declared["declared_bytes"].to_numpy(dtype=float), index=cells.index)
    cells["intensity"] = flops / moved.where(moved > 0)
    cells["rate"] = flops / cells["seconds"]
    sound = (flops > 0) & (cells["intensity"] < math.inf) & (cells["rate"] < math.inf)
    return cells[sound]
