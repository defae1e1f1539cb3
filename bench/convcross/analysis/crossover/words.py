"""A crossover in words: its number, its sentence, and the tables that people read."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from convcross.analysis.crossover.costs import COSTS, PHASES
from convcross.analysis.crossover.crossover import Crossover
from convcross.analysis.crossover.verdict import Verdict
from convcross.text import one_line

LINES = "lines 1 × N, kernels 1 × n"  # of conditions with one dimension


def number(value: float) -> str:
    """A kernel size as people write it: 9.4, 31."""
    return f"{value:.1f}".removesuffix(".0")


def sentence(row: Crossover) -> str:
    """The row as a clause: "fft overtakes direct at n = 9.4 [9, 10] for N = 512".

    Where a side is a family, the representatives of both sides follow in brackets.
    """
    a, b = row.pair
    if row.kind == "floor" or ("/" in a and "/" in b):
        return _clause(row)
    a, b = (" and ".join(names) for names in row.representatives)
    return f"{_clause(row)} ({b} against {a})"


def _clause(row: Crossover) -> str:
    a, b = row.pair
    better = COSTS[row.cost].better
    overtakes = "overtakes" if row.cost == "time" else f"becomes {better} than"
    where = f"for N = {row.N}"
    several = ""
    if len(row.crossings) > 1 or (row.crossings and row.n_star is None):
        several = f"; the two cross at n = {', '.join(map(number, row.crossings))}"
    if row.verdict == "crosses" and row.n_star is not None:
        shown = f"n = {number(row.n_star)}"
        if row.low is not None and row.high is not None:
            shown += f" [{number(row.low)}, {number(row.high)}]"
        last = " for the last time" if several else ""
        return f"{b} {overtakes} {a}{last} at {shown} {where}{several}"
    if row.verdict == "always" and row.high is not None:
        return f"{b} is {better} than {a} at every n measured (from {number(row.high)}) {where}"
    if row.verdict == "never":
        return f"{a} is {better} than {b} at every n up to the image's size {where}"
    if row.verdict == "tie" and row.tie_low is not None and row.tie_high is not None:
        span = f"n = {number(row.tie_low)} to {number(row.tie_high)}"
        return f"{b} and {a} do not differ significantly at {span} {where}"
    if row.low is not None:
        return f"{b} {overtakes} {a} above n = {number(row.low)}, if at all, {where}{several}"
    if row.high is not None:
        return f"{b} {overtakes} {a} at or below n = {number(row.high)} {where}"
    raise ValueError(f"verdict is {row.verdict!r} without its bounds")


def heading(row: Crossover) -> str:
    """Machine, device and conditions of rows that belong together."""
    parts = [row.dtype, row.op, row.mode, f"{row.data} data", f"regime {row.regime}"]
    if row.dimensions == 1:
        parts.append(LINES)
    if (row.batch, row.channels) != (1, 1):
        parts.append(f"batch {row.batch}, channels {row.channels}")
    if row.direction != "forward":
        parts.append(f"direction {row.direction}")
    parts.append(f"phase {row.phase} ({PHASES[row.phase].words})")
    if row.cost != "time":
        parts.append(f"cost {row.cost}")
    return f"{row.machine} ({row.device}): {', '.join(parts)}"


def print_table(rows: Sequence[Crossover]) -> None:
    """Print one table a machine, device and set of conditions; plain lines off a terminal."""
    for _, group in itertools.groupby(
        sorted(rows, key=lambda row: tuple(map(str, row.conditions))),
        key=lambda row: row.conditions,
    ):
        together = list(group)
        if sys.stdout.isatty():
            Console().print(_table(together))
            for text in cautions(together):
                Console().print(escape(one_line(text)), style="dim")
        else:
            print(one_line(heading(together[0])))
            for row in together:
                print(f"  {row.kind}: {one_line(sentence(row))}")
            for text in cautions(together):
                print(f"  {one_line(text)}")


def _table(rows: Sequence[Crossover]) -> Table:
    title = escape(one_line(heading(rows[0])))
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("kind")
    table.add_column("B overtakes A")
    table.add_column("N", justify="right")
    table.add_column("n*", justify="right")
    table.add_column("95 % interval")
    table.add_column("tie band")
    table.add_column("verdict")
    table.add_column("of floor: A, B", justify="right")
    for row in rows:
        a, b = row.pair
        table.add_row(row.kind, escape(one_line(f"{b} over {a}")), *cells(row), shares(row))
    return table


def shares(row: Crossover) -> str:
    """How much of its floor's pace each side reaches at n*: "83 %, 20 %"; empty where unknown."""
    if row.share_a is None and row.share_b is None:
        return ""
    return ", ".join("–" if s is None else f"{s:.0%}" for s in (row.share_a, row.share_b))


def cautions(rows: Sequence[Crossover]) -> list[str]:
    """How little the rows' n* say about algorithms: a sentence for each pair of which it is so."""
    by_pair: dict[tuple[str, str], list[Crossover]] = {}
    for row in rows:
        if row.weak or row.beaten_by:
            by_pair.setdefault(row.pair, []).append(row)
    return [_caution(own) for own in by_pair.values()]


def _caution(rows: Sequence[Crossover]) -> str:
    """Of one pair, at several image sizes."""
    shares: dict[str, list[float]] = {}
    for row in rows:
        for name, share in row.weak.items():
            shares.setdefault(name, []).append(share)
    parts = [
        f"{name} reaches {_percent(own)} of its floor at n*" for name, own in sorted(shares.items())
    ]
    libraries = sorted({name for row in rows for name in row.beaten_by})
    if libraries:
        what = "a library that chooses" if len(libraries) == 1 else "libraries that choose"
        verb = "is" if len(libraries) == 1 else "are"
        parts.append(f"{' and '.join(libraries)}, {what}, {verb} faster than both there")
    sizes = ", ".join(str(N) for N in sorted({row.N for row in rows}))
    a, b = rows[0].pair
    return (
        f"{b} over {a} at N = {sizes} says more about contenders than about algorithms: "
        f"{', and '.join(parts)}"
    )


def _percent(shares: Sequence[float]) -> str:
    low, high = (f"{100 * share:.2g}" for share in (min(shares), max(shares)))
    return f"{low} %" if low == high else f"{low} to {high} %"


def place(found: Crossover | Verdict) -> str:
    """n* or its bound, as a table shows it: "9.4", "≤ 3", "> 31"; empty where neither is known."""
    if found.n_star is not None:
        return number(found.n_star)
    if found.verdict in ("always", "beyond-grid"):
        return f"> {number(found.low)}" if found.low else f"≤ {number(found.high or 0)}"
    return ""


def cells(row: Crossover) -> tuple[str, str, str, str, str]:
    """N, n*, interval, tie band and verdict, as a table shows them."""

    def span(low: float | None, high: float | None) -> str:
        return "" if low is None or high is None else f"{number(low)} to {number(high)}"

    n_star, interval = place(row), span(row.low, row.high)
    verdict = row.verdict
    if len(row.crossings) > 1 or (row.crossings and row.n_star is None):
        verdict += f" (crossings at {', '.join(map(number, row.crossings))})"
    return str(row.N), n_star, interval, span(row.tie_low, row.tie_high), verdict
