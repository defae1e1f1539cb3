"""Which measurements of results files count: the newest of each cell, on the machine of its header.

The newest is the last one of a file, and of several files that of the file begun last: a clock may
be set back while a file is written, the order of its lines may not.
"""

from __future__ import annotations

import re
import reprlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

from convcross.analysis.launches import KEYS
from convcross.results.reader import Reader
from convcross.results.schema import DuelFooter, Record

AGAIN = re.compile(r"\+\d+$")  # ends the duel of a cell that a search meant to measure again

_brief = reprlib.Repr()
_brief.maxstring = 60


class Changes:
    """What was not as a file's header has it in the duels that ``--resume-anyway`` measured."""

    def __init__(self) -> None:
        self._duels, self._elsewhere = 0, 0
        self._what: dict[str, None] = {}  # in the order in which they came

    def same_machine(self, footer: DuelFooter) -> bool:
        """Whether the machine of the header measured this duel, which is counted."""
        same = "machine" not in footer.changed
        self._duels += bool(footer.changed)
        self._elsewhere += not same
        for what, (then, now) in footer.changed.items():
            self._what[f"{what} {_brief.repr(then)}, then {_brief.repr(now)}"] = None
        return same

    def sentences(self, name: str) -> list[str]:
        """A sentence where anything changed in the file of that name."""
        if not self._duels:
            return []
        left_out = f"; {_count(self._elsewhere, 'duel')} of another machine left out"
        return [
            f"{name}: {_count(self._duels, 'duel')} measured after a change (--resume-anyway): "
            f"{'; '.join(self._what)}{left_out if self._elsewhere else ''}"
        ]


@dataclass(frozen=True)
class _Measured:
    file: Reader
    started_at: str
    row: dict[str, Any]


class Newest:
    """The newest row of each measurement, and what is to be said of those that are there twice."""

    def __init__(self) -> None:
        self._newest: dict[tuple[object, ...], _Measured] = {}
        self._doubled: Counter[str] = Counter()
        self._doubtful = 0
        self._contradictions: list[tuple[float, dict[str, Any], dict[str, Any]]] = []

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [measured.row for measured in self._newest.values()]

    def take(self, file: Reader, record: Record, row: dict[str, Any]) -> None:
        """The next record of a file, and its row."""
        key = tuple(row[part] for part in (*KEYS, "launch"))
        measured = _Measured(file, record.started_at, row)
        known = self._newest.setdefault(key, measured)
        if known is measured:
            return
        if known.file is not file or not AGAIN.search(record.duel):
            self._doubled[file.path.name] += 1
            if file.header.started_at < known.file.header.started_at:
                measured, known = known, measured
            self._doubtful += (
                known.file is not measured.file and known.started_at > measured.started_at
            )
            if (apart := _contradiction(known.row, measured.row)) is not None:
                self._contradictions.append(apart)
        self._newest[key] = measured

    def sentences(self) -> list[str]:
        """A sentence for each file with doubles, and on those that contradict each other."""
        notes = [
            f"{name}: {_count(number, 'measurement')} found twice; the newest counts"
            for name, number in self._doubled.items()
        ]
        if self._doubtful:
            notes.append(
                f"{self._doubtful} of those found twice bear a later time in the file begun "
                "earlier; that in the file begun later counts"
            )
        if self._contradictions:
            _, old, new = max(self._contradictions, key=lambda change: change[0])
            times = len(self._contradictions)
            notes.append(
                f"{times} of those found twice {'differs' if times == 1 else 'differ'} by more "
                f"than the 95 % intervals, most of all {new['contender']} at N = {new['N']}, "
                f"n = {new['n']}: {old['seconds']:.3g} s, then {new['seconds']:.3g} s"
            )
        return notes


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def _contradiction(
    old: dict[str, Any], new: dict[str, Any]
) -> tuple[float, dict[str, Any], dict[str, Any]] | None:
    """How many times as long one took as the other, and both, where their intervals are apart."""
    if not (old["low"] > new["high"] or new["low"] > old["high"]):
        return None
    ratio = old["seconds"] / new["seconds"]
    return max(ratio, 1 / ratio), old, new
