"""FFT's speed-up against kernel and output size, for each batch and number of channels.

Drawn as Vasilache et al. 2015 (fbfft, arXiv:1412.7580) draw theirs.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure

from convcross.analysis.scaled import said
from convcross.report.figures import style

CELL = (0.42, 0.3)  # inches
MOST = 16.0  # times as fast, or as slow, from which on the colour stays
COLOURS = LinearSegmentedColormap.from_list(
    "fft", [style.SHADES["direct"][0], "#FFFFFF", style.SHADES["fft"][0]]
)
DARK = 7.0  # times, from which on the text is white


def outputs(table: pd.DataFrame, where: str) -> Figure:
    """A panel for each batch and number of channels, a tile for each kernel and output size.

    Parameters
    ----------
    table : see ``analysis.passes.speed_ups``
    """
    groups = list(table.groupby(["batch", "channels"], sort=True))
    sizes, kernels = sorted(set(table["output"])), sorted(set(table["kernel"]))
    made, panels, side = style.panels(
        len(groups),
        "FFT's speed-up by outputs, kernel, batch and channels",
        where,
        "Time of the fastest contender of any other family over that of the fastest FFT. Blue: FFT "
        f"wins; orange: another does; full colour: by {MOST:g}× and more. Mode valid: an image is "
        f"its output and n − 1 pixels more. Grey: no usable time. {said(table['scaled'])}".rstrip(),
        labels=[],
        size=(max(1.6, CELL[0] * len(sizes)), max(1.2, CELL[1] * len(kernels))),
    )
    assert side is not None
    side.remove()
    for panel, ((batch, channels), own) in zip(panels, groups, strict=True):
        _panel(panel, own, sizes, kernels)
        many = f"{channels} channel{'s' if channels != 1 else ''}"
        panel.set_title(f"batch {batch}, {many}", loc="left")
    return made


def _panel(panel: Axes, table: pd.DataFrame, sizes: list[int], kernels: list[int]) -> None:
    ratios = np.full((len(kernels), len(sizes)), np.nan)
    for row in table.to_dict("records"):
        ratios[kernels.index(row["kernel"]), sizes.index(row["output"])] = row["ratio"]
    panel.grid(False)
    panel.set_facecolor(style.MISSING)
    panel.pcolormesh(
        np.arange(len(sizes) + 1) - 0.5,
        np.arange(len(kernels) + 1) - 0.5,
        np.ma.masked_invalid(ratios),
        cmap=COLOURS,
        norm=LogNorm(1 / MOST, MOST, clip=True),
        edgecolors="white",
        linewidth=0.8,
    )
    for (y, x), ratio in np.ndenumerate(ratios):
        if np.isfinite(ratio):
            strong = max(ratio, 1 / ratio) >= DARK
            panel.text(
                x,
                y,
                _times(float(ratio)),
                ha="center",
                va="center",
                fontsize=7,
                fontweight="bold" if ratio > 1 else "normal",
                color="white" if strong else style.INK,
            )
    panel.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    panel.set_yticks(range(len(kernels)), [str(kernel) for kernel in kernels])
    panel.tick_params(length=0)
    panel.set_xlabel("output size")
    panel.set_ylabel(style.KERNEL_AXIS)


def _times(ratio: float) -> str:
    """Two digits, and no more than are whole: 0.07, 0.53, 1.8, 23."""
    return f"{ratio:.0f}" if ratio >= 9.95 else f"{ratio:.1f}" if ratio >= 0.995 else f"{ratio:.2f}"
