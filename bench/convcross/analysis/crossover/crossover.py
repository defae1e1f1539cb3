"""n*(N): the kernel size from which one contender or family stays faster than another."""

from __future__ import annotations

import itertools
import logging
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from convcross.analysis.crossover import costs, sides
from convcross.analysis.crossover.costs import COSTS, PHASES
from convcross.analysis.crossover.curves import Grid
from convcross.analysis.crossover.sides import Pair
from convcross.analysis.crossover.verdict import Curve, judge
from convcross.analysis.load import CONDITIONS, Results, load, why_left_out
from convcross.errors import BadInput
from convcross.text import one_line

log = logging.getLogger("convcross")


class Crossover(BaseModel):
    """The verdict on pair (A, B) at one image size N: where B overtakes A.

    ``representatives`` are the contenders that were compared for A and for B: beside n* where
    there is one, else at every n. ``low`` and ``high`` are the 95 % interval of ``n_star`` or,
    without it, the bounds that follow: n* > low, n* ≤ high. ``crossings`` alternate in direction;
    the last is n* where the verdict is "crosses".
    """

    machine: str
    device: str
    pair: Pair
    phase: str
    cost: str
    regime: str
    dtype: str
    op: str
    mode: str
    data: str
    batch: int
    channels: int | tuple[int, int]
    N: int
    verdict: str
    n_star: float | None
    low: float | None
    high: float | None
    tie_low: float | None
    tie_high: float | None
    crossings: list[float]
    representatives: tuple[list[str], list[str]] = ([], [])

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    @property
    def conditions(self) -> tuple[Any, ...]:
        """All that rows of one curve n*(N) share."""
        keys = ["machine", *CONDITIONS, "phase", "cost"]
        return tuple(getattr(self, key) for key in keys)


def crossovers(
    paths: Sequence[Path],
    *,
    pairs: Sequence[Pair] | None = None,
    phase: str = "steady",
    cost: str = "time",
    include_flagged: bool = False,
) -> list[Crossover]:
    """The crossover of each pair at each image size of the N×n grid in the files.

    Parameters
    ----------
    paths : results files of one machine
    pairs : (A, B): B overtakes A; None for the default pairs
    phase : "steady", "fresh" or "first"
    cost : "time", "error", "workspace" or "energy"
    include_flagged : compare flagged measurements too

    Raises
    ------
    BadInput
        Says what cannot be compared, and why.
    """
    results = load(paths, include_flagged=include_flagged)
    return of_results(results, pairs=pairs, phase=phase, cost=cost)


def of_results(
    results: Results,
    *,
    pairs: Sequence[Pair] | None = None,
    phase: str = "steady",
    cost: str = "time",
) -> list[Crossover]:
    """``crossovers`` of files that are loaded. What the rows cannot say is logged as warnings."""
    costs.check(phase, cost)
    rows = comparable(results)
    if cost == "energy":
        _check_energy(results, rows)
    grid = Grid(rows, phase, cost)
    compared = chosen_pairs(rows, pairs)
    found: list[Crossover] = []
    curves: list[_Shape] = []
    for pair in compared:
        for conditions, N, curve in grid.curves(pair):
            verdict = judge(curve, N)
            curves.append(_Shape(pair, N, len(curve.n), curve.exact))
            found.append(
                Crossover(
                    machine=results.machine,
                    pair=pair,
                    phase=phase,
                    cost=cost,
                    N=N,
                    representatives=_representatives(curve, verdict.n_star),
                    **conditions,
                    **vars(verdict),
                )
            )
    unusable = [pair for pair in compared if pair not in {curve.pair for curve in curves}]
    why_none = (
        f"pair {'; '.join(f'{a},{b}' for a, b in unusable)}: no cell in which both have a usable "
        f"{cost} in phase {phase}; allowed: pairs measured on the same problem and in the same "
        "regime"
    )
    if not found:
        raise BadInput(why_none)
    for note in [
        *([why_none] if unusable else []),
        *dict.fromkeys(grid.notes),
        *_limits(curves, cost),
    ]:
        log.warning(one_line(note))
    return found


class _Shape(NamedTuple):
    """Of a curve, how much it holds: see ``_limits``."""

    pair: Pair
    N: int
    kernels: int
    exact: bool


