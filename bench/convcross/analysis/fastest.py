"""FFT against all others in one cell: the fastest of each side."""

from __future__ import annotations

from typing import Any

import pandas as pd


def has_time(rows: pd.DataFrame) -> pd.Series[bool]:
    """Which rows have a time, usable or flagged."""
    return (rows["status"] == "ok") & rows["seconds"].notna()


def sides(cell: pd.DataFrame) -> tuple[pd.Series[Any], pd.Series[Any]] | None:
    """The rows of the fastest FFT and of the fastest contender of any other family.

    None where a side has no usable time; where its fastest has a flagged one, for then who is left
    would seem the fastest; and where the budget left a contender out.

    Parameters
    ----------
    cell : all rows of one problem, of whatever status
    """
    rows = cell[has_time(cell)].sort_values("seconds")
    fft, others = (rows[(rows["family"] == "fft") == side] for side in (True, False))
    if fft.empty or others.empty or (cell["status"] == "left-out").any():
        return None
    if not (fft["usable"].iloc[0] and others["usable"].iloc[0]):
        return None
    return fft.iloc[0], others.iloc[0]
