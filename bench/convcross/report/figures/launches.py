"""How far processes of the same code lie apart, beside what one of them knows of itself."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from convcross.report.figures import labels, style
from convcross.report.figures.labels import End
from convcross.report.figures.style import FAINT, PANEL, SOFT, Appearance

MOST = 4  # image sizes
# Ticks, and the least axis: a difference under 2 % is not worth a full one.
RATIOS = (0.1, 0.2, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.4, 2.0, 5.0, 10.0)
LEAST = np.log(1.06)
LABEL = 0.42  # inches that a label of a tick takes, with the room to the next
NOTE = (
    "A mark: the median of one launch, a fresh process, over that of its cell's launches; one for "
    "each kernel size. Grey: the typical interval of one launch, by its own samples. Outside of "
    "it the process decides more than its samples tell. Two heaps: a slow mode."
)
TITLE = "Launches: fresh processes of the same code"


def launches(deviations: pd.DataFrame, looks: Mapping[str, Appearance], where: str) -> Figure:
    """A row a contender, a panel an image size (at most MOST, from the least to the largest).

    Parameters
    ----------
    deviations : see ``analysis.launches.deviations``
    looks : of the contenders to show, at most ``style.AT_MOST`` of them
    """
    shown = [name for name in looks if name in set(deviations["contender"])]
    sizes = sorted(deviations["N"].unique())
    places = np.unique(np.linspace(0, len(sizes) - 1, min(MOST, len(sizes))).round().astype(int))
    made, axes, _ = style.panels(
        len(places),
        "Launches: fresh processes of the same code",
        where,
        NOTE,
        labels=shown,
        ends=True,
    )
    for panel, place in zip(axes, places, strict=True):
        own = deviations[deviations["N"] == sizes[place]]
        there = [name for name in shown if name in set(own["contender"])]
        reach = max(LEAST, 1.08 * float(own[own["contender"].isin(there)]["apart"].abs().max()))
        ends = []
        for number, name in enumerate(reversed(there)):
            rows = own[own["contender"] == name]
            half = float(np.log1p(rows["within"].median()))
            panel.barh(number, 2 * half, 0.7, -half, color=FAINT, zorder=1)
            look = looks[name]
            panel.plot(
                rows["apart"], np.full(len(rows), number), look.marker, color=look.colour, alpha=0.6
            )
            ends.append(End(reach, number, name, look))
        panel.axvline(0.0, color=SOFT, linewidth=0.8, zorder=1)
        panel.set_xlim(-reach, reach)
        panel.set_ylim(-0.7, len(there) - 0.3)
        panel.set_yticks([])
        panel.xaxis.set_major_locator(FixedLocator(_ticks(reach)))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{np.exp(value):.3g}×"))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set_title(f"N = {sizes[place]}", loc="left", fontweight="bold")
        panel.set_xlabel("time of a launch over that of its cell")
        labels.at_ends(panel, ends, PANEL[1])
    return made


def _ticks(reach: float) -> list[float]:
    """Logarithms of the ratios that are labelled: 1, then the farthest, as many as have room."""
    inside = [float(np.log(ratio)) for ratio in RATIOS if abs(np.log(ratio)) <= reach]
    room = LABEL * 2 * reach / PANEL[0]
    kept = [0.0]
    for tick in sorted(inside, key=abs, reverse=True):
        if all(abs(tick - other) >= room for other in kept):
            kept.append(tick)
    return sorted(kept)
