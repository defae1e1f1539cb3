"""Runs of small sweeps, and what became of their files."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

from convcross.duels import Duel
from convcross.measure import measure
from convcross.records import read
from convcross.workers.local import LocalMachine


class InProcess(LocalMachine):
    """A machine whose one worker is this process: for what does not depend on another one."""

    def __init__(self) -> None:
        super().__init__(["cpu"], [{}])
        self._ended: list[tuple[Duel, dict[str, Any]]] = []

    def free(self) -> int:
        return 1 - len(self._ended)

    def give(self, duel: Duel) -> None:
        self._ended.append((duel, measure(duel.model_dump(mode="json"))))

    def finished(self, seconds: float) -> list[tuple[Duel, dict[str, Any]]]:
        ended, self._ended = self._ended, []
        return ended


def ids(path: Path) -> list[str]:
    """Of the duels in a file, which is whole."""
    results = read(path)
    assert results.dropped is None
    found = [closing.duel for closing in results.closings]
    counts = collections.Counter(record.duel for record in results.records)
    assert counts == dict.fromkeys(found, 2)
    return found
