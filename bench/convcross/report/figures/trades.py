"""Time against what is given for it: error, and memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from convcross.report.figures import labels, style
from convcross.report.figures.curves import handles, legend, marks, named, scatter
from convcross.report.figures.labels import End
from convcross.report.figures.style import PANEL, Appearance


@dataclass(frozen=True)
class Price:
    """What a contender may pay for its time.

    Attributes
    ----------
    column : of ``tables.by_cell``; cells where it is zero, or not known, are left out
    words : in the title
    label : of the axis
    unit : of its ticks
    """

    column: str
    words: str
    label: str
    unit: str | None = None


ERROR = Price("error", "error", "relative L2 error")
WORKSPACE = Price("workspace", "memory", "workspace, as its cost declares it", "B")


def pareto(
    cells: pd.DataFrame,
    price: Price,
    appearances: Mapping[str, Appearance],
    where: str,
    kept: Collection[str],
) -> Figure:
    """Time against a price at the largest image that two contenders ran, for three kernel sizes.

    Parameters
    ----------
    cells : see ``tables.by_cell``
    kept : contenders that stand out, beside those that no other beats
    """
    column = price.column
    cells = cells[cells[column] > 0]
    counts = cells.groupby(["N", "n"])["contender"].nunique()
    several = counts[counts > 1].index if (counts > 1).any() else counts.index
    N = max(size for size, _ in several)
    kernels = sorted(n for size, n in several if size == N)
    chosen = sorted({kernels[0], kernels[len(kernels) // 2], kernels[-1]})
    shown = cells[(cells["N"] == N) & cells["n"].isin(chosen)].sort_values("seconds")
    fronts = {n: _front(shown[shown["n"] == n], column) for n in chosen}
    unbeaten = {name for front in fronts.values() for name in front["contender"]}
    appearances = style.faded(appearances, unbeaten | set(kept))
    seen = named(shown, appearances)
    made, axes, side = style.panels(
        len(chosen),
        f"Time against {price.words} at N = {N}",
        where,
        " ".join(
            [
                "Lower left is better. Grey line: contenders that no other beats in both.",
                *marks(seen),
                *style.greyed(appearances, "those of the grey line"),
            ]
        ),
        labels=seen["contender"],
        ends=True,
    )
    for panel, n in zip(axes, chosen, strict=True):
        here, front = shown[shown["n"] == n], fronts[n]
        panel.step(
            front[column], front["seconds"], where="pre", color="#999999", linewidth=1, zorder=1
        )
        ends = []
        for name, own in here.groupby("contender", sort=False):
            appearance = appearances[str(name)]
            if not appearance.named:
                panel.plot(own[column], own["seconds"], **style.DOT, zorder=1)
                continue
            scatter(panel, own, column, "seconds", appearance, 7.0)
            ends.append(End(own[column].iloc[0], own["seconds"].iloc[0], str(name), appearance))
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.margins(0.12)
        style.cost_ticks(panel.yaxis, "s")
        style.cost_ticks(panel.xaxis, price.unit)
        panel.set_xlabel(price.label)
        panel.set_ylabel("time of one run")
        panel.set_title(f"n = {n}", loc="left", fontweight="bold")
        if side is None:
            labels.at_ends(panel, ends, PANEL[1])
    if side is not None:
        legend(side, handles(seen["contender"], appearances, line=False))
    return made


def _front(cells: pd.DataFrame, column: str) -> pd.DataFrame:
    """Those of cells, by time, that no other beats in both."""
    return cells[cells[column] < cells[column].cummin().shift(fill_value=float("inf"))]
