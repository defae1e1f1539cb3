"""Which of many contenders are in colour: the fastest of each family, and those asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from convcross.analysis import tables
from convcross.analysis.load import CONDITIONS, Results
from convcross.report.figures import style
from convcross.report.figures.style import AT_MOST, Appearance
from convcross.sweeps.contenders import Contender, matching


@dataclass(frozen=True)
class Emphasis:
    """How contenders look in every figure of a report, and which of them are named.

    Attributes
    ----------
    appearances : of all contenders, in colour
    highlighted : contenders that are named wherever they are
    """

    appearances: dict[str, Appearance]
    highlighted: frozenset[str]

    def named(self, cells: pd.DataFrame) -> set[str]:
        """Those of ``tables.by_cell`` to be named: all of a few, else the foremost of each family
        and the highlighted."""
        there = set(cells["contender"])
        if len(there) <= AT_MOST:
            return there
        return tables.foremost(cells) | (self.highlighted & there)


def emphasis(results: Results, highlight: Sequence[str]) -> Emphasis:
    """Of a report's results.

    Parameters
    ----------
    highlight : patterns over contenders and groups

    Raises
    ------
    BadInput
        A pattern matches no contender of the results.
    """
    frame = results.frame
    there = [Contender(name) for name in sorted(set(frame["contender"]))]
    chosen = frozenset(matching(highlight, there)) if highlight else frozenset[str]()
    if len(there) <= AT_MOST:
        return Emphasis(style.appearances(frame), chosen)
    # The shades of a family are few: its fastest contenders have them, then the highlighted.
    sets = results.grid.groupby(CONDITIONS, sort=False)
    won = sum((tables.wins(tables.by_cell(grid)) for _, grid in sets), Counter[str]())
    return Emphasis(style.appearances(frame, won + Counter(map(str, chosen))), chosen)
