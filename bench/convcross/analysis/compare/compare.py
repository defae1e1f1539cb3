"""Two results files side by side: per cell faster, slower or same, and how the crossovers moved.

What differs may be the card, the driver or the commit. Times of two files are never merged: each is
read for itself, and only its own verdicts and ratios stand beside the other's.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel

from convcross.analysis.crossover.crossover import Crossover, of_results
from convcross.analysis.crossover.verdict import TIE
from convcross.analysis.load import CONDITIONS, Results, load, why_left_out
from convcross.analysis.tables import describe
from convcross.errors import BadInput
from convcross.results.status import FAILURES
from convcross.stats.bootstrap import Array, Samples, log_ratio
from convcross.stats.percentile import interval
from convcross.stats.two_samples import adjusted, least_p, mann_whitney
from convkernels.problem import Problem

ALPHA = 0.002  # as asv takes it: https://asv.readthedocs.io, `asv compare`
_DRAWS = 1000
_KEYS = ["problem", "data", "seed", "regime", "contender"]  # what two cells must share

Verdict = Literal["slower", "faster", "same", "failed", "changed"]
Row = dict[str, Any]
CellPair = tuple[Row | None, Row | None]
Key = tuple[Any, ...]


class Cell(BaseModel):
    """One contender on one problem; pairs are (in A, in B), times are seconds of a steady run.

    ``status`` is "ok", or why there is no usable time, or None where the file lacks the cell.
    ``ratio`` is median of B over median of A with its 95 % interval ``low`` to ``high``; ``p`` that
    of the two-sided Mann–Whitney test, ``p_adjusted`` the same after Benjamini and Hochberg. All
    are None where one side has no usable time.
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
    verdict: Verdict = "changed"

    @property
    def where(self) -> str:
        """Contender, problem and conditions, defaults left out."""
        data = "" if self.data == "normal" else f", {self.data} data"
        problem = describe(Problem.from_json(self.problem))
        return f"{named(self)}: {problem}{data}, {self.regime}"


class Tally(BaseModel):
    """A contender's verdicts, and the geometric mean of its ratios with its 95 % interval."""

    contender: str
    device: tuple[str | None, str | None]
    slower: int
    faster: int
    same: int
    ratio: float
    low: float
    high: float


def named(subject: Cell | Tally) -> str:
    """The contender, with its device where both sides, as far as they have one, agree on it."""
    devices = {name for name in subject.device if name is not None}
    return "@".join([subject.contender, *(devices if len(devices) == 1 else ())])


class Shift(BaseModel):
    """The crossovers of A and B of one pair, N and set of conditions.

    ``ratio`` is n* of B over n* of A where both cross. ``overlap``: the intervals have a kernel
    size in common, a missing end of an interval being open.
    """

    a: Crossover
    b: Crossover
    ratio: float | None
    overlap: bool


