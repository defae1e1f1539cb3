"""How figures look: one colour and marker a contender, plain ticks, titles that say who and where.

Colours are those of Okabe & Ito (2008), told apart with every common colour blindness: a hue for
each family, a shade of it for each contender, so that the two sides of a crossover stand out.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import textwrap
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import (
    EngFormatter,
    FixedLocator,
    FuncFormatter,
    LogLocator,
    NullFormatter,
    NullLocator,
)

SHADES = {
    "direct": ("#D55E00", "#E69F00", "#8A3A00", "#F5C26B"),
    "fft": ("#0072B2", "#56B4E9", "#003F63", "#A6D8F5"),
    "im2col": ("#009E73", "#7FCFB9", "#00573F"),
    "library": ("#CC79A7", "#7D3F62", "#E9BFD5"),
    "winograd": ("#000000", "#777777", "#484848"),
    "separable": ("#B8A800", "#F0E442"),
}
MARKERS = "osD^vP*Xph<>"
KERNEL_TICKS = (2, 3, 4, 5, 7, 9, 11, 15, 21, 31, 45, 63, 95, 127, 191, 255, 383, 511)
KERNEL_AXIS, IMAGE_AXIS = "kernel size n", "image size N"  # sides of squares, lengths of lines
INK, SOFT, FAINT, MISSING = "#222222", "#666666", "#D9D9D9", "#EFEFEF"
# Lines that are named at their ends; more have a legend. And contenders that are all in colour.
AT_MOST = 12
PANEL = (2.6, 1.95)  # inches of its axes; around them:
LEFT, RIGHT, ABOVE, BELOW = 0.8, 0.15, 0.3, 0.5
SUFFIXES = (".png", ".svg", ".pdf")

SETTINGS: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.edgecolor": "#666666",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.parse_math": False,  # a "$" in a name is a "$"
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.hashsalt": "convcross",  # the same records give the same file
    "svg.fonttype": "none",  # text stays text: small, quick to write, and can be searched
}


@dataclass(frozen=True)
class Appearance:
    """A contender's colour and marker, the same in every figure of a report.

    Attributes
    ----------
    named : else it is one of many, thin and grey, without a name
    """

    colour: str
    marker: str
    named: bool = True


GREY = Appearance("#BDBDBD", ".", named=False)
DOT: dict[str, Any] = {  # of a contender without a name, where there is no line
    "linestyle": "none",
    "marker": GREY.marker,
    "color": GREY.colour,
    "markersize": 4.0,
}


def appearances(
    frame: pd.DataFrame, wins: Mapping[str, int] | None = None
) -> dict[str, Appearance]:
    """A look for each contender, by family in the order of ``SHADES`` and then by name.

    No two contenders of a report share both colour and marker, up to some 45 of a family.

    Parameters
    ----------
    wins : of many contenders, those with more come first: they have shades of their own
    """
    found = {}
    pairs = frame[["family", "contender"]].drop_duplicates()
    won = wins or {}
    names = sorted(
        pairs.itertuples(index=False, name=None),
        key=lambda pair: (_place(pair[0]), -won.get(pair[1], 0), pair),
    )
    for start, group in itertools.groupby(names, key=lambda pair: _place(pair[0])):
        shades = [*SHADES.values(), ("#777777",)][start]
        for number, (_, name) in enumerate(group):
            turn = number // len(MARKERS)  # of the markers; the shades' turns are shorter
            marker = MARKERS[(start + number + turn) % len(MARKERS)]
            found[name] = Appearance(shades[number % len(shades)], marker)
    return found


def faded(looks: Mapping[str, Appearance], kept: Collection[str]) -> dict[str, Appearance]:
    """The same, grey but for the contenders kept; these come last, and lie above the others."""
    grey = dict.fromkeys((name for name in looks if name not in kept), GREY)
    return grey | {name: look for name, look in looks.items() if name in kept}


def named(looks: Mapping[str, Appearance]) -> list[str]:
    """The contenders in colour."""
    return [name for name, look in looks.items() if look.named]


def _place(family: str) -> int:
    order = list(SHADES)
    return order.index(family) if family in order else len(order)


def greyed(looks: Mapping[str, Appearance], also: str = "") -> list[str]:
    """What grey means, for a figure's note, where there is any."""
    count = len(looks) - len(named(looks))
    if not count:
        return []
    rule = "in each family, the contender fastest at most sizes" + (f", and {also}" if also else "")
    return [f"In colour: {rule} (more: --highlight). Grey: the {count} others."]


