"""n* against channels, by batch and output, and the arithmetic beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convcross.analysis.crossover.reuse import Star, Stars
from convcross.analysis.crossover.verdict import Verdict
from convcross.report.figures import style
from convcross.report.figures.maps import arrow
from convcross.report.figures.style import PANEL, Appearance

COLOURS = ("#56B4E9", "#0072B2", "#003F63")  # FFT's shades, darker with the batch
MOST = 9  # outputs that have a panel
APART = 1.05  # batches stand side by side, where they agree
BEYOND = 1.35  # of the first and the last kernel: how far the panel goes
PACED, ALONE = "by arithmetic", "of FLOP alone"
DASHES: dict[str, Literal["--", ":"]] = {PACED: "--", ALONE: ":"}


def reuse(stars: Stars, where: str) -> Figure:
    """A panel an output, a line a batch; arrows where n* lies beyond what was measured."""
    outputs = sorted({star.output for star in stars.stars})
    chosen = [outputs[place] for place in _evenly(len(outputs))]
    batches = sorted({star.batch for star in stars.stars})
    looks = {
        batch: Appearance(COLOURS[place % len(COLOURS)], style.MARKERS[place % len(style.MARKERS)])
        for place, batch in enumerate(batches)
    }
    known = any(star.paced is not None for star in stars.stars)
    dashes = {name: dash for name, dash in DASHES.items() if known}
    notes = [
        "From n* on, the fastest FFT stays faster than the fastest contender of any other family.",
        "Bars: 95 % intervals. Hollow with an arrow: n* lies at the bound or beyond; grey: not "
        "measured.",
    ]
    if stars.pace is not None:
        notes.append(
            f"By arithmetic: n* of the least FLOP declared, at {stars.pace:.2g} times the others' "
            "FLOP/s for FFT, the median of this grid; at the edge of the grey, there or beyond."
        )
    if len(chosen) < len(outputs):
        notes.append(f"{len(chosen)} of {len(outputs)} outputs; the table has all.")
    names = [f"batch {batch}" for batch in batches]
    made, panels, side = style.panels(
        len(chosen),
        "n* of FFT over all others, by output, batch and channels",
        where,
        " ".join([*notes, stars.scaled]).rstrip(),
        labels=[*names, *dashes],
    )
    for panel, output in zip(panels, chosen, strict=True):
        _panel(panel, [star for star in stars.stars if star.output == output], stars, looks)
        panel.set_title(f"output {output}", loc="left", fontweight="bold")
    if side is not None:
        handles = [
            Line2D([], [], color=looks[batch].colour, marker=looks[batch].marker, label=name)
            for batch, name in zip(batches, names, strict=True)
        ]
        handles += [
            Line2D([], [], color=style.SOFT, linestyle=dash, label=name)
            for name, dash in dashes.items()
        ]
        side.legend(handles=handles, loc="upper left", borderaxespad=0, handlelength=2.4)
    return made


def _evenly(count: int) -> Sequence[int]:
    places = np.linspace(0, count - 1, min(count, MOST)).round()
    return [int(place) for place in places]


def _panel(panel: Axes, own: Sequence[Star], stars: Stars, looks: dict[int, Appearance]) -> None:
    batches = [batch for batch in looks if any(star.batch == batch for star in own)]
    for place, batch in enumerate(batches):
        line = [star for star in own if star.batch == batch]
        shift = APART ** (place - (len(batches) - 1) / 2)
        look = looks[batch]
        channels = [star.channels for star in line]
        paced, alone = [star.paced for star in line], [star.alone for star in line]
        for name, verdicts in ((PACED, paced), (ALONE, alone)):
            heights = [math.nan if found is None else _height(found) for found in verdicts]
            panel.plot(
                channels,
                heights,
                DASHES[name],
                color=look.colour,
                linewidth=1.1,
                # A single point has no line.
                marker="_" if len(line) == 1 else None,
                markersize=9,
                zorder=2,
            )
        _measured(panel, [channel * shift for channel in channels], line, look)
    kernels = sorted({n for star in stars.stars for n in star.kernels})
    every = sorted({star.channels for star in stars.stars})
    panel.set_xscale("log")
    panel.set_yscale("log")
    low, high = kernels[0] / BEYOND, kernels[-1] * BEYOND
    for edge, end in ((kernels[0], low), (kernels[-1], high)):
        panel.axhspan(min(edge, end), max(edge, end), color=style.MISSING, linewidth=0, zorder=0)
    panel.set_ylim(low, high)
    panel.set_xlim(every[0] / 1.3, every[-1] * 1.3)
    style.numbered_ticks(panel.xaxis, every, PANEL[0])
    style.numbered_ticks(panel.yaxis, kernels, PANEL[1])
    panel.set_xlabel("channels")
    panel.set_ylabel("n*, a kernel size")


def _measured(panel: Axes, places: Sequence[float], line: Sequence[Star], look: Appearance) -> None:
    middles = [star.measured.n_star or math.nan for star in line]
    spans = [(star.measured.low, star.measured.high) for star in line]
    panel.errorbar(
        places,
        middles,
        yerr=[
            [middle - (low or middle) for middle, (low, _) in zip(middles, spans, strict=True)],
            [(high or middle) - middle for middle, (_, high) in zip(middles, spans, strict=True)],
        ],
        color=look.colour,
        marker=look.marker,
        markersize=5,
        capsize=2.5,
        zorder=3,
    )
    for x, star in zip(places, line, strict=True):
        found = star.measured
        if found.n_star is None and found.verdict != "tie":
            up = found.low is not None
            arrow(panel, x, _height(found), 12 if up else -12, look)


def _height(found: Verdict) -> float:
    """n*, or the bound that it lies beyond; NaN for a tie."""
    return found.n_star or found.low or found.high or math.nan
