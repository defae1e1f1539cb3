"""The table that a soak prints: a row for each thing that may go wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

ROW = "{:58} {:>24} {:>14}  {}"


@dataclass(frozen=True)
class Row:
    """What was tried, what came out, what was asked for, and whether that is met."""

    tried: str
    figure: str
    target: str
    met: bool


def show(rows: Iterable[Row]) -> int:
    """Print the rows as they come. Returns how many missed their target."""
    missed = 0
    print(ROW.format("", "figure", "target", "met"), flush=True)
    for row in rows:
        missed += not row.met
        met = "yes" if row.met else "NO"
        print(ROW.format(row.tried, row.figure, row.target, met), flush=True)
    return missed


def note(text: str) -> None:
    """How far a soak has come, which is no part of its table."""
    print(text, file=sys.stderr, flush=True)