class Comparison(BaseModel):
    """What `compare` found. ``differences``: key of the header → (in A, in B)."""

    files: tuple[str, str]
    machines: tuple[str, str]
    differences: dict[str, tuple[str, str]]
    cells: list[Cell]
    contenders: list[Tally]
    crossovers: list[Shift]
    notes: list[str]

    @property
    def slower(self) -> list[Cell]:
        """Cells that B does in more time, or no longer: "slower" and "failed"."""
        return [cell for cell in self.cells if cell.verdict in ("slower", "failed")]

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def compare(a: Path, b: Path, *, include_flagged: bool = False) -> Comparison:
    """Hold results file B against A, cell by cell.

    Cells are matched by problem, data, seed, regime and contender, and by device where one of the
    files has several. A cell is "slower" or "faster" where the Mann–Whitney test of its run samples
    stays under ALPHA when adjusted for all cells (Benjamini & Hochberg 1995: at most that share
    of such verdicts is expected to be false) and the medians differ by 2 % or more; else "same".
    A cell that was ok and is now wrong, oom, timeout or error is "failed"; any other difference of
    status, also a cell that one file lacks, is "changed". Cells that neither could do are left out.

    The samples of a file are of one session: what held all through it (a clock, a neighbour) is a
    difference like any other. Crossovers are those of the cells that both files have.

    Raises
    ------
    BadInput
        A file that ``load`` refuses, the same measurements twice, or no cell in common.
    """
    if a.resolve() == b.resolve():
        raise BadInput(f"{a} is given twice; allowed: two results files")
    sides = [load([path], include_flagged=include_flagged) for path in (a, b)]
    devices = [set(side.frame["device"]) for side in sides]
    by_device = any(len(names) > 1 for names in devices)
    keys = [*_KEYS, "device"] if by_device else _KEYS
    rows_a, rows_b = (_rows(side, keys) for side in sides)
    both = rows_a.keys() & rows_b.keys()
    if not both:
        raise BadInput(_nothing_in_common(sides, keys))
    runs = [
        (rows_a[key]["run"], rows_b[key]["run"])
        for key in both
        if rows_a[key]["state"] == rows_b[key]["state"] == "ok"
    ]
    if runs and all(np.array_equal(*pair) for pair in runs):
        raise BadInput(f"{a} and {b} hold the same measurements; allowed: those of two runs")
    judged = _judged((rows_a.get(key), rows_b.get(key)) for key in {**rows_a, **rows_b})
    shared = [_restricted(side, keys, both) for side in sides]
    shifts, notes = _shifts(shared, by_device)
    return Comparison(
        files=(a.name, b.name),
        machines=(sides[0].machine, sides[1].machine),
        differences=_differences(sides),
        cells=[cell for cell, _ in judged],
        contenders=_tallies(
            [judged_pair for judged_pair in judged if judged_pair[0].ratio is not None]
        ),
        crossovers=shifts,
        notes=_too_few([(len(run), len(other)) for run, other in runs]) + notes,
    )


def _keys(side: Results, keys: Sequence[str]) -> list[Key]:
    """Of each row of the frame, what it is matched by."""
    return list(zip(*(side.frame[key] for key in keys), strict=True))