def _limits(curves: Sequence[_Shape], cost: str) -> Iterable[str]:
    """What curves of this extent cannot say, and why."""
    for (a, b), own in itertools.groupby(curves, key=lambda curve: curve.pair):
        thin = sorted({curve.N for curve in own if curve.kernels == 1})
        if thin:
            yield (
                f"{a} and {b} share one kernel size only at N = {', '.join(map(str, thin))}: "
                "which is better there can be said, not where they cross"
            )
    sizes = {curve.N for curve in curves}
    if len(sizes) == 1:
        yield (
            f"N = {sizes.pop()} is the only image size: n* there can be said, not how it moves "
            "with N"
        )
    if cost == "error" and any(curve.exact for curve in curves):
        yield (
            f"fewer than {costs.SEEDS} data seeds: such errors are single values, with no interval "
            "and no test of significance (error_seeds = 5 in a sweep measures more)"
        )


def _check_energy(results: Results, rows: pd.DataFrame) -> None:
    """Raises BadInput where no record has an energy."""
    if rows["energy"].map(len).any():
        return
    reasons = sorted(set(rows["no_energy"]) - {""})
    why = f" ({'; '.join(reasons)})" if reasons else ""
    sweep = shlex.quote(str(results.headers[0].sweep.get("name", "SWEEP")))
    raise BadInput(f"energy: not measured{why}; measure it: convcross run {sweep} --energy")


def comparable(results: Results) -> pd.DataFrame:
    """The usable N×n grid of the files. Raises BadInput where there is none, and says why."""
    grid = results.grid
    names = ", ".join(path.name for path in results.paths)
    frame = results.frame
    if not frame["is_grid"].any():
        raise BadInput(
            f"{names}: no square image with a square kernel, so no crossover; the report lists "
            "the fastest contender of each layer"
        )
    if grid.empty:
        counts = why_left_out(frame[frame["is_grid"]]).value_counts()
        counted = ", ".join(f"{count} {status}" for status, count in counts.items())
        raise BadInput(f"{names}: no usable time, so no crossover ({counted})")
    if len(set(grid["contender"] + grid["device"])) == 1:
        only = grid["contender"].iloc[0]
        raise BadInput(
            f"{names}: {only} is the only contender with a usable time; a crossover needs two"
        )
    return grid


def chosen_pairs(grid: pd.DataFrame, asked: Sequence[Pair] | None) -> list[Pair]:
    """The pairs asked for, checked, or the default ones."""
    if asked is None:
        return sides.default(grid)
    for pair in asked:
        sides.check(pair, grid)
    return list(asked)


def _representatives(curve: Curve, n_star: float | None) -> tuple[list[str], list[str]]:
    """Contenders that were compared next to n*, or at every n where there is no n*."""
    places = np.arange(len(curve.n))
    if n_star is not None:
        above = int(np.clip(np.searchsorted(curve.n, n_star), 1, len(curve.n) - 1))
        places = np.array([above - 1, above])
    a, b = (
        sorted({name for place in places for name in side[place]}) for side in curve.representatives
    )
    return a, b


# ---- in words ------------------------------------------------------------------------------


def number(value: float) -> str:
    """A kernel size as people write it: 9.4, 31."""
    return f"{value:.1f}".removesuffix(".0")


def sentence(row: Crossover) -> str:
    """The row as a clause: "fft overtakes direct at n = 9.4 [9, 10] for N = 512".

    Where a side is a family, the representatives of both sides follow in brackets.
    """
    a, b = row.pair
    if "/" in a and "/" in b:
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
    if (row.batch, row.channels) != (1, 1):
        parts.append(f"batch {row.batch}, channels {row.channels}")
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
        else:
            print(one_line(heading(together[0])))
            for row in together:
                print(f"  {one_line(sentence(row))}")


def _table(rows: Sequence[Crossover]) -> Table:
    title = escape(one_line(heading(rows[0])))
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("B overtakes A")
    table.add_column("N", justify="right")
    table.add_column("n*", justify="right")
    table.add_column("95 % interval")
    table.add_column("tie band")
    table.add_column("verdict")
    for row in rows:
        a, b = row.pair
        table.add_row(escape(one_line(f"{b} over {a}")), *cells(row))
    return table


def cells(row: Crossover) -> tuple[str, str, str, str, str]:
    """N, n*, interval, tie band and verdict, as a table shows them."""

    def span(low: float | None, high: float | None) -> str:
        return "" if low is None or high is None else f"{number(low)} to {number(high)}"

    n_star, interval = "", span(row.low, row.high)
    if row.n_star is not None:
        n_star = number(row.n_star)
    elif row.verdict in ("always", "beyond-grid"):
        n_star = f"> {number(row.low)}" if row.low else f"≤ {number(row.high or 0)}"
    verdict = row.verdict
    if len(row.crossings) > 1 or (row.crossings and row.n_star is None):
        verdict += f" (crossings at {', '.join(map(number, row.crossings))})"
    return str(row.N), n_star, interval, span(row.tie_low, row.tie_high), verdict
