"""Costs as curves: time and error against n, and time against error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from convcross.analysis.crossover import Crossover, number
from convcross.report import style
from convcross.report.style import Look

PANEL_INCHES = 2.6
OVERTAKES = "n*: {1} overtakes {0}"


def time(
    cells: pd.DataFrame, rows: Sequence[Crossover], looks: Mapping[str, Look], where: str
) -> Figure:
    """Time against n, a panel an image size, the crossover in ``rows`` marked."""
    sizes = sorted(cells["N"].unique())
    pair = rows[0].pair if rows else ("", "")
    made, axes, side = style.panels(
        len(sizes),
        "Time of one run against kernel size",
        where,
        "Lower is better. Lines: medians; bands: their 95 % intervals. Both axes logarithmic.",
        labels=[*cells["contender"], OVERTAKES.format(*pair)],
    )
    by_size = {row.N: row for row in rows}
    for panel, N in zip(axes, sizes, strict=True):
        here = cells[cells["N"] == N]
        _lines(panel, here, "seconds", looks)
        _n_axis(panel, here)
        panel.set_title(f"N = {N}", loc="left", fontweight="bold")
        style.cost_ticks(panel.yaxis, "s")
        panel.set_ylabel("time of one run")
        if N in by_size:
            _mark(panel, by_size[N])
    handles = _handles(cells, looks)
    if any(row.n_star is not None for row in rows):
        label = OVERTAKES.format(*pair)
        handles += [
            Line2D([], [], color=style.INK, linestyle="--", label=label),
            Patch(color=style.FAINT, label="its 95 % interval"),
        ]
    _legend(side, handles)
    return made


def error(cells: pd.DataFrame, looks: Mapping[str, Look], where: str) -> Figure:
    """Relative L2 error against n, a panel an image size."""
    cells = cells[cells["error"] > 0]
    sizes = sorted(cells["N"].unique())
    made, axes, side = style.panels(
        len(sizes),
        "Error against kernel size",
        where,
        "Lower is better. Distance from a float64 reference, over the norm of the reference.",
        labels=cells["contender"],
    )
    for panel, N in zip(axes, sizes, strict=True):
        here = cells[cells["N"] == N]
        _lines(panel, here, "error", looks)
        _n_axis(panel, here)
        panel.set_title(f"N = {N}", loc="left", fontweight="bold")
        panel.set_ylabel("relative L2 error")
        panel.set_ylim(cells["error"].min() / 1.5, cells["error"].max() * 1.5)
        style.cost_ticks(panel.yaxis)
    _legend(side, _handles(cells, looks))
    return made


def pareto(cells: pd.DataFrame, looks: Mapping[str, Look], where: str) -> Figure:
    """Time against error at the largest image that two contenders ran, for three kernel sizes."""
    cells = cells[cells["error"] > 0]
    counts = cells.groupby(["N", "n"])["contender"].nunique()
    several = counts[counts > 1].index if (counts > 1).any() else counts.index
    N = max(size for size, _ in several)
    kernels = sorted(n for size, n in several if size == N)
    chosen = sorted({kernels[0], kernels[len(kernels) // 2], kernels[-1]})
    made, axes, side = style.panels(
        len(chosen),
        f"Time against error at N = {N}",
        where,
        "Lower left is better. Grey line: contenders that no other beats in both.",
        labels=cells["contender"],
    )
    for panel, n in zip(axes, chosen, strict=True):
        here = cells[(cells["N"] == N) & (cells["n"] == n)].sort_values("seconds")
        front = here[here["error"] < here["error"].cummin().shift(fill_value=float("inf"))]
        panel.step(
            front["error"], front["seconds"], where="pre", color="#999999", linewidth=1, zorder=1
        )
        for row in here.itertuples():
            look = looks[str(row.contender)]
            panel.plot(
                row.error,
                row.seconds,
                look.marker,
                color=look.colour,
                markersize=8,
                markeredgecolor="white",
                markeredgewidth=0.7,
            )
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.margins(0.12)
        style.cost_ticks(panel.yaxis, "s")
        style.cost_ticks(panel.xaxis)
        panel.set_xlabel("relative L2 error")
        panel.set_ylabel("time of one run")
        panel.set_title(f"n = {n}", loc="left", fontweight="bold")
    _legend(side, _handles(cells, looks, line="none"))
    return made


def _lines(panel: Axes, cells: pd.DataFrame, column: str, looks: Mapping[str, Look]) -> None:
    size = 7.0  # markers shrink from one contender to the next: equal curves both show
    for name, look in looks.items():
        line = cells[cells["contender"] == name].sort_values("n")
        if line.empty:
            continue
        panel.plot(line["n"], line[column], color=look.colour, marker=look.marker, markersize=size)
        size = max(3.5, size - 0.4)
        if column == "seconds":
            panel.fill_between(
                line["n"], line["low"], line["high"], color=look.colour, alpha=0.18, linewidth=0
            )
    panel.set_xscale("log")
    panel.set_yscale("log")


def _n_axis(panel: Axes, cells: pd.DataFrame) -> None:
    style.numbered_ticks(panel.xaxis, sorted(cells["n"].unique()), PANEL_INCHES)
    panel.set_xlabel("kernel size n (n × n)")


def _mark(panel: Axes, row: Crossover) -> None:
    """The crossover as a line with its interval, or the verdict in words."""
    if row.n_star is None:
        told = {
            "always": f"{row.pair[1]} faster at every n",
            "never": f"{row.pair[0]} faster at every n",
            "tie": "no significant difference",
        }.get(row.verdict, f"n* > {row.low:g}" if row.low else f"n* ≤ {row.high or 0:g}")
    else:
        panel.axvline(row.n_star, color=style.INK, linestyle="--", linewidth=1, zorder=1)
        told = f"n* = {number(row.n_star)}"
        if row.low is not None and row.high is not None:
            panel.axvspan(row.low, row.high, color=style.FAINT, linewidth=0, zorder=0)
            told += f" [{number(row.low)}, {number(row.high)}]"
    panel.set_title(told, loc="right", fontsize=8.5)


def _handles(
    cells: pd.DataFrame, looks: Mapping[str, Look], line: Literal["-", "none"] = "-"
) -> list[Line2D | Patch]:
    shown = set(cells["contender"])
    return [
        Line2D([], [], color=look.colour, marker=look.marker, linestyle=line, label=name)
        for name, look in looks.items()
        if name in shown
    ]


def _legend(side: Axes, handles: Sequence[Line2D | Patch]) -> None:
    side.legend(handles=handles, loc="upper left", borderaxespad=0, handlelength=1.8)
