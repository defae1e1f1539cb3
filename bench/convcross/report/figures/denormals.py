"""What subnormal numbers cost: times on an image of them over times on ordinary values."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from convcross.report.figures import curves, labels, style
from convcross.report.figures.labels import End
from convcross.report.figures.style import PANEL, Appearance


def denormals(table: pd.DataFrame, looks: Mapping[str, Appearance], where: str) -> Figure:
    """A panel an image size, a line a contender against n.

    Parameters
    ----------
    table : see ``analysis.claims.denormals.ratios``, of one device
    """
    sizes = sorted(table["N"].unique())
    looks = {name: look for name, look in looks.items() if name in set(table["contender"])}
    made, axes, side = style.panels(
        len(sizes),
        "What subnormal numbers cost",
        where,
        "Time on an image of subnormal numbers over that on ordinary values. Lower is better; "
        "black: equal.",
        labels=looks,
        ends=True,
    )
    for panel, N in zip(axes, sizes, strict=True):
        ends = []
        for name, look in looks.items():
            own = table[(table["N"] == N) & (table["contender"] == name)].sort_values("n")
            if own.empty:
                continue
            panel.plot(own["n"], own["ratio"], color=look.colour, marker=look.marker)
            ends.append(End(float(own["n"].iloc[-1]), float(own["ratio"].iloc[-1]), name, look))
        panel.axhline(1, color=style.INK, linewidth=1)
        panel.set_title(f"N = {N}", loc="left", fontweight="bold")
        panel.set_xscale("log")
        panel.set_yscale("log")
        style.numbered_ticks(panel.xaxis, sorted(set(table["n"])), PANEL[0])
        panel.set_xlabel(style.KERNEL_AXIS)
        panel.set_ylabel("times as long")
        style.ratio_ticks(panel.yaxis)
        if side is None:
            labels.at_ends(panel, ends, PANEL[1])
    if side is not None:
        curves.legend(side, curves.handles(table["contender"], looks))
    return made