def _rows(side: Results, keys: Sequence[str]) -> dict[Key, Row]:
    """Rows by what they are matched by; "state" is "ok" or why a row is not usable."""
    frame = side.frame
    frame = frame.assign(state=why_left_out(frame).where(~frame["usable"], "ok"))
    rows = [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
    return dict(zip(_keys(side, keys), rows, strict=True))


def _restricted(side: Results, keys: Sequence[str], allowed: Set[Key]) -> Results:
    """The side without the cells that the other lacks."""
    inside = [key in allowed for key in _keys(side, keys)]
    return dataclasses.replace(side, frame=side.frame[inside])


def _nothing_in_common(sides: Sequence[Results], keys: Sequence[str]) -> str:
    apart = []
    for key in keys:
        first, second = (sorted(set(side.frame[key].map(str))) for side in sides)
        if not set(first) & set(second):
            values = f": {', '.join(first[:4])} against {', '.join(second[:4])}"
            apart.append(key + (values if key != "problem" else ""))
    why = f" (they differ in {'; '.join(apart)})" if apart else ""
    return (
        f"{sides[0].paths[0]} and {sides[1].paths[0]} have no cell in common{why}; allowed: files "
        f"that share a cell's {', '.join(keys)}"
    )


def _judged(pairs: Iterable[CellPair]) -> list[tuple[Cell, Array]]:
    """Each pair of rows as a cell, with replicates of its log ratio where it has one."""
    rng = np.random.default_rng(0)
    found = []
    for a, b in pairs:
        if a and b and a["state"] == b["state"] == "ok":
            found.append(_timed(a, b, rng))
        elif not (a and b) or "ok" in (a["state"], b["state"]):
            found.append((_untimed(a, b), np.empty(0)))
    timed = [cell for cell, _ in found if cell.ratio is not None]
    for cell, p in zip(timed, adjusted([cell.p or 0.0 for cell in timed]), strict=True):
        cell.p_adjusted = p
        if p < ALPHA and cell.ratio is not None and abs(math.log(cell.ratio)) >= TIE:
            cell.verdict = "slower" if cell.ratio > 1 else "faster"
        else:
            cell.verdict = "same"
    return found


def _untimed(a: Row | None, b: Row | None) -> Cell:
    """A cell that at most one of them timed."""
    known = a or b or {}
    device, status, reason, seconds = (
        tuple(row[key] if row else none for row in (a, b))
        for key, none in (("device", None), ("state", None), ("reason", ""), ("seconds", None))
    )
    return Cell(
        **{key: known[key] for key in _KEYS} | {"problem": known["problem"].to_json()},
        device=device,
        status=status,
        reason=reason,
        seconds=tuple(
            time if statu == "ok" else None for time, statu in zip(seconds, status, strict=True)
        ),
        verdict="failed" if status[0] == "ok" and status[1] in FAILURES else "changed",
    )


def _timed(a: Row, b: Row, rng: np.random.Generator) -> tuple[Cell, Array]:
    """A cell that both timed, not yet judged."""
    first, second = (Samples((np.log(row["run"]),)) for row in (a, b))  # no rounds, so no pairs
    found = log_ratio(second, first, _DRAWS, rng)
    point, replicates = found.point, found.replicates
    low, high = np.exp(interval(replicates))
    cell = _untimed(a, b)
    cell.ratio, cell.low, cell.high = math.exp(point), float(low), float(high)
    cell.p = mann_whitney(a["run"], b["run"])
    return cell, replicates


def _tallies(timed: Iterable[tuple[Cell, Array]]) -> list[Tally]:
    groups: dict[tuple[Any, ...], list[tuple[Cell, Array]]] = {}
    for cell, replicates in timed:
        groups.setdefault((cell.contender, cell.device), []).append((cell, replicates))
    found = []
    for (contender, device), group in sorted(groups.items()):
        verdicts = Counter(cell.verdict for cell, _ in group)
        low, high = np.exp(interval(np.mean([replicates for _, replicates in group], axis=0)))
        found.append(
            Tally(
                contender=contender,
                device=device,
                slower=verdicts["slower"],
                faster=verdicts["faster"],
                same=verdicts["same"],
                ratio=math.exp(np.mean([math.log(cell.ratio or 1.0) for cell, _ in group])),
                low=float(low),
                high=float(high),
            )
        )
    return found


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


def _shifts(sides: Sequence[Results], by_device: bool) -> tuple[list[Shift], list[str]]:
    """Crossovers that both sides have, and why there are none."""
    shared = [key for key in CONDITIONS if by_device or key != "device"]
    curves = []
    for side in sides:
        try:
            rows = of_results(side)
        except BadInput as error:
            return [], [f"no crossovers: {error}"]
        measured = [row for row in rows if row.kind != "floor"]
        curves.append({(r.pair, r.N, *(getattr(r, key) for key in shared)): r for r in measured})
    a, b = curves
    return [_shift(a[key], b[key]) for key in a if key in b], []


def _shift(a: Crossover, b: Crossover) -> Shift:
    low, high = ([row.low for row in (a, b)], [row.high for row in (a, b)])
    return Shift(
        a=a,
        b=b,
        ratio=b.n_star / a.n_star if a.n_star and b.n_star else None,
        overlap=max(x or 0.0 for x in low) <= min(math.inf if x is None else x for x in high),
    )


def _differences(sides: Sequence[Results]) -> dict[str, tuple[str, str]]:
    """What the headers and the thread counts do not agree on."""
    a, b = (dict(_described(side)) for side in sides)
    return {
        key: (a.get(key, "none"), b.get(key, "none"))
        for key in dict.fromkeys([*a, *b])
        if a.get(key) != b.get(key)
    }


def _described(side: Results) -> Iterator[tuple[str, str]]:
    header = side.headers[0]
    yield from _leaves(header.machine, "machine")
    yield from _leaves({key: v for key, v in header.software.items() if key != "threads"})
    threads = side.frame["threads"].dropna().unique()
    yield "threads", ", ".join(str(int(count)) for count in sorted(threads)) or "none"


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """The values of nested mappings and lists by dotted keys."""
    if not isinstance(value, (Mapping, list)):
        yield name, "none" if value is None else str(value)
        return
    inside = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, two in inside:
        yield from _leaves(two, f"{name}.{key}" if name else str(key))
