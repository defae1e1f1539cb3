"""The demo's one figure: the photograph, the search, convolution against correlation, the times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch, Rectangle

from convcross.demo.photo import (
    BRIGHTNESS,
    CONTRAST,
    EMBOSS,
    NOISE,
    PATCH,
    BothOps,
    Photograph,
    Search,
)
from convcross.demo.words import outcome, verdict, written
from convcross.report.figures.style import INK, SHADES, cost_ticks, settings
from convcross.results.schema import Record
from convcross.sweeps.data import Floats
from convkernels.problem import ROUNDOFF

FOUND, CUT, PLAIN = "#E69F00", "#009E73", "#56B4E9"  # orange, green and blue of Okabe & Ito
SIGNED = "RdBu_r"
DPI = 160
WIDTH = 13.0  # inches
GREY = (0.0, 1.0)


def write(
    path: Path,
    photo: Photograph,
    sought: Search,
    emboss: BothOps,
    blur: BothOps,
    timings: Sequence[tuple[int, Sequence[Record]]],
    where: str,
) -> None:
    """Draw it all and save it as PNG. Raises OSError where the file cannot be written.

    Parameters
    ----------
    timings : (kernel's side, its records, the fastest first) for each kernel
    where : the machine, in words
    """
    height, width = photo.values.shape
    panel = WIDTH / 4 * min(1.4, max(0.25, height / width))
    heights = [max(panel, 0.8 * WIDTH / 4) + 1.0, panel + 1.0, 4.4]
    with settings({"axes.grid": False}):
        figure = Figure(
            figsize=(WIDTH, sum(heights) + 0.4),
            layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06),
        )
        FigureCanvasAgg(figure)
        figure.suptitle(f"{photo.name}, {width} × {height} pixels", fontsize=13, fontweight="bold")
        parts: Any = figure.subfigures(3, 1, height_ratios=heights, hspace=0.03)
        _search(parts[0], photo.values, sought, blur.convolution)
        _comparisons(parts[1], emboss, blur)
        _times(parts[2], timings, where)
        figure.savefig(path, dpi=DPI, facecolor="white", metadata={"Software": None})


def _picture(axes: Axes, values: Floats, title: str, limits: tuple[float, float], cmap: str) -> Any:
    low, high = limits
    shown = axes.imshow(values, cmap=cmap, vmin=low, vmax=high)
    axes.set_anchor("N")
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return shown


def _scale(part: SubFigure, axes: Axes, shown: Any, label: str, extend: str = "neither") -> None:
    bar = part.colorbar(
        shown,
        ax=axes,
        location="bottom",
        extend=extend,
        shrink=0.85,
        aspect=30,
        pad=0.02,
        anchor=(0.5, 1.0),
        panchor=False,  # the picture stays at the top, beside its neighbours
    )
    bar.set_label(label)


# ---- the photograph and the search -----------------------------------------------------------


def _search(part: SubFigure, x: Floats, sought: Search, blurred: Floats) -> None:
    original, detail, template, scores = part.subplots(1, 4)
    title = "A patch, cut and found in the orange box;"
    if sought.found != sought.place:
        title = "A patch, cut in the green box, found in the orange;"
        _box(original, sought.place, CUT)
    title += "\nplain correlation peaks in the blue one"
    _picture(original, x, title, GREY, "gray")
    _box(original, sought.plain, PLAIN)
    _box(original, sought.found, FOUND)

    row, column = (max(0, start - PATCH // 2) for start in sought.place)
    window = np.s_[row : row + 2 * PATCH, column : column + 2 * PATCH]
    half = x[window].copy()
    middle = half.shape[1] // 2
    half[:, middle:] = blurred[window][:, middle:]
    title = "Detail around the patch: left as it is,\nright blurred by the 5×5 Gaussian"
    _picture(detail, half, title, GREY, "gray")
    detail.axvline(middle - 0.5, color="white", linewidth=1)

    title = (
        f"What is sought: the patch of {PATCH}×{PATCH} pixels,\nfainter, brighter and with noise"
    )
    _picture(template, sought.template, title, GREY, "gray")
    template.set_xlabel(f"luminance × {CONTRAST} + {BRIGHTNESS}, noise of {NOISE}")

    right = "at the patch" if sought.found == sought.place else "elsewhere"
    title = f"Normalised correlation, through FFT:\nits peak, {sought.score:.2f}, is {right}"
    shown = _picture(scores, sought.scores, title, (-1, 1), SIGNED)
    scores.plot(*sought.found[::-1], marker="o", markersize=13, fillstyle="none", color=INK)
    _scale(part, scores, shown, "score of the window that begins here")


def _box(axes: Axes, place: tuple[int, int], colour: str) -> None:
    corner = (place[1] - 0.5, place[0] - 0.5)
    axes.add_patch(Rectangle(corner, PATCH, PATCH, fill=False, edgecolor=colour, linewidth=2))


# ---- convolution against correlation ---------------------------------------------------------


def _comparisons(part: SubFigure, emboss: BothOps, blur: BothOps) -> None:
    panels = part.subplots(1, 4)
    limit = float(np.quantile(np.abs(emboss.convolution), 0.99)) or 1.0
    for axes, values, title, cmap in (
        (
            panels[0],
            emboss.convolution,
            f"Convolution with the emboss kernel\n{written(EMBOSS)}, not symmetric",
            "gray",
        ),
        (
            panels[1],
            emboss.correlation,
            "Correlation with it: the light comes from\nthe other side",
            "gray",
        ),
        (panels[2], emboss.difference, "Convolution − correlation:\nthey differ", SIGNED),
    ):
        shown = _picture(axes, values, title, (-limit, limit), cmap)
        _scale(part, axes, shown, "luminance (0 to 1 in the photograph)", "both")
    units = blur.difference / ROUNDOFF["float32"]
    limit = float(np.abs(units).max()) or 1.0
    title = "Convolution − correlation with the\nsymmetric Gaussian: rounding alone"
    shown = _picture(panels[3], units, title, (-limit, limit), SIGNED)
    _scale(part, panels[3], shown, "luminance ÷ 2⁻²⁴, the roundoff of float32")


# ---- the times -------------------------------------------------------------------------------


def _times(part: SubFigure, timings: Sequence[tuple[int, Sequence[Record]]], where: str) -> None:
    part.suptitle(
        f"Median time of one run with its 95 % interval: mode same, float32, on {where}",
        fontsize=10,
    )
    panels = part.subplots(1, len(timings))
    for axes, (size, records) in zip(panels, timings, strict=True):
        _bars(axes, size, records)
    present = {record.family for _, records in timings for record in records}
    keys = [Patch(color=SHADES[name][0], label=name) for name in SHADES if name in present]
    part.legend(handles=keys, loc="outside lower center", ncols=len(keys), title="family")


def _bars(axes: Axes, size: int, records: Sequence[Record]) -> None:
    timed = [record for record in records if record.status == "ok" and record.median_s is not None]
    middles = np.array([record.median_s or 0.0 for record in timed])
    spread = np.array(
        [[record.ci_low_s or 0.0, record.ci_high_s or 0.0] for record in timed]
    ).reshape(-1, 2)
    axes.barh(
        range(len(timed)),
        middles,
        color=[SHADES[record.family][0] for record in timed],
        xerr=np.abs(spread.T - middles),
        error_kw={"ecolor": INK, "capsize": 3, "elinewidth": 1.2},
        height=0.7,
    )
    axes.set_xscale("log")
    for place, record in enumerate(records):
        if record in timed:
            text, high = f"{1e3 * (record.median_s or 0.0):.3g} ms", record.ci_high_s or 0.0
            axes.annotate(text, (high, place), (6, 0), textcoords="offset points", va="center")
        else:
            text = f" {outcome(record)}"
            across = axes.get_yaxis_transform()
            axes.text(0.0, place, text, transform=across, va="center", color="#777777", fontsize=8)
    if timed:
        axes.set_xlim(middles.min() / 2, 6 * spread.max())
        axes.set_title(f"Gaussian {size}×{size}\n{verdict(timed)}")
    axes.set_yticks(range(len(records)), [record.contender.partition("@")[0] for record in records])
    axes.set_ylim(len(records) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    cost_ticks(axes.xaxis, "s")
    axes.set_xlabel("time of one run")
