"""What the padded size of a transform costs: one algorithm at three rules of rounding."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from convcross.report.figures import labels, style
from convcross.report.figures.labels import End
from convcross.report.figures.style import PANEL, Appearance

USUAL = "fft"  # what the others are set against
RULES = {
    "fft-exact": ("exact", Appearance("#D55E00", "o")),
    USUAL: ("next fast", Appearance("#0072B2", "s")),
    "fft-power-of-two": ("power of two", Appearance("#009E73", "^")),
}
DASHES = ("-", "--", ":")


def why_not(cells: pd.DataFrame) -> str | None:
    """Why there is nothing to draw of these cells, or None."""
    return None if len(_ratios(cells)) else f"none of {', '.join(RULES)} was measured beside fft"


def padding(cells: pd.DataFrame, where: str) -> Figure:
    """Time over that of the next fast size, against n: a panel an image size.

    Parameters
    ----------
    cells : see ``tables.by_cell``
    """
    ratios = _ratios(cells)
    libraries = sorted(ratios["library"].unique())
    names = {
        (rule, library): words if len(libraries) == 1 else f"{words}, {library}"
        for rule, (words, _) in RULES.items()
        for library in libraries
    }
    sizes = sorted(ratios["N"].unique())
    made, axes, side = style.panels(
        len(sizes),
        "Time of a padded transform over the next fast size's",
        where,
        "Above 1: slower than the next size with small prime factors. Lines: ratios of medians.",
        labels=names.values(),
        ends=True,
    )
    assert side is None  # three rules and three libraries have room at the ends
    for panel, N in zip(axes, sizes, strict=True):
        here = ratios[ratios["N"] == N].sort_values("n")
        panel.axhline(1, color=RULES[USUAL][1].colour, linewidth=1)
        ends = []
        for (rule, library), own in here.groupby(["rule", "library"], sort=False):
            look = RULES[rule][1]
            dashes = DASHES[libraries.index(library) % len(DASHES)]
            panel.plot(own["n"], own["ratio"], dashes, color=look.colour, marker=look.marker)
            ends.append(End(own["n"].iloc[-1], own["ratio"].iloc[-1], names[rule, library], look))
        panel.set_xscale("log")
        panel.set_yscale("log")
        style.numbered_ticks(panel.xaxis, sorted(here["n"].unique()), PANEL[0])
        style.ratio_ticks(panel.yaxis)
        panel.set_xlabel(style.KERNEL_AXIS)
        panel.set_ylabel("times as long")
        panel.set_title(f"N = {N}", loc="left", fontweight="bold")
        labels.at_ends(panel, ends, PANEL[1])
    return made


def _ratios(cells: pd.DataFrame) -> pd.DataFrame:
    """Of each rule but the usual one: rule, library, N, n, and its time over the usual one's."""
    parts = cells["contender"].str.partition("/")
    known = cells.assign(rule=parts[0], library=parts[2])[["rule", "library", "N", "n", "seconds"]]
    keys = ["library", "N", "n"]
    usual = known[known["rule"] == USUAL].set_index(keys)["seconds"]
    others = known[known["rule"].isin(RULES.keys() - {USUAL})]
    ratio = (
        others["seconds"].to_numpy()
        / usual.reindex(pd.MultiIndex.from_frame(others[keys])).to_numpy()
    )
    return others.assign(ratio=ratio).dropna(subset="ratio")