@contextlib.contextmanager
def settings(more: Mapping[str, Any] | None = None) -> Iterator[None]:
    """The context in which figures are made and saved: matplotlib's defaults and ours, whatever the
    user's own file or style says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS | dict(more or {}))
        yield


def panels(
    count: int,
    what: str,
    where: str,
    note: str,
    *,
    labels: Iterable[str],
    size: tuple[float, float] = PANEL,
    ends: bool = False,
) -> tuple[Figure, list[Axes], Axes | None]:
    """A figure with ``count`` panels, a bold title over machine and conditions, and a note below.

    Placed in inches, so that nothing has to be drawn to find out its size.

    Parameters
    ----------
    labels : names that the legend, or the ends of lines, have room for
    size : inches of the axes of a panel
    ends : few names have no legend, but room at the right of each panel: see ``labels.at_ends``

    Returns
    -------
    figure, panels, and the axes that hold the legend (None where there is none)
    """
    names = set(labels)
    beside = 0.55 + 0.065 * max(map(len, names), default=0)
    at_ends = ends and len(names) <= AT_MOST
    columns = min(count, 2) if at_ends else count if count <= 3 else 2 if count == 4 else 3
    rows = -(-count // columns)
    across = LEFT + size[0] + (beside if at_ends else RIGHT)
    down = ABOVE + size[1] + BELOW
    width = columns * across + (0.0 if at_ends else beside)
    under = textwrap.wrap(where, int(15.5 * width))
    notes = textwrap.wrap(note, int(17.5 * width))
    top, bottom = 0.4 + 0.15 * len(under), 0.17 + 0.13 * len(notes)
    height = top + rows * down + bottom
    made = Figure(figsize=(width, height), dpi=160)
    FigureCanvasAgg(made)
    left = 0.1 / width
    made.text(left, 1 - 0.1 / height, what, va="top", fontsize=12, fontweight="bold")
    made.text(left, 1 - 0.34 / height, "\n".join(under), va="top", fontsize=9, color="#555555")
    made.text(left, 0.08 / height, "\n".join(notes), va="bottom", fontsize=8, color="#555555")

    def placed(x: float, row: int, wide: float) -> Axes:
        y = height - top - row * down - ABOVE - size[1]
        return made.add_axes((x / width, y / height, wide / width, size[1] / height))

    axes = [
        placed(column * across + LEFT, row, size[0])
        for row, column in (divmod(place, columns) for place in range(count))
    ]
    if at_ends:
        return made, axes, None
    side = placed(columns * across, 0, beside)
    side.axis("off")
    return made, axes, side


def numbered_ticks(axis: Axis, values: Sequence[float], inches: float) -> None:
    """Ticks at measured values on a log axis, as plain numbers, thinned to what has room."""
    kept = thinned(values, inches)
    axis.set_major_locator(FixedLocator(kept))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def thinned(values: Sequence[float], inches: float) -> list[float]:
    """Those of ascending values that stand at least 0.27 inches apart on a log axis."""
    if len(values) < 2:
        return list(values)
    logs = np.log(values)
    apart = 0.27 * (logs[-1] - logs[0]) / inches
    kept, last = [values[0]], logs[0]
    for value, log in zip(values[1:], logs[1:], strict=True):
        if log - last >= apart:
            kept.append(value)
            last = log
    return kept


def cost_ticks(axis: Axis, unit: str | None = None) -> None:
    """A log axis of a cost, labelled 20 µs or 5 ms with a unit, else 2×10⁻⁷.

    Call it when the data stand: the limits grow to a factor of 4, as a smaller difference is not
    worth a full axis, and 2 and 5 are labelled too where the axis spans few decades.
    """
    low, high = axis.get_view_interval()
    if high / low < 4:
        middle = (low * high) ** 0.5
        low, high = middle / 2, middle * 2
        widen = axis.axes.set_xlim if isinstance(axis, XAxis) else axis.axes.set_ylim
        widen(low, high)
    wide = high / low > 60
    # Fixed: over less than a decade matplotlib's own would label 1.5 and 2.5, which read 2 and 2.
    axis.set_major_locator(FixedLocator(_round_values(low, high, (1,) if wide else (1, 2, 5))))
    axis.set_minor_locator(LogLocator(subs=(2.0, 5.0), numticks=30) if wide else NullLocator())
    axis.set_major_formatter(EngFormatter(unit=unit) if unit else FuncFormatter(_power))
    axis.set_minor_formatter(NullFormatter())


def ratio_ticks(axis: Axis) -> None:
    """``cost_ticks`` of a ratio: 0.5×, 1×, 2×."""
    cost_ticks(axis)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))


def _round_values(low: float, high: float, factors: Sequence[int]) -> list[float]:
    """These times powers of ten, between the limits."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = (factor * 10.0**decade for decade in decades for factor in factors)
    return [value for value in values if low <= value <= high]


def _power(value: float, _: object = None) -> str:
    """2e-07 as 2×10⁻⁷."""
    factor, _, exponent = f"{value:.0e}".partition("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{raised}" if factor == "1" else f"{factor}×10{raised}"


def save(made: Figure, stem: Path) -> list[Path]:
    """Write the figure as PNG, SVG and PDF; the same figure gives the same bytes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # drawn as a box; the SVG has it
        return _saved(made, stem)


def _saved(made: Figure, stem: Path) -> list[Path]:
    png, svg, pdf = paths = [stem.with_name(stem.name + suffix) for suffix in SUFFIXES]
    # Compressed less, a PNG of few colours is no larger and written in two thirds of the time.
    quick = {"compress_level": 3}
    made.savefig(png, facecolor="white", metadata={"Software": None}, pil_kwargs=quick)
    made.savefig(svg, facecolor="white", metadata={"Date": None, "Creator": None})
    why_none = {"CreationDate": None, "Creator": None, "Producer": None}
    made.savefig(pdf, facecolor="white", metadata=why_none)
    return paths
