"""The table that a soak prints: a row for each thing that may go wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

ROW = "{:70} {:>22} {:>10}  {}"


@dataclass(frozen=True)
class Row:
    """What was tried, what came out, what was asked for, and whether that is met."""

    tried: str
    figure: str
    target: str
    met: bool


HEAD = ROW.format("", "figure", "target", "met")


def row(one: Row) -> str:
    """A row as a line of the table."""
    return ROW.format(one.tried, one.figure, one.target, "yes" if one.met else "NO")


def show(rows: Iterable[Row]) -> int:
    """Print the rows as they come. Returns how many missed their target."""
    missed = 0
    print(HEAD, flush=True)
    for one in rows:
        missed += not one.met
        print(row(one), flush=True)
    return missed


def note(text: str) -> None:
    """How far a soak has come, which is no part of its table."""
    print(text, file=sys.stderr, flush=True)
