"""One cell of two results files: what its times say, and whether they differ.

    t = (median of B's launches − median of A's) / √(error_A² + error_B²)

in logarithms, with errors as ``stats.launches`` has them, pooled over the cells of a contender; so
a process that is slow by chance makes no difference by itself. tests/proofs/comparisons.py plants
runs of the same code, and slower ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel

from convcross.analysis.crossover.verdict import TIE
from convcross.analysis.launches import levels_of
from convcross.analysis.tables import describe
from convcross.machine.repeatability import Repeatability
from convcross.results.status import FAILURES
from convcross.stats import launches
from convcross.stats.bootstrap import Array, Samples, log_ratio
from convcross.stats.percentile import interval
from convcross.stats.two_samples import adjusted, least_p, mann_whitney
from convkernels.problem import Problem

ALPHA = 0.02  # of the cells said to differ, the share that does not: 1 % slower, 1 % faster
KEYS = ["problem", "data", "seed", "regime", "contender"]  # what two cells must share
_DRAWS = 1000

Verdict = Literal["slower", "faster", "same", "failed", "changed"]
Row = dict[str, Any]
CellPair = tuple[Row | None, Row | None]
Key = tuple[Any, ...]


def named(contender: str, device: tuple[str | None, str | None]) -> str:
    """The contender, with its device where both sides, as far as they have one, agree on it."""
    devices = {name for name in device if name is not None}
    return "@".join([contender, *(devices if len(devices) == 1 else ())])


class Cell(BaseModel):
    """One contender on one problem; pairs are (in A, in B), times are seconds of a steady run.

    ``status`` is "ok", or why there is no usable time, or None where the file lacks the cell.
    ``ratio`` is median of B over median of A with its 95 % interval ``low`` to ``high``; ``p`` that
    of the two-sided test, ``p_adjusted`` the same after Benjamini and Hochberg; ``smallest`` the
    difference, relative, from which this cell would differ if it were the only one, and ``floor``
    what runs of the same code differ by. All are None where one side has no usable time, and
    ``low`` and ``high`` where one has a time without samples.
    ``samples`` are counted where those of one process were tested, and not launches.
    """

    contender: str
    device: tuple[str | None, str | None]
    problem: dict[str, Any]
    data: str
    regime: str
    seed: int
    status: tuple[str | None, str | None]
    reason: tuple[str, str] = ("", "")
    seconds: tuple[float | None, float | None] = (None, None)
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    floor: float | None = None
    smallest: float | None = None
    samples: tuple[int, int] | None = None
    verdict: Verdict = "changed"

    @property
    def name(self) -> str:
        return named(self.contender, self.device)

    @property
    def where(self) -> str:
        """Contender, problem and conditions, defaults left out."""
        data = "" if self.data == "normal" else f", {self.data} data"
        problem = describe(Problem.from_json(self.problem))
        return f"{self.name}: {problem}{data}, {self.regime}"


def judged(
    pairs: Sequence[CellPair], known: Sequence[Repeatability | None]
) -> list[tuple[Cell, Array]]:
    """Each pair of rows as a cell, with replicates of its log ratio where it has an interval.

    Parameters
    ----------
    known : what can be told apart on the machine of A, and of B
    """
    rng = np.random.default_rng(0)
    both = [(a, b) for a, b in pairs if a and b and a["state"] == b["state"] == "ok"]
    spreads = [_spreads(side) for side in zip(*both, strict=True)]
    found = []
    for a, b in pairs:
        if a and b and a["state"] == b["state"] == "ok":
            own = [spread[_contender(row)] for spread, row in zip(spreads, (a, b), strict=True)]
            found.append(_timed(a, b, own, known, rng))
        elif not (a and b) or "ok" in (a["state"], b["state"]):
            found.append((_untimed(a, b), np.empty(0)))
    timed = [cell for cell, _ in found if cell.ratio is not None]
    for cell, p in zip(timed, adjusted([cell.p or 0.0 for cell in timed]), strict=True):
        cell.p_adjusted = p
        apart = abs(math.log(cell.ratio or 1.0))
        if p < ALPHA and apart >= math.log1p(cell.floor or 0.0):
            cell.verdict = "slower" if (cell.ratio or 1.0) > 1 else "faster"
        else:
            cell.verdict = "same"
    return found


def _contender(row: Row) -> Key:
    return row["contender"], row["device"], row["regime"]


def _spreads(rows: Iterable[Row]) -> dict[Key, launches.Spread]:
    """How far the launches of each contender lie apart."""
    levels: dict[Key, list[Array]] = {}
    for row in rows:
        levels.setdefault(_contender(row), []).append(levels_of(row))
    return {contender: launches.pooled(own) for contender, own in levels.items()}


def _untimed(a: Row | None, b: Row | None) -> Cell:
    """A cell that at most one of them timed."""
    known = a or b or {}
    device, status, reason, seconds = (
        tuple(row[key] if row else none for row in (a, b))
        for key, none in (("device", None), ("state", None), ("reason", ""), ("seconds", None))
    )
    return Cell(
        **{key: known[key] for key in KEYS} | {"problem": known["problem"].to_json()},
        device=device,
        status=status,
        reason=reason,
        seconds=tuple(
            time if statu == "ok" else None for time, statu in zip(seconds, status, strict=True)
        ),
        verdict="failed" if status[0] == "ok" and status[1] in FAILURES else "changed",
    )


def _timed(
    a: Row,
    b: Row,
    spreads: Sequence[launches.Spread],
    known: Sequence[Repeatability | None],
    rng: np.random.Generator,
) -> tuple[Cell, Array]:
    """A cell that both timed, not yet judged."""
    cell = _untimed(a, b)
    levels = [levels_of(row) for row in (a, b)]
    cell.floor = _floor((a, b), [len(own) for own in levels], known)
    if min(spread.launches for spread in spreads) > 1:
        found = launches.difference(levels[0], spreads[0], levels[1], spreads[1])
        point, cell.p, least = found.point, found.p, found.least(ALPHA)
        replicates = launches.replicates(point, found.error, found.freedom, _DRAWS)
    else:
        first, second = (Samples((np.log(row["run"]),)) for row in (a, b))  # not paired by rounds
        ratio = log_ratio(second, first, _DRAWS, rng)
        point, replicates = ratio.point, ratio.replicates
        cell.p, least = mann_whitney(a["run"], b["run"]), 0.0
        cell.samples = len(a["run"]), len(b["run"])
        if a["summary"] or b["summary"]:  # one time, told without samples
            replicates = np.empty(0)
    cell.ratio = math.exp(point)
    if len(replicates):
        cell.low, cell.high = (math.exp(end) for end in interval(replicates))
    cell.smallest = max(math.expm1(least), cell.floor)
    return cell, replicates


def _floor(
    rows: Sequence[Row], counts: Sequence[int], known: Sequence[Repeatability | None]
) -> float:
    """The least difference that counts, relative: what runs of the same code differ by."""
    floors = []
    for row, machine in zip(rows, known, strict=True):
        where = row["contender"], row["device"], row["regime"], row["N"]
        repeat = machine.of(*where) if machine else None
        floors.append(repeat.smallest(counts[0], counts[1]) if repeat else TIE)
    return math.expm1(max(floors))


def said_of_one_launch(cells: Sequence[Cell]) -> list[str]:
    """What cells that were judged by the samples of one process cannot show, or show wrongly."""
    alone = [cell for cell in cells if cell.samples is not None]
    if not alone:
        return []
    timed = sum(cell.ratio is not None for cell in cells)
    return [
        f"{len(alone)} of {timed} cells have one launch in A or in B: what differs between two "
        "processes of the same code counts as a difference there",
        *_too_few([cell.samples for cell in alone if cell.samples is not None]),
    ]


def _too_few(counts: Sequence[tuple[int, int]]) -> list[str]:
    """What so many samples a cell, in A and in B, cannot show."""
    least = [least_p(*pair) for pair in counts]
    never = sum(p >= ALPHA for p in least)
    alone = sum(p >= ALPHA / len(least) for p in least)
    if not alone:
        return []
    return [
        f"{alone} of {len(least)} cells have too few samples to stand out alone "
        f"(p < {ALPHA / len(least):.1g}), {never} of them to stand out at all (p < {ALPHA}): "
        "'same' may be for want of samples there"
    ]
