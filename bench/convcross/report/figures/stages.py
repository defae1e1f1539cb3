"""Where the time of a run goes: shares of its stages as stacks, and their times."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convcross.analysis.stages import KERNEL, ordered
from convcross.report.figures import labels, style
from convcross.report.figures.labels import End
from convcross.report.figures.style import PANEL, Appearance

APPEARANCES = {
    "pad": Appearance("#999999", "o"),
    "unfold": Appearance("#E69F00", "s"),
    "forward": Appearance("#0072B2", "D"),
    "multiply": Appearance("#D55E00", "^"),
    "product": Appearance("#D55E00", "^"),
    "inverse": Appearance("#56B4E9", "v"),
    "crop": Appearance("#009E73", "P"),
    "rest": Appearance("#C8C8C8", "X"),
    KERNEL: Appearance("#CC79A7", "*"),
}
OTHER = Appearance(style.INK, "p")  # of a stage that only a user's algorithm names
MOST_BARS = 8
NOTE = (
    "Medians of staged runs, which wait for the device at each stage's end; a timed run does not. "
    "rest: of the run, in no stage. kernel: the load, paid once a filter and not in a steady run."
)
PADS = "The forward transform pads."


def stages(cells: pd.DataFrame, where: str) -> Figure:
    """One contender: shares of its stages above, times below; against n at the largest image with
    most kernels, and against N at the largest kernel with most images.

    Parameters
    ----------
    cells : see ``analysis.stages.by_stage``, of one contender
    """
    name = str(cells["contender"].iloc[0])
    N, n = _most(cells, "N", "n"), _most(cells, "n", "N")
    pads = "forward" in set(cells["stage"]) and "pad" not in set(cells["stage"])
    note = f"{NOTE} {PADS}" if pads else NOTE
    made, axes, _ = style.panels(
        4, f"Stages of {name}", where, note, labels=cells["stage"], ends=True
    )
    for place, (along, fixed, value) in enumerate((("n", "N", N), ("N", "n", n))):
        own = cells[cells[fixed] == value]
        seconds = own.pivot_table(index=along, columns="stage", values="seconds", fill_value=0.0)
        seconds = seconds[ordered(list(map(str, seconds)))]
        _shares(axes[place], seconds)
        _times(axes[place + 2], seconds)
        for panel in (axes[place], axes[place + 2]):
            panel.set_title(f"{fixed} = {value}", loc="left", fontweight="bold")
            panel.set_xlabel({"n": style.KERNEL_AXIS, "N": style.IMAGE_AXIS}[along])
    return made


def _most(cells: pd.DataFrame, fixed: str, along: str) -> int:
    """The value of one size at which most of the other were measured; the largest of several."""
    counts = cells.groupby(fixed)[along].nunique()
    return int(counts.index[counts == counts.max()].max())


def _shares(panel: Axes, seconds: pd.DataFrame) -> None:
    """Stacked bars, one a size, named at the last."""
    shown = seconds.iloc[[*range(0, len(seconds), -(-len(seconds) // MOST_BARS))]]
    shares = shown.div(shown.sum(axis=1), axis=0)
    places, ends = range(len(shares)), []
    below = pd.Series(0.0, shares.index)
    for stage, share in shares.items():
        appearance = APPEARANCES.get(str(stage), OTHER)
        panel.bar(
            places, share, 0.8, below, color=appearance.colour, edgecolor="white", linewidth=0.6
        )
        middle = below.iloc[-1] + share.iloc[-1] / 2
        ends.append(End(len(shares) - 0.6, middle, str(stage), appearance))
        below = below + share
    panel.set_xticks(list(places), [str(size) for size in shares.index])
    panel.grid(axis="x", visible=False)
    panel.set_xlim(-0.6, len(shares) - 0.4)
    panel.set_ylim(0, 1)
    panel.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    panel.set_ylabel("share of load and run")
    labels.at_ends(panel, ends, PANEL[1])


def _times(panel: Axes, seconds: pd.DataFrame) -> None:
    """A line a stage."""
    ends = []
    for stage, line in seconds.items():
        known = line[line > 0]
        if known.empty:
            continue
        appearance = APPEARANCES.get(str(stage), OTHER)
        panel.plot(known.index, known, color=appearance.colour, marker=appearance.marker)
        ends.append(End(known.index[-1], known.iloc[-1], str(stage), appearance))
    panel.set_xscale("log")
    panel.set_yscale("log")
    style.numbered_ticks(panel.xaxis, list(seconds.index), PANEL[0])
    style.cost_ticks(panel.yaxis, "s")
    panel.set_ylabel("time of a stage")
    labels.at_ends(panel, ends, PANEL[1])
