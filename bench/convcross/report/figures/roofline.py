"""The roofline: attained FLOP/s against arithmetic intensity, under the machine's ceilings."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullLocator

from convcross.analysis.roofline import Roof
from convcross.report.figures import curves, labels, style
from convcross.report.figures.labels import End
from convcross.report.figures.style import Appearance
from convcross.text import binary, rate

PANEL_INCHES = (5.8, 3.9)


def roofline(
    points: pd.DataFrame,
    roof: Roof,
    appearances: Mapping[str, Appearance],
    where: str,
) -> Figure:
    """A point for each contender and cell.

    Parameters
    ----------
    points : see ``analysis.roofline.points``
    """
    note = [
        "Higher is better. A point a contender and cell: the FLOP and bytes that its algorithm "
        "declares, over its median time. Lines: what memory and arithmetic allow at most; a point "
        "above main memory's worked in a cache. Libraries that choose by themselves are left out: "
        "what they run is not known.",
        *curves.marks(points[points["contender"].isin(style.named(appearances))]),
        *style.greyed({name: appearances[name] for name in set(points["contender"])}),
    ]
    names = points["contender"]
    made, [panel], side = style.panels(
        1,
        "Roofline",
        where,
        " ".join(note),
        labels=names[names.isin(style.named(appearances))],
        size=PANEL_INCHES,
        ends=True,
    )
    ends = []
    for name, appearance in appearances.items():
        own = points[names == name].sort_values(["intensity", "rate"])
        if own.empty:
            continue
        if not appearance.named:
            panel.plot(own["intensity"], own["rate"], **style.DOT, zorder=1)
            continue
        curves.scatter(panel, own, "intensity", "rate", appearance, 4.0, alpha=0.75)
        ends.append(End(own["intensity"].iloc[-1], own["rate"].iloc[-1], name, appearance))
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xlim(points["intensity"].min() / 2, points["intensity"].max() * 2)
    panel.set_ylim(points["rate"].min() / 2, max(points["rate"].max(), roof.flops) * 3)
    _ceilings(panel, roof)
    panel.set_xlabel("arithmetic intensity (FLOP/byte)")
    panel.set_ylabel("attained rate (FLOP/s)")
    panel.yaxis.set_major_formatter(EngFormatter(places=0))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(LogLocator(numticks=12))
        axis.set_minor_locator(NullLocator())
    if side is None:
        labels.at_ends(panel, ends, PANEL_INCHES[1])
    else:
        curves.legend(side, curves.handles(names, appearances, line=False))
    return made


def _ceilings(panel: Axes, roof: Roof) -> None:
    """The arithmetic ceiling, and one of each level of memory up to it, named along the lines."""
    (left, right), low = panel.get_xlim(), panel.get_ylim()[0]
    panel.plot([left, right], [roof.flops] * 2, color=style.INK, linewidth=1.3, zorder=1)
    label = f"peak arithmetic, {rate(roof.flops, 'FLOP')}"
    panel.annotate(
        label,
        xy=(right, roof.flops),
        xytext=(-3, 3),
        textcoords="offset points",
        ha="right",
        fontsize=8,
    )
    for size, moved in roof.memory:
        first, last = max(left, low / moved), min(right, roof.flops / moved)
        if first >= last:
            continue
        main = size is None
        panel.plot(
            [first, last],
            [first * moved, last * moved],
            color=style.INK if main else style.SOFT,
            linewidth=1.3 if main else 0.9,
            linestyle="-" if main else "--",
            zorder=1,
        )
        name = "main memory" if size is None else f"cache, {binary(size)}"
        panel.annotate(
            f"{name}, {rate(moved, 'B')}",
            xy=(last, last * moved),
            xytext=(-18, -8),
            textcoords="offset points",
            ha="right",
            rotation=_slope(panel),
            rotation_mode="anchor",
            fontsize=8,
            color=style.INK if main else style.SOFT,
        )


def _slope(panel: Axes) -> float:
    """Degrees of a line of constant bandwidth, as drawn."""
    (left, right), (low, high) = panel.get_xlim(), panel.get_ylim()
    across = PANEL_INCHES[0] / math.log(right / left)
    up = PANEL_INCHES[1] / math.log(high / low)
    return math.degrees(math.atan2(up, across))
