"""The figure of what networks learn with correlation and with true convolution."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from convcross.analysis.claims.learning import NETWORKS, ROUNDOFFS
from convcross.report.figures.style import INK, SOFT, settings
from convcross.results.schema import Learned

# Of Okabe & Ito, as in the report.
COLOURS = {
    "correlation": "#222222",
    "fft": "#0072B2",
    "convolution": "#D55E00",
    "rotated": "#009E73",
}
DASHES = {"float32": "-", "float64": (0, (4, 2))}
SIGNED = "RdBu_r"
DPI = 160
SIZE = 12.0, 7.6  # inches


def write(path: Path, found: Sequence[Learned], sentence: str) -> None:
    """Draw it and save it as PNG. Raises OSError where the file cannot be written.

    Parameters
    ----------
    sentence : the verdict, which stands above
    """
    with settings({}):
        figure = Figure(figsize=SIZE, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
        FigureCanvasAgg(figure)
        figure.suptitle(sentence, fontsize=11, fontweight="bold", wrap=True)
        parts: Any = figure.subfigures(2, 1, height_ratios=(1.15, 1.0))
        above, below = parts
        left, right = above.subplots(1, 2)
        _accuracies(left, [one for one in found if one.dtype == "float32"])
        _distances(right, found)
        _filters(below, found)
        figure.savefig(path, dpi=DPI, facecolor="white", metadata={"Software": None})


def _accuracies(axes: Axes, found: Sequence[Learned]) -> None:
    """Mean over seeds, and the span of the first network's."""
    for network, words in NETWORKS.items():
        shares = 100 * np.array([one.accuracy for one in found if one.network == network])
        epochs = np.arange(1, shares.shape[1] + 1)
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
    axes.set_title("Digits told right, of those kept out of learning (float32)")
    axes.set_xlabel("epoch")
    axes.set_ylabel("%")
    axes.legend(loc="lower right")


def _distances(axes: Axes, found: Sequence[Learned]) -> None:
    """Every seed's, of all networks but the one that the others are compared with."""
    for one in found:
        if one.network == "correlation":
            continue
        apart = np.array(one.apart)
        epochs = np.arange(len(apart))
        shown = apart > 0  # at the start there is no difference at all
        first = (one.seed, one.dtype) == (0, "float32")
        label = NETWORKS[one.network] if first else None
        axes.plot(
            epochs[shown],
            apart[shown],
            linestyle=DASHES[one.dtype],
            color=COLOURS[one.network],
            alpha=0.8,
            lw=1.2,
            label=label,
        )
    for dtype in DASHES:
        axes.axhline(ROUNDOFFS[dtype], color=SOFT, lw=0.8, linestyle=":")
        place = (len(found[0].accuracy), ROUNDOFFS[dtype] / 2)
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


def _filters(part: Any, found: Sequence[Learned]) -> None:
    """The first layer's in the end: a row a network, of the first seed."""
    rows: dict[str, Any] = {
        str(one.network): np.array(one.filters)
        for one in found
        if one.seed == 0 and one.dtype == "float32"
    }
    count = len(rows["correlation"])
    largest = max(float(np.abs(own).max()) for own in rows.values())
    part.suptitle("What the first layer has learned (first seed, float32)", fontsize=9.5)
    panels = part.subplots(len(NETWORKS), count)
    for (network, words), line in zip(NETWORKS.items(), panels, strict=True):
        for axes, values in zip(line, rows[network], strict=True):
            axes.imshow(values, cmap=SIGNED, vmin=-largest, vmax=largest)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.grid(False)
            axes.spines[:].set_visible(True)
        line[0].set_ylabel(
            words.replace(" from ", "\nfrom "),
            rotation=0,
            ha="right",
            va="center",
            color=INK,
        )
