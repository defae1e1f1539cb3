"""Contenders that fail cell after cell are benched: a sweep's time is for the others."""

from __future__ import annotations

import collections
from collections.abc import Iterable

from convcross.results.schema import Record

ROW = 3  # cells


class Bench:
    """Who failed in how many cells in a row.

    Failures are errors, crashes and lost memory or time in which a worker process was lost. What
    only a large problem brings about, as a refusal, a result outside its bound, or a run that would
    take too long, says nothing of the next cell.
    """

    def __init__(self) -> None:
        self._row: collections.Counter[str] = collections.Counter()
        self._benched: dict[str, tuple[str, str]] = {}

    @property
    def names(self) -> list[str]:
        """Of those benched, in the order in which they were."""
        return list(self._benched)

    def take(self, records: Iterable[Record]) -> None:
        """The records of the next duel."""
        for one in records:
            name = one.contender
            if name in self._benched or one.status == "unsupported":
                continue
            if one.status == "error" or one.telemetry.get("worker_lost"):
                self._row[name] += 1
                if self._row[name] == ROW:
                    self._benched[name] = "error", f"benched after {ROW} cells: {one.reason}"
            else:
                self._row[name] = 0

    def given_up(self, contenders: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Those of the contenders that are benched, with the status and reason to record."""
        return {name: self._benched[name] for name in contenders if name in self._benched}
