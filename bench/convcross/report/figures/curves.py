"""Costs as curves: time and error against n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convcross.analysis.crossover.crossover import Crossover
from convcross.analysis.crossover.words import number
from convcross.report.figures import labels, style
from convcross.report.figures.labels import End
from convcross.report.figures.style import PANEL, Appearance

MARKS = "Hollow: not settled within the limit of samples or seconds."
FLAGGED = "Cross: flagged, included as asked."
MOST_PANELS = 6  # the interactive chart has every image size
FLOOR = Appearance(style.SOFT, "None")


def time(
    cells: pd.DataFrame,
    rows: Sequence[Crossover],
    appearances: Mapping[str, Appearance],
    where: str,
) -> Figure:
    """Time against n, a panel an image size, the crossover in ``rows`` marked.

    Parameters
    ----------
    cells : see ``tables.with_gaps``: a line breaks where its contender was not timed
    appearances : see ``style.faded``; so in all figures here
    """
    sizes, note = _panels(cells)
    seen = named(cells, appearances)
    note.append("Lower is better. Lines: medians; bands: their 95 % intervals.")
    if any(row.n_star is not None for row in rows):
        a, b = rows[0].pair
        note.append(f"Dashed upright: n*, where {b} overtakes {a}; grey: its 95 % interval.")
    floors = cells["floor"].notna().any()
    if floors:
        note.append("Dashed curve: the hardware's floor, the lowest of the contenders'.")
    note += [*marks(seen), *style.greyed(appearances)]
    names = seen.loc[seen["seconds"].notna(), "contender"]
    made, axes, side = style.panels(
        len(sizes),
        "Time of one run against kernel size",
        where,
        " ".join(note),
        labels=[*names, *(["floor"] if floors else [])],
        ends=True,
    )
    by_size = {row.N: row for row in rows}
    for panel, N in zip(axes, sizes, strict=True):
        here = cells[cells["N"] == N]
        ends = _lines(panel, here, "seconds", appearances)
        floor = here.groupby("n")["floor"].min().dropna()
        if len(floor):
            panel.plot(floor.index, floor, color=FLOOR.colour, linestyle=(0, (4, 2)), linewidth=1.1)
            ends.append(End(floor.index[-1], floor.iloc[-1], "floor", FLOOR))
        _n_axis(panel, here)
        panel.set_title(f"N = {N}", loc="left", fontweight="bold")
        style.cost_ticks(panel.yaxis, "s")
        panel.set_ylabel("time of one run")
        if N in by_size:
            _mark(panel, by_size[N])
        if side is None:
            labels.at_ends(panel, ends, PANEL[1])
    if side is not None:
        floor_line = [Line2D([], [], color=FLOOR.colour, linestyle="--", label="floor")]
        legend(side, [*handles(names, appearances), *(floor_line if floors else [])])
    return made


def error(cells: pd.DataFrame, appearances: Mapping[str, Appearance], where: str) -> Figure:
    """Relative L2 error against n, a panel an image size; ``cells`` as in ``time``."""
    cells = cells[(cells["error"] > 0) | cells["seconds"].isna()]
    known = cells[cells["error"] > 0]
    sizes, note = _panels(known)
    note.append("Lower is better. Distance from a float64 reference, over the reference's norm.")
    seen = named(known, appearances)
    if (seen["error_high"] > seen["error_low"]).any():
        note.append("Bands: range over data seeds.")
    note += style.greyed(appearances)
    made, axes, side = style.panels(
        len(sizes),
        "Error against kernel size",
        where,
        " ".join(note),
        labels=seen["contender"],
        ends=True,
    )
    for panel, N in zip(axes, sizes, strict=True):
        here = cells[cells["N"] == N]
        ends = _lines(panel, here, "error", appearances)
        _n_axis(panel, here)
        panel.set_title(f"N = {N}", loc="left", fontweight="bold")
        panel.set_ylabel("relative L2 error")
        panel.set_ylim(known["error"].min() / 1.5, known["error"].max() * 1.5)
        style.cost_ticks(panel.yaxis)
        if side is None:
            labels.at_ends(panel, ends, PANEL[1])
    if side is not None:
        legend(side, handles(seen["contender"], appearances))
    return made


def named(cells: pd.DataFrame, appearances: Mapping[str, Appearance]) -> pd.DataFrame:
    """The cells of contenders that are named."""
    return cells[cells["contender"].isin(style.named(appearances))]


def _panels(cells: pd.DataFrame) -> tuple[list[int], list[str]]:
    """The image sizes that have a panel, and what to say where there are too many for that."""
    sizes = sorted(cells["N"].unique())
    if len(sizes) <= MOST_PANELS:
        return sizes, []
    places = np.linspace(0, len(sizes) - 1, MOST_PANELS).round().astype(int)
    note = f"{MOST_PANELS} of {len(sizes)} image sizes; the interactive chart has all."
    return [sizes[place] for place in places], [note]


def marks(cells: pd.DataFrame) -> list[str]:
    """What the markers of ``scatter`` mean, as far as they occur."""
    timed = cells[cells["seconds"].notna()]
    notes = [MARKS] if not timed["settled"].astype(bool).all() else []
    return notes + ([FLAGGED] if timed["flagged"].astype(bool).any() else [])


def scatter(
    panel: Axes,
    cells: pd.DataFrame,
    x: str,
    y: str,
    appearance: Appearance,
    size: float,
    alpha: float = 1.0,
) -> None:
    """The cells of one contender: full markers, hollow ones where unsettled, crosses if flagged."""
    settled, flagged = cells["settled"].astype(bool), cells["flagged"].astype(bool)
    kinds = (
        (settled & ~flagged, appearance.marker, appearance.colour),
        (~settled & ~flagged, appearance.marker, "white"),
        (flagged, "x", appearance.colour),
    )
    for chosen, marker, face in kinds:
        if not chosen.any():
            continue
        panel.plot(
            cells.loc[chosen, x],
            cells.loc[chosen, y],
            linestyle="none",
            marker=marker,
            color=appearance.colour,
            markerfacecolor=face,
            markersize=size,
            markeredgewidth=1.6 if marker == "x" else 1.1,
            alpha=alpha,
        )


def _lines(
    panel: Axes, cells: pd.DataFrame, column: str, appearances: Mapping[str, Appearance]
) -> list[End]:
    """A line a contender with its markers, and where each ends."""
    size, ends = 6.5, []  # markers shrink from one contender to the next: equal curves both show
    for name, appearance in appearances.items():
        line = cells[cells["contender"] == name].sort_values("n")
        known = line[line[column].notna()]
        if known.empty:
            continue
        if not appearance.named:
            panel.plot(line["n"], line[column], color=appearance.colour, linewidth=0.6, zorder=1)
            continue
        panel.plot(line["n"], line[column], color=appearance.colour)
        low, high = ("low", "high") if column == "seconds" else ("error_low", "error_high")
        if (line[high] > line[low]).any():
            panel.fill_between(
                line["n"], line[low], line[high], color=appearance.colour, alpha=0.18, linewidth=0
            )
        if column == "seconds":
            scatter(panel, known, "n", column, appearance, size)
        else:
            panel.plot(
                known["n"],
                known[column],
                appearance.marker,
                color=appearance.colour,
                markersize=size,
            )
        ends.append(End(known["n"].iloc[-1], known[column].iloc[-1], name, appearance))
        size = max(3.5, size - 0.4)
    panel.set_xscale("log")
    panel.set_yscale("log")
    return ends


def _n_axis(panel: Axes, cells: pd.DataFrame) -> None:
    style.numbered_ticks(panel.xaxis, sorted(cells["n"].unique()), PANEL[0])
    panel.set_xlabel(style.KERNEL_AXIS)


def _mark(panel: Axes, row: Crossover) -> None:
    """The crossover as a line with its interval, or the verdict in words."""
    if row.n_star is None:
        title = {
            "always": f"{row.pair[1]} faster at every n",
            "never": f"{row.pair[0]} faster at every n",
            "tie": "no significant difference",
        }.get(row.verdict, f"n* > {row.low:g}" if row.low else f"n* ≤ {row.high or 0:g}")
    else:
        panel.axvline(row.n_star, color=style.INK, linestyle="--", linewidth=1, zorder=1)
        title = f"n* = {number(row.n_star)}"
        if row.low is not None and row.high is not None:
            panel.axvspan(row.low, row.high, color=style.FAINT, linewidth=0, zorder=0)
            title += f" [{number(row.low)}, {number(row.high)}]"
    panel.set_title(title, loc="right", fontsize=8.5)


def handles(
    names: pd.Series[str], appearances: Mapping[str, Appearance], line: bool = True
) -> list[Line2D]:
    """Of a legend: the contenders named, in the order of their appearances."""
    shown = set(names)
    return [
        Line2D(
            [],
            [],
            color=appearance.colour,
            marker=appearance.marker,
            linestyle="-" if line else "none",
            label=name,
        )
        for name, appearance in appearances.items()
        if name in shown and appearance.named
    ]


def legend(side: Axes, handles: Sequence[Line2D]) -> None:
    side.legend(handles=handles, loc="upper left", borderaxespad=0, handlelength=1.8)
