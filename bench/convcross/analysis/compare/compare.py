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
from typing import Any

import numpy as np
from pydantic import BaseModel

from convcross.analysis.compare.cells import (
    KEYS,
    Cell,
    Key,
    Row,
    judged,
    named,
    said_of_one_launch,
)
from convcross.analysis.crossover.crossover import Crossover, of_results
from convcross.analysis.load import CONDITIONS, Results, load, why_left_out
from convcross.errors import BadInput
from convcross.machine import repeatability
from convcross.stats.bootstrap import Array
from convcross.stats.percentile import interval


class Tally(BaseModel):
    """A contender's verdicts, and the geometric mean of its ratios with its 95 % interval, None
    where a cell has none.

    ``smallest`` is the median of its cells'.
    """

    contender: str
    device: tuple[str | None, str | None]
    slower: int
    faster: int
    same: int
    ratio: float
    low: float | None
    high: float | None
    smallest: float

    @property
    def name(self) -> str:
        return named(self.contender, self.device)


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

    @property
    def missing(self) -> list[Cell]:
        """Cells that A measured and B has no record of."""
        return [cell for cell in self.cells if cell.status[0] == "ok" and cell.status[1] is None]

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def compare(a: Path, b: Path, *, include_flagged: bool = False) -> Comparison:
    """Hold results file B against A, cell by cell.

    Cells are matched by problem, data, seed, regime and contender, and by device where one of the
    files has several. A cell is "slower" or "faster" where the test of its times stays under ALPHA
    when adjusted for all cells (Benjamini & Hochberg 1995: at most that share of such verdicts is
    expected to be false) and the medians differ by more than two runs of the same code do on that
    machine (``machine.repeatability``), or by 2 % where that was not measured; else "same". A cell
    that was ok and is now wrong, oom, timeout or error is "failed"; any other difference of status,
    also a cell that one file lacks, is "changed". Cells that neither could do are left out.

    The test is Welch's of the launches' medians, which lie apart as those of all cells of the
    contender say (``stats.launches``). Where one side has one launch only, it is the Mann–Whitney
    test of the samples: what held all through that process is then a difference like any other.
    Crossovers are those of the cells that both files have.

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
    keys = [*KEYS, "device"] if by_device else KEYS
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
    known = {name: repeatability.load(name) for name in {side.machine for side in sides}}
    of_both = [known[side.machine] for side in sides]
    cells = judged([(rows_a.get(key), rows_b.get(key)) for key in {**rows_a, **rows_b}], of_both)
    shared = [_restricted(side, keys, both) for side in sides]
    shifts, notes = _shifts(shared, by_device)
    return Comparison(
        files=(a.name, b.name),
        machines=(sides[0].machine, sides[1].machine),
        differences=_differences(sides),
        cells=[cell for cell, _ in cells],
        contenders=_tallies(
            [(cell, replicates) for cell, replicates in cells if cell.ratio is not None]
        ),
        crossovers=shifts,
        notes=said_of_one_launch([cell for cell, _ in cells]) + notes,
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


def _tallies(timed: Iterable[tuple[Cell, Array]]) -> list[Tally]:
    groups: dict[tuple[Any, ...], list[tuple[Cell, Array]]] = {}
    for cell, replicates in timed:
        groups.setdefault((cell.contender, cell.device), []).append((cell, replicates))
    found = []
    for (contender, device), group in sorted(groups.items()):
        verdicts = Counter(cell.verdict for cell, _ in group)
        low = high = None
        if all(len(replicates) for _, replicates in group):
            mean = np.mean([replicates for _, replicates in group], axis=0)
            low, high = (math.exp(end) for end in interval(mean))
        found.append(
            Tally(
                contender=contender,
                device=device,
                slower=verdicts["slower"],
                faster=verdicts["faster"],
                same=verdicts["same"],
                ratio=math.exp(np.mean([math.log(cell.ratio or 1.0) for cell, _ in group])),
                low=low,
                high=high,
                smallest=float(np.median([cell.smallest for cell, _ in group])),
            )
        )
    return found


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
