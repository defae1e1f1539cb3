"""Contenders that fail cell after cell are suspended: a sweep's time is for the others."""

from __future__ import annotations

import collections
from collections.abc import Iterable

from convcross.results.schema import Record
from convcross.run.first_launch import TAKEN_OVER

ROW = 3  # cells


class Suspension:
    """Who failed in how many cells in a row.

    Failures are errors, crashes and lost memory or time in which a worker process was lost. What
    only a large problem brings about, as a refusal, a result outside its bound, or a run that would
    take too long, says nothing of the next cell.
    """

    def __init__(self) -> None:
        self._row: collections.Counter[str] = collections.Counter()
        self._suspended: dict[str, tuple[str, str]] = {}

    @property
    def names(self) -> list[str]:
        """Of those suspended, in the order in which they were."""
        return list(self._suspended)

    def record_result(self, records: Iterable[Record]) -> None:
        """The records of the next duel."""
        for record in records:
            name = record.contender
            again = (record.reason or "").endswith(TAKEN_OVER)
            if name in self._suspended or record.status == "unsupported" or again:
                continue
            if record.status == "error" or record.telemetry.worker_lost:
                self._row[name] += 1
                if self._row[name] == ROW:
                    self._suspended[name] = "error", f"suspended after {ROW} cells: {record.reason}"
            else:
                self._row[name] = 0

    def given_up(self, contenders: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Those of the contenders that are suspended, with the status and reason to record."""
        return {name: self._suspended[name] for name in contenders if name in self._suspended}
