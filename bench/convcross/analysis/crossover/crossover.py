"""n*(N): the kernel size from which one contender or family stays faster than another."""

from __future__ import annotations

import itertools
import logging
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from pydantic import BaseModel

from convcross.analysis.crossover import cautions, costs, floors, sides
from convcross.analysis.crossover.curves import Grid
from convcross.analysis.crossover.sides import Contest, Pair
from convcross.analysis.crossover.verdict import judge
from convcross.analysis.grids import by_output
from convcross.analysis.load import CONDITIONS, Results, load, why_left_out
from convcross.errors import BadInput
from convcross.text import one_line

log = logging.getLogger("convcross")


class Crossover(BaseModel):
    """The verdict on pair (A, B) at one image size N: where B overtakes A.

    ``representatives`` are the contenders that were compared for A and for B: beside n* where
    there is one, else at every n. ``low`` and ``high`` are the 95 % interval of ``n_star`` or,
    without it, the bounds that follow: n* > low, n* ≤ high. ``crossings`` alternate in direction;
    the last is n* where the verdict is "crosses". ``share_a`` and ``share_b`` are floor / time of
    the two next to n*, ``weak`` those that are small, by contender, and ``beaten_by`` libraries
    that choose by themselves and are faster than both there. ``kind`` is one of ``sides.KINDS``;
    those of kind "floor" are arithmetic.
    """

    kind: str
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
    dimensions: int
    direction: str
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
    share_a: float | None = None
    share_b: float | None = None
    weak: dict[str, float] = {}
    beaten_by: list[str] = []

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
    pairs : (A, B): B overtakes A; None for best, textbook, library and floor
    phase : "steady", "fresh" or "first"
        With "steady", a library whose FFT transforms the kernel in each call has "fresh".
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
    contests = chosen(rows, pairs)
    grids: dict[str, Grid] = {}
    found: list[Crossover] = []
    curves: list[_Shape] = []
    for contest in contests:
        own = phase
        if contest.phase is not None and (phase, cost) == ("steady", "time"):
            own = contest.phase
        grid = grids.setdefault(own, Grid(rows, own, cost))
        for conditions, N, curve in grid.curves(contest.pair):
            verdict = judge(curve, N)
            curves.append(_Shape(contest.pair, N, len(curve.n), curve.exact))
            representatives = curve.compared(verdict.n_star)
            weight = cautions.Weight()
            if cost == "time" and verdict.n_star is not None:
                place = (N, verdict.n_star)
                weight = cautions.weigh(rows, conditions, own, place, representatives)
            row = Crossover(
                kind=contest.kind,
                machine=results.machine,
                pair=contest.pair,
                phase=own,
                cost=cost,
                N=N,
                representatives=representatives,
                share_a=weight.share_a,
                share_b=weight.share_b,
                weak=dict(weight.weak),
                beaten_by=list(weight.beaten_by),
                **conditions,
                **vars(verdict),
            )
            found.append(row)
    compared = [contest.pair for contest in contests]
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
        *dict.fromkeys(note for grid in grids.values() for note in grid.notes),
        *_limits(curves, cost),
    ]:
        log.warning(one_line(note))
    if pairs is None and (phase, cost) == ("steady", "time"):
        found += _floors(results, found)
    return found


def _floors(results: Results, found: Sequence[Crossover]) -> Iterable[Crossover]:
    """Where the floors cross, beside the best of each image size that they are known of."""
    for row in found:
        # Their arithmetic is that of squares, forward.
        if row.kind != "best" or row.dimensions == 1 or row.direction != "forward":
            continue
        for pair, n_star in floors.crossings(results, row.device, row.dtype, row.N):
            yield row.model_copy(
                update={
                    "kind": "floor",
                    "pair": pair,
                    "verdict": "never" if n_star is None else "crosses",
                    "n_star": n_star,
                    "crossings": [] if n_star is None else [n_star],
                    "representatives": ([], []),
                    **dict.fromkeys(
                        ("low", "high", "tie_low", "tie_high", "share_a", "share_b"), None
                    ),
                    **{"weak": {}, "beaten_by": []},
                }
            )


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
    if cost == "time" and any(curve.exact for curve in curves):
        yield (
            "times without samples: they have no test of significance, and n* no interval; what "
            "differs may differ by chance"
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
        if by_output(frame).any():
            raise BadInput(
                f"{names}: a grid by outputs has another N for each n, so no n*(N); its n* is by "
                "output, batch and channels, in time, of FFT against all others"
            )
        raise BadInput(
            f"{names}: no square image with a square kernel, and no line, so no crossover; the "
            "report lists the fastest contender of each layer"
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


def chosen(grid: pd.DataFrame, asked: Sequence[Pair] | None) -> list[Contest]:
    """The pairs asked for, checked, or the default contests."""
    if asked is None:
        return sides.default(grid)
    for pair in asked:
        sides.check(pair, grid)
    return [Contest("best" if pair == sides.FAMILIES else "pair", pair) for pair in asked]
