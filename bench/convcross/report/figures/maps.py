"""The crossover against N, and the (N, n) map of the fastest contender."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from contourpy import contour_generator
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from convcross.analysis.crossover.crossover import Crossover
from convcross.analysis.crossover.sides import Pair
from convcross.analysis.tables import fastest, matrix
from convcross.report.figures import labels, style
from convcross.report.figures.labels import End
from convcross.report.figures.style import Appearance
from convcross.stats.bootstrap import Array

SHORTEST = 1.0  # cells; a shorter line is noise of a single cell
INCHES = (5.0, 3.2)
LEVELS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


# Of each kind of crossover but the named pairs, whose colour is that of their first contender.
KINDS = {"best": style.INK, "textbook": "#0072B2", "library": "#009E73", "floor": "#888888"}
MARKERS = "sDv^Ph*<>"


def n_star(rows: Sequence[Crossover], appearances: Mapping[str, Appearance], where: str) -> Figure:
    """n* against N for each pair, with its interval; arrows where only a bound is known.

    Parameters
    ----------
    appearances : see ``style.faded``
    """
    pairs = list(dict.fromkeys(row.pair for row in rows))
    kinds = {row.pair: row.kind for row in rows}
    looks = {}
    for place, pair in enumerate(pairs):
        marker = {"best": "X", "floor": ""}.get(kinds[pair], MARKERS[place % len(MARKERS)])
        usual = appearances.get(_first(pair), Appearance(style.INK, "X"))
        colour = KINDS.get(kinds[pair])
        looks[pair] = usual if colour is None else Appearance(colour, marker)
    names = {pair: _name(kinds[pair], pair) for pair in pairs}
    made, [panel], side = style.panels(
        1,
        "Crossover n* against image size",
        where,
        " ".join(
            [
                "From n* on, B stays faster than A. Bands and bars: 95 % intervals.",
                "Arrows: n* lies beyond a bound.",
                *(["Floor: by arithmetic."] * ("floor" in kinds.values())),
                *_representatives(rows),
            ]
        ),
        labels=list(names.values()),
        size=INCHES,
        ends=True,
    )
    sizes = sorted({row.N for row in rows})
    ends = []
    measured = [pair for pair in pairs if kinds[pair] != "floor"]
    for pair in pairs:
        own = [row for row in rows if row.pair == pair]
        if pair in measured:  # side by side, where they agree
            step = 1.06 if len(measured) <= 3 else 1.03
            shift = step ** (measured.index(pair) - (len(measured) - 1) / 2)
            _pair(panel, own, looks[pair], shift)
        else:
            shift = 1.0
            line = [(row.N, row.n_star or float("nan")) for row in own]
            panel.plot(*zip(*line, strict=True), "--", color=looks[pair].colour, linewidth=1.2)
        shown = [(row.N, row.n_star or row.low or row.high) for row in own]
        ends += [End(N * shift, y, names[pair], looks[pair]) for N, y in shown if y is not None][
            -1:
        ]
    panel.set_xscale("log")
    panel.set_yscale("log")
    style.numbered_ticks(panel.xaxis, sizes, INCHES[0])
    values = [value for row in rows for value in (row.n_star, row.low, row.high) if value]
    if values:
        panel.set_ylim(min(values) / 1.4, max(values) * 1.5)
    low, high = panel.get_ylim()
    ticks = [value for value in style.KERNEL_TICKS if low <= value <= high]
    style.numbered_ticks(panel.yaxis, ticks, INCHES[1])
    panel.set_xlim(sizes[0] / 1.3, sizes[-1] * 1.3)
    panel.set_xlabel(style.IMAGE_AXIS)
    panel.set_ylabel("n*, a kernel size")
    if side is None:
        labels.at_ends(panel, ends, INCHES[1])
    else:
        side.legend(
            handles=[
                Line2D(
                    [],
                    [],
                    color=end.appearance.colour,
                    marker=end.appearance.marker,
                    label=end.name,
                )
                for end in ends
            ],
            loc="upper left",
            borderaxespad=0,
            labelspacing=0.8,
        )
    return made


def _first(pair: Pair) -> str:
    """A of a pair, as appearances know it."""
    return pair[0].partition("@")[0]


def _name(kind: str, pair: Pair) -> str:
    """What a line is called: short, as its ends are where figures are narrow."""
    a, b = pair
    if kind == "textbook":
        return f"textbook ({b.partition('/')[2]})"
    if kind == "library":
        return " over ".join(side.partition("/")[0] for side in (b, a))
    if kind == "floor":
        return f"floor, {b.partition('(')[2].rstrip(')')}"
    return kind if kind == "best" else f"{b} over {a}"


def _representatives(rows: Sequence[Crossover]) -> list[str]:
    """Which contenders represented each family, over all image sizes."""
    representatives: dict[str, set[str]] = {}
    for row in rows:
        if row.kind == "floor":
            continue
        for side, names in zip(row.pair, row.representatives, strict=True):
            if "/" not in side:
                representatives.setdefault(side, set()).update(names)
    return [f"{family}: {', '.join(sorted(names))}." for family, names in representatives.items()]


def _pair(panel: Axes, rows: Sequence[Crossover], appearance: Appearance, shift: float) -> None:
    nan = float("nan")  # breaks the line where n* is not known
    middles = [row.n_star or nan for row in rows]
    places = [row.N * shift for row in rows]
    panel.fill_between(
        places,
        [(row.low if row.n_star else None) or nan for row in rows],
        [(row.high if row.n_star else None) or nan for row in rows],
        color=appearance.colour,
        alpha=0.15,
        linewidth=0,
    )
    panel.errorbar(
        places,
        middles,
        yerr=[
            [middle - (row.low or middle) for row, middle in zip(rows, middles, strict=True)],
            [(row.high or middle) - middle for row, middle in zip(rows, middles, strict=True)],
        ],
        color=appearance.colour,
        marker=appearance.marker,
        markersize=6,
        capsize=3,
    )
    for row in rows:
        if row.n_star is not None or row.verdict == "tie":
            continue
        bound, tip = (row.low, 16) if row.low is not None else (row.high, -16)
        arrow(panel, row.N * shift, bound or 0, tip, appearance)


def arrow(panel: Axes, x: float, y: float, tip: int, appearance: Appearance) -> None:
    """A marker at the bound, and an arrow towards where n* lies."""
    panel.plot(
        x, y, appearance.marker, color=appearance.colour, markerfacecolor="white", markersize=6
    )
    panel.annotate(
        "",
        xy=(x, y),
        xytext=(0, tip),
        textcoords="offset points",
        arrowprops={"arrowstyle": "<-", "color": appearance.colour, "shrinkB": 3},
    )


def fastest_map(
    cells: pd.DataFrame,
    speed_up: Mapping[tuple[int, int], float],
    pair: Pair,
    appearances: Mapping[str, Appearance],
    where: str,
) -> Figure:
    """Who is fastest at each measured (N, n), with contours of how much faster B is than A."""
    made, panel = _cell_map(
        cells,
        "contender",
        appearances,
        "Fastest contender",
        where,
        f"A cell for each measured N and n. Lines: time of {pair[0]} over time of {pair[1]}, "
        "each by its fastest contender.",
    )
    sizes, kernels = sorted(cells["N"].unique()), sorted(cells["n"].unique())
    _contours(panel, matrix(speed_up, sizes, kernels))
    return made


def families(cells: pd.DataFrame, where: str) -> Figure:
    """The family of the fastest contender at each measured (N, n)."""
    looks = {
        family: Appearance(shades[0], marker)
        for (family, shades), marker in zip(style.SHADES.items(), style.MARKERS, strict=False)
    }
    others = set(cells["family"]) - looks.keys()
    looks |= dict.fromkeys(sorted(others), Appearance(style.SOFT, "P"))
    made, _ = _cell_map(
        cells,
        "family",
        looks,
        "Fastest family",
        where,
        "A cell for each measured N and n: the family of its fastest contender.",
    )
    return made


def _cell_map(
    cells: pd.DataFrame,
    column: str,
    appearances: Mapping[str, Appearance],
    title: str,
    where: str,
    note: str,
) -> tuple[Figure, Axes]:
    """A tile for each measured (N, n), in the colour of what the fastest there has in a column."""
    sizes, kernels = sorted(cells["N"].unique()), sorted(cells["n"].unique())
    made, [panel], side = style.panels(
        1,
        title,
        where,
        note,
        labels=cells[column],
        size=(max(4.6, 0.62 * len(sizes)), max(3.0, 0.3 * len(kernels))),
    )
    panel.grid(False)
    panel.set_facecolor(style.MISSING)
    shown = fastest(cells)
    for name, own in shown.groupby(column, sort=False):
        appearance = appearances[str(name)]
        x, y = own["N"].map(sizes.index), own["n"].map(kernels.index)
        tiles = [Rectangle((i - 0.5, j - 0.5), 1, 1) for i, j in zip(x, y, strict=True)]
        panel.add_collection(
            PatchCollection(tiles, facecolor=appearance.colour, edgecolor="white"), autolim=False
        )
        panel.plot(
            x,
            y,
            appearance.marker,
            color="white",
            markersize=6,
            markeredgecolor=style.INK,
            zorder=3,
        )
    panel.set_xlim(-0.5, len(sizes) - 0.5)
    panel.set_ylim(-0.5, len(kernels) - 0.5)
    panel.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    panel.set_yticks(range(len(kernels)), [str(kernel) for kernel in kernels])
    panel.tick_params(length=0)
    panel.set_xlabel(style.IMAGE_AXIS)
    panel.set_ylabel(style.KERNEL_AXIS)
    winners = set(shown[column])
    handles: list[Patch | Line2D] = [
        Line2D(
            [], [], color=appearance.colour, marker=appearance.marker, linestyle="none", label=name
        )
        for name, appearance in appearances.items()
        if name in winners
    ]
    if len(shown) < len(sizes) * len(kernels):
        handles.append(Patch(color=style.MISSING, label="not measured"))
    assert side is not None
    side.legend(
        handles=handles, loc="upper left", borderaxespad=0, title="fastest", alignment="left"
    )
    return made, panel


def _contours(panel: Axes, ratios: Array) -> None:
    """Lines of equal ratio between the cells' centres, each labelled away from the markers."""
    padded = np.pad(np.log(ratios), 1, mode="edge")  # out to the map's border
    places = [np.clip(np.arange(-1, count + 1), -0.5, count - 0.5) for count in ratios.shape]
    generator = contour_generator(places[1], places[0], np.ma.masked_invalid(padded))
    for level in LEVELS:
        for line in generator.lines(np.log(level)):
            assert isinstance(line, np.ndarray)
            if np.hypot(*np.diff(line, axis=0).T).sum() < SHORTEST:
                continue
            even = level == 1
            panel.plot(*line.T, color=style.INK, linewidth=3.4 if even else 1.3)
            if even:
                panel.plot(*line.T, color="white", linewidth=1.6)
            x, y = _label_place(line)
            panel.text(
                x,
                y,
                f"{level:g}×",
                ha="center",
                va="center",
                fontsize=8,
                fontweight="bold" if even else "normal",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.2, "alpha": 0.9},
                clip_on=True,
                zorder=4,
            )


def _label_place(line: Array) -> Array:
    """The place on a line that is farthest from the cells' centres, near its middle if many."""
    steps = np.linspace(0, len(line) - 1, 20 * len(line))
    points = np.stack([np.interp(steps, np.arange(len(line)), axis) for axis in line.T], axis=1)
    away = np.abs(points[:, 0] - np.round(points[:, 0]))
    inside = points[(away > 0.3) & (np.abs(away - 0.5) > 1e-9)]
    candidates = inside if len(inside) else points
    place: Array = candidates[len(candidates) // 2]
    return place
