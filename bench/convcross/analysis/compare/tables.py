"""What a comparison found, as tables on a terminal and as aligned lines off it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import get_args

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from convcross.analysis.compare.cells import Cell, Verdict
from convcross.analysis.compare.compare import Comparison, Shift, Tally
from convcross.analysis.crossover.crossover import Crossover
from convcross.analysis.crossover.words import cells
from convcross.text import one_line, seconds


def print_comparison(found: Comparison) -> None:
    """Print what differs; the verdicts' count comes last. Plain lines off a terminal."""
    for letter, file, machine in zip("AB", found.files, found.machines, strict=True):
        print(one_line(f"{letter}: {machine}, {file}"))
    for key, (a, b) in found.differences.items():
        print(f"   {one_line(f'{key}: {a} in A, {b} in B')}")
    apart = sorted(
        (cell for cell in found.cells if cell.verdict in ("slower", "faster")),
        key=lambda cell: -(cell.ratio or 0.0),
    )
    _show(
        "Cells that differ, the slowest in B first",
        ["cell", "A", "B", "B/A [95 %]", "adjusted p", "verdict"],
        [
            [
                cell.where,
                *(seconds(time or 0.0, 2) for time in cell.seconds),
                _ratio(cell),
                f"{cell.p_adjusted:.1g}",
                cell.verdict,
            ]
            for cell in apart
        ],
    )
    untimed = [cell for cell in found.cells if cell.ratio is None]
    _show(
        "Status that differs (failed: ok in A, and now wrong, oom, timeout or error)",
        ["cell", "A", "B", "verdict", "reason"],
        [
            [cell.where, *map(str, cell.status), cell.verdict, cell.reason[1] or cell.reason[0]]
            for cell in untimed
            if None not in cell.status
        ],
    )
    lone = Counter(
        (cell.name, "BA"[cell.status.index(None)]) for cell in untimed if None in cell.status
    )
    _show(
        "Cells of one file only",
        ["contender", "file", "cells"],
        [[contender, file, str(count)] for (contender, file), count in sorted(lone.items())],
    )
    _show(
        "Contenders",
        ["contender", "slower", "faster", "same", "geometric mean of B/A [95 %]", "tells from"],
        [
            [
                tally.name,
                *map(str, (tally.slower, tally.faster, tally.same)),
                _ratio(tally),
                f"{tally.smallest:.1%}",
            ]
            for tally in found.contenders
        ],
    )
    _show(
        "Crossovers n* [95 %]",
        ["B overtakes A", "N", "in A", "in B", "n* of B/A", "intervals"],
        [
            [
                f"{shift.a.pair[1]} over {shift.a.pair[0]}",
                str(shift.a.N),
                _n_star(shift.a),
                _n_star(shift.b),
                "" if shift.ratio is None else f"{shift.ratio:.2f}",
                _intervals(shift),
            ]
            for shift in found.crossovers
        ],
    )
    for note in found.notes:
        print(one_line(f"note: {note}"))
    counts = Counter(cell.verdict for cell in found.cells)
    print(", ".join(f"{counts[word]} {word}" for word in get_args(Verdict)))


def _ratio(subject: Cell | Tally) -> str:
    if subject.low is None or subject.high is None:
        return f"{subject.ratio:.3f}"
    return f"{subject.ratio:.3f} [{subject.low:.3f}, {subject.high:.3f}]"


def _intervals(shift: Shift) -> str:
    """Whether they overlap; of an n* without one, nothing is said."""
    if any(row.n_star is not None and row.low is None for row in (shift.a, shift.b)):
        return "none"
    return "overlap" if shift.overlap else "apart"


def _n_star(row: Crossover) -> str:
    _, n_star, interval, _, _ = cells(row)
    return f"{n_star} [{interval}]" if interval else f"{row.verdict} {n_star}".rstrip()


def _show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table, if it has rows; aligned columns off a terminal."""
    if not rows:
        return
    rows = [[one_line(text) for text in row] for row in rows]
    if sys.stdout.isatty():
        table = Table(title=title, title_justify="left", title_style="bold")
        for column in columns:
            table.add_column(column)
        for row in rows:
            table.add_row(*map(escape, row))
        Console().print(table)
        return
    print(f"{title}:")
    lines = [columns, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        aligned = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        print(f"  {'  '.join(aligned)}".rstrip())
