"""Names at the ends of lines, in the place of a legend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from scipy.optimize import isotonic_regression

from convcross.analysis.samples import Array
from convcross.report.style import INK, Look

POINTS = 8.0  # of the text


class End(NamedTuple):
    """The end of a line, in data coordinates, and what to call the line."""

    x: float
    y: float
    name: str
    look: Look


def at_ends(panel: Axes, ends: Sequence[End], inches: float, lines: int = 1) -> None:
    """Name each line at the right of the panel, as near to its end as the other names allow.

    Call it when the panel's limits stand.

    Parameters
    ----------
    inches : the panel's height
    lines : of each name
    """
    if not ends:
        return
    to_panel = panel.transData + panel.transAxes.inverted()
    heights = np.array([to_panel.transform((end.x, end.y))[1] for end in ends])
    gap = (1.05 * lines + 0.15) * POINTS / 72 / inches
    for place, end in zip(spread(heights, gap), ends, strict=True):
        look = end.look
        panel.annotate(
            "",
            xy=(end.x, end.y),
            xytext=(1.05, place),
            textcoords="axes fraction",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "linestyle": ":",
                "color": look.colour,
                "linewidth": 0.9,
                "shrinkA": 2,
                "shrinkB": 3,
            },
        )
        panel.plot(
            1.05,
            place,
            look.marker,
            color=look.colour,
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
