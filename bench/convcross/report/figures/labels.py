"""Names at the ends of lines, in the place of a legend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from scipy.optimize import isotonic_regression

from convcross.report.figures.style import INK, Appearance
from convcross.stats.bootstrap import Array

POINTS = 8.0  # of the text


class End(NamedTuple):
    """The end of a line, in data coordinates, and what to call the line."""

    x: float
    y: float
    name: str
    appearance: Appearance


def at_ends(panel: Axes, ends: Sequence[End], inches: float, lines: int = 1) -> None:
    """Name each line at the right of the panel, as near to its end as the other names allow.

    Call it when the panel's limits stand: they are fixed from here on.

    Parameters
    ----------
    inches : the panel's height
    lines : of each name
    """
    if not ends:
        return
    panel.get_xlim()  # settles the limits
    panel.autoscale(False)
    to_panel = panel.transData + panel.transAxes.inverted()
    tips = to_panel.transform([(end.x, end.y) for end in ends])
    gap = (1.05 * lines + 0.15) * POINTS / 72 / inches
    places = spread(tips[:, 1], gap)
    leaders = LineCollection(
        [[tip, (1.05, place)] for tip, place in zip(tips, places, strict=True)],
        colors=[end.appearance.colour for end in ends],
        linestyles=":",
        linewidths=0.9,
        transform=panel.transAxes,
        clip_on=False,
    )
    panel.add_collection(leaders, autolim=False)
    for place, end in zip(places, ends, strict=True):
        panel.plot(
            1.05,
            place,
            end.appearance.marker,
            color=end.appearance.colour,
            transform=panel.transAxes,
            clip_on=False,
            markersize=5,
        )
        panel.annotate(
            end.name,
            xy=(1.05, place),
            xycoords="axes fraction",
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=POINTS,
            color=INK,
            linespacing=0.95,
        )


def spread(places: Array, gap: float) -> Array:
    """Places between 0 and 1 in the order of those given, ``gap`` apart, as near as can be.

    Least squares: isotonic regression of the places less the gaps below them (Best & Chakravarti
    1990). Where they have no room, the last ones lie above 1.
    """
    order = np.argsort(places, kind="stable")
    steps = gap * np.arange(len(places))
    fitted = isotonic_regression(places[order] - steps).x
    found = np.empty(len(places))
    found[order] = np.clip(fitted, 0.0, max(0.0, 1.0 - steps[-1])) + steps
    return found
