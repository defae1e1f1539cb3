"""FFT in layers of networks: how many times as fast as the best of all others, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convcross.analysis.scaled import said
from convcross.report.figures import style

MOST = 60  # layers that a figure has room for
LINE = 0.16  # inches a layer
WIDE, SHORTEST = 3.4, 1.2  # inches of the axes


def layers(table: pd.DataFrame, where: str) -> Figure:
    """A line a layer, FFT's best first, with its kernel, channels and batch.

    Parameters
    ----------
    table : see ``analysis.claims.layers.ratios``, of one set of conditions
    """
    shown = table.head(MOST)
    more = f" The {len(table) - MOST} slowest are left out." if len(table) > MOST else ""
    rows: list[Any] = shown.to_dict("records")
    words = [_words(row) for row in rows]
    made, (panel,), side = style.panels(
        1,
        "FFT in layers of networks",
        where,
        "Time of the fastest contender of any other family over that of the fastest FFT. Blue: FFT "
        f"wins. Of channels: input, in a group.{more} {said(shown['scaled'])}".rstrip(),
        labels=words,
        size=(WIDE, max(SHORTEST, LINE * (len(shown) + 1))),
        ends=True,
    )
    if side is not None:
        side.remove()
    batches = sorted(set(shown["batch"]))
    marker = dict(zip(batches, style.MARKERS * len(batches), strict=False))
    places = np.arange(len(shown))
    for place, row in zip(places, rows, strict=True):
        colour = style.SHADES["fft" if row["ratio"] > 1 else "direct"][0]
        panel.plot([1, row["ratio"]], [place, place], color=colour, linewidth=1, alpha=0.5)
        panel.plot(row["ratio"], place, marker[row["batch"]], color=colour)
        panel.annotate(
            words[place],
            xy=(1.02, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=7.5,
        )
    panel.axvline(1, color=style.INK, linewidth=1)
    panel.set_xscale("log")
    panel.set_ylim(len(shown) - 0.5, -0.5)
    panel.set_yticks([])
    panel.set_xlabel("times as fast as the best of all others")
    style.ratio_ticks(panel.xaxis)
    panel.legend(
        [Line2D([], [], color=style.SOFT, marker=marker[b], linestyle="none") for b in batches],
        [f"batch {batch}" for batch in batches],
        loc="upper left",
    )
    return made


def _words(row: Mapping[str, Any]) -> str:
    """RepLKNet stage 1: 31, 1 channel"""
    channels = f"{row['channels']} channel{'s' if row['channels'] != 1 else ''}"
    return f"{row['name']}: n = {row['kernel']}, {channels}"
