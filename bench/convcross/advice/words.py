"""Advice and calibrations as people read them."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from convcross.advice.advise import Advice
from convcross.advice.near_crossover import NearCrossover
from convcross.advice.weights import Weights
from convcross.machine.contention import NOTICED
from convcross.text import binary, one_line, seconds
from convkernels.calibration import Calibration

SHOWN = 12  # contenders of an advice
WIDTH = 120  # of a table that is not printed on a terminal


def print_advice(advice: Advice) -> None:
    """The table, the crossover near by, and who is not in it."""
    table = Table(title=one_line(_title(advice)), title_justify="left")
    for heading in ("contender", "family", "time", "90 % interval", "error", "workspace", "why"):
        table.add_column(heading, justify="left" if heading in _WORDS else "right")
    for one in advice.ranked[:SHOWN]:
        table.add_row(
            *(escape(text) for text in (one.contender, one.family)),
            seconds(one.seconds),
            f"{seconds(one.low, 2)} to {seconds(one.high, 2)}",
            f"{one.error:.1e}",
            binary(math.ceil(one.workspace)),
            "" if one.why is None else escape(f"{_times(one.seconds, advice)}{one.why}"),
        )
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    console.print(table)
    more = len(advice.ranked) - SHOWN
    if more > 0:
        print(f"{more} more are slower; --json has them.")
    if advice.crossover is not None:
        print(sentence(advice.crossover))
    for what, reasons in (("Refused", advice.refused), ("Not in the running", advice.slower)):
        if reasons:
            named = [f"{name} ({reason})" for name, reason in sorted(reasons.items())]
            print(f"{what}: {one_line('; '.join(named))}.")


_WORDS = ("contender", "family", "why")


def _title(advice: Advice) -> str:
    p = advice.problem
    image, kernel = ("×".join(map(str, size)) for size in (p.image, p.kernel))
    channels = "" if p.is_image else f", {p.in_channels}→{p.out_channels} channels"
    groups = "" if p.groups == 1 else f" in {p.groups} groups"
    batch = "" if p.batch == 1 else f", batch {p.batch}"
    direction = "" if p.direction == "forward" else f"{p.direction} of "
    return (
        f"{direction}{image} by {kernel}{channels}{groups}{batch}, {p.mode}, {p.dtype} on "
        f"{advice.device}: "
        f"{counted(advice.weights)}; calibrated {advice.made_at[:10]}"
    )


def counted(weights: Weights) -> str:
    """What the seconds are of."""
    plan, load, _ = weights
    if (plan, load) == (0, 0):
        return "a run"
    if (plan, load) == (0, 1):
        return "a run with a new filter"
    if (plan, load) == (1, 1):
        return "a first call"
    return f"a run, with its share of plan and load over {1 / plan:g} calls"


def _times(value: float, advice: Advice) -> str:
    ratio = value / advice.ranked[0].seconds
    return f"{ratio:.1f}×, " if ratio >= 1.05 else ""


def sentence(near: NearCrossover) -> str:
    """The crossover in words."""
    direct, fft = near.pair
    if near.n is None:
        ahead, behind = (
            ("FFT", "the direct sum") if near.ahead == "fft" else ("The direct sum", "FFT")
        )
        return f"{ahead} stays ahead of {behind} to n = {near.largest} here ({fft}, {direct})."
    return (
        f"On this image FFT overtakes the direct sum at about n = {near.n:.0f} "
        f"[{near.low:.0f}, {near.high:.0f}] ({fft} against {direct}), by prediction."
    )


def disturbed(shares: Mapping[str, float]) -> list[str]:
    """What else used the cores meanwhile, where that is worth a word."""
    taken = sum(shares.values())
    if taken <= NOTICED:
        return []
    return [
        f"Others took {taken:.0%} of the cores meanwhile: what is predicted is the worse for it. "
        f"Run it again when the machine is idle."
    ]


def print_calibration(made: Calibration, worth: Sequence[str]) -> None:
    """What was found, and what its predictions are worth."""
    counts = {
        name: sum(len(phases["run"].samples) for phases in fit.passes.values())
        for name, fit in made.contenders.items()
    }
    ordered = sorted(counts, key=lambda name: -counts[name])
    print(
        f"{len(counts)} contenders can win somewhere; the most measured: {', '.join(ordered[:6])}"
    )
    for line in worth:
        print(line)
