"""What the first launch of a sweep found of a cell, which the later ones take over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from convcross.results.schema import Record
from convcross.results.status import failed
from convcross.run.resume import cell_of
from convcross.sweeps.duels import Duel, of_first_launch

TAKEN_OVER = " (in the first launch)"  # ends the reason of who was not run again
AGAIN = ("oom", "timeout")  # beside failures: what a later launch would only find again


class FirstLaunch:
    """CPU threads that were chosen, and contenders that could not be timed, by cell.

    A later launch that chose anew would differ from the first by its choice; and what is wrong, or
    too slow, or crashes, need not be so once more in each launch.
    """

    def __init__(self) -> None:
        self._threads: dict[str, dict[str, int]] = {}
        self._untimed: dict[str, dict[str, tuple[str, str]]] = {}

    def record_result(self, duel_id: str, records: Iterable[Record]) -> None:
        """The records of the next duel of a file."""
        cell = cell_of(duel_id)
        if cell != of_first_launch(cell):
            return
        for known in (self._threads, self._untimed):
            known.pop(cell, None)  # a cell measured again
        for record in records:
            if record.provenance.threads is not None:
                self._threads.setdefault(cell, {})[record.contender] = record.provenance.threads
            if failed(record.status) or record.status in AGAIN:
                reason = (record.reason or record.status) + TAKEN_OVER
                self._untimed.setdefault(cell, {})[record.contender] = record.status, reason

    def known(self, duel: Duel, given_up: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
        """What the fields of a duel are, where some contenders are given up as it is."""
        cell = of_first_launch(duel.id)
        if cell == duel.id:
            return {"given_up": dict(given_up)}
        return {
            "given_up": {**self._untimed.get(cell, {}), **given_up},
            "thread_choice": self._threads.get(cell, {}),
        }
