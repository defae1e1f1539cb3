"""What networks learn with correlation and with true convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from convcross.analysis.claims.learning import JUDGED, NETWORKS, ROUNDOFFS
from convcross.report.figures.style import INK, SOFT
from convcross.results.schema import Learned

# Of Okabe & Ito, as of contenders.
COLOURS = {
    "correlation": "#222222",
    "fft": "#0072B2",
    "convolution": "#D55E00",
    "rotated": "#009E73",
}
TITLE = "Networks that correlate, and networks that convolve"
DASHES = {"float32": "-", "float64": (0, (4, 2))}
SIGNED = "RdBu_r"
SIZE, WITHOUT_FILTERS = (12.0, 7.6), (12.0, 4.4)  # inches
MOST = 8  # filters of a network that are shown


def learning(found: Sequence[Learned], where: str, title: str = TITLE) -> Figure:
    """Accuracies by epoch, how far filters are from those of nn.Conv2d, and the first filters.

    Parameters
    ----------
    found : every network in every type, with as many seeds as there are
    where : the machine, in words, below; or ""
    """
    filters = _last_filters(found)
    figure = Figure(
        figsize=SIZE if filters else WITHOUT_FILTERS,
        dpi=160,
        layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08),
    )
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11, fontweight="bold", wrap=True)
    if where:
        figure.supxlabel(where, fontsize=9, color=SOFT)
    parts: Any = [figure]
    if filters:
        parts = figure.subfigures(2, 1, height_ratios=(1.15, 1.0))
        _filters(parts[1], filters)
    left, right = parts[0].subplots(1, 2)
    _accuracies(left, [one for one in found if one.dtype == JUDGED])
    _distances(right, found)
    return figure


def _accuracies(axes: Axes, found: Sequence[Learned]) -> None:
    """Mean over seeds, and the span of the first network's; as far as all have learned."""
    last = min(len(one.accuracy) for one in found)
    epochs = np.arange(1, last + 1)
    for network, words in NETWORKS.items():
        own = [one.accuracy[:last] for one in found if one.network == network]
        shares = 100 * np.array(own)
        colour = COLOURS[network]
        if network == "correlation":
            label = f"span of nn.Conv2d over {len(shares)} seeds"
            low, high = shares.min(axis=0), shares.max(axis=0)
            axes.fill_between(epochs, low, high, color=colour, alpha=0.12, lw=0, label=label)
        width = 4.0 if network == "correlation" else 1.6
        dashes: Any = (0, (3, 3)) if network == "rotated" else "-"
        alpha = 0.35 if network == "correlation" else 1.0
        axes.plot(
            epochs,
            shares.mean(axis=0),
            linestyle=dashes,
            color=colour,
            lw=width,
            alpha=alpha,
            label=words,
        )
    axes.set_title(f"Digits told right, of those kept out of learning ({JUDGED})")
    axes.set_xlabel("epoch")
    axes.set_ylabel("%")
    axes.legend(loc="lower right")


def _distances(axes: Axes, found: Sequence[Learned]) -> None:
    """Every seed's, of all networks but the one that the others are compared with."""
    named: set[str] = set()
    for one in found:
        if one.network == "correlation":
            continue
        apart = np.array(one.apart)
        epochs = np.arange(len(apart))
        shown = apart > 0  # at the start there is no difference at all
        axes.plot(
            epochs[shown],
            apart[shown],
            linestyle=DASHES[one.dtype],
            color=COLOURS[one.network],
            alpha=0.8,
            lw=1.2,
            label=None if one.network in named else NETWORKS[one.network],
        )
        named.add(one.network)
    last = max(len(one.accuracy) for one in found)
    for dtype in DASHES:
        axes.axhline(ROUNDOFFS[dtype], color=SOFT, lw=0.8, linestyle=":")
        place = (last, ROUNDOFFS[dtype] / 2)
        axes.text(*place, f"roundoff of {dtype}", color=SOFT, fontsize=8, ha="right", va="top")
    axes.set_yscale("log")
    axes.set_ylim(1e-18, 30)
    axes.yaxis.set_major_locator(FixedLocator([10.0**power for power in range(-16, 1, 4)]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0e}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_title(
        "How far its filters are from nn.Conv2d's, rotated ones rotated back:\n"
        "a line a seed; float32 drawn through, float64 dashed"
    )
    axes.set_xlabel("epoch")
    axes.set_ylabel("‖difference‖ / ‖filters‖")
    axes.legend(loc="center", bbox_to_anchor=(0.5, 0.36))


def _last_filters(found: Sequence[Learned]) -> dict[str, Any]:
    """Network → those of its first layer in the end, of the first seed; none where one has none."""
    judged = [one for one in found if one.dtype == JUDGED and one.filters]
    first = min((one.seed for one in judged), default=0)
    own = {str(one.network): np.array(one.filters[:MOST]) for one in judged if one.seed == first}
    alike = len({values.shape for values in own.values()}) == 1
    return {name: own[name] for name in NETWORKS} if alike and len(own) == len(NETWORKS) else {}


def _filters(part: Any, filters: dict[str, Any]) -> None:
    """A row a network, all on one scale."""
    largest = max(float(np.abs(own).max()) for own in filters.values()) or 1.0
    part.suptitle(f"What the first layer has learned (first seed, {JUDGED})", fontsize=9.5)
    panels = part.subplots(len(filters), len(filters["correlation"]), squeeze=False)
    for (network, own), line in zip(filters.items(), panels, strict=True):
        for axes, values in zip(line, own, strict=True):
            axes.imshow(values, cmap=SIGNED, vmin=-largest, vmax=largest)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.grid(False)
            axes.spines[:].set_visible(True)
        line[0].set_ylabel(
            NETWORKS[network].replace(" from ", "\nfrom "),
            rotation=0,
            ha="right",
            va="center",
            color=INK,
        )
