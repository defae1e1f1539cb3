"""Runs of small sweeps, and what became of their files."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

from convcross.measure.duel import measure
from convcross.results.reader import read
from convcross.run import session
from convcross.run.outcome import Outcome
from convcross.run.workers.local import LocalMachine
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits, Sweep

KERNELS = [1, 3, 5]


class InProcess(LocalMachine):
    """A machine whose one worker is this process: for what does not depend on another one."""

    def __init__(self) -> None:
        super().__init__(["cpu"], [{}])
        self._ended: list[tuple[Duel, dict[str, Any]]] = []

    def free_slots(self) -> int:
        return 1 - len(self._ended)

    def submit(self, duel: Duel) -> None:
        self._ended.append((duel, measure(duel)))

    def finished(self, seconds: float) -> list[tuple[Duel, dict[str, Any]]]:
        ended, self._ended = self._ended, []
        return ended


def ids(path: Path) -> list[str]:
    """Of the duels in a file, which is whole."""
    results = read(path)
    assert results.dropped is None
    found = [footer.duel for footer in results.footers]
    counts = collections.Counter(record.duel for record in results.records)
    assert counts == dict.fromkeys(found, 2)
    return found


def sweep(**keys: Any) -> Sweep:
    small = {
        "name": "small",
        "sizes": [12, 16],
        "kernels": KERNELS,
        "contenders": ["direct/numpy", "fft/numpy"],
        "launches": 1,
        "limits": Limits(seconds=0.001, samples=5, run_seconds=60.0),
    }
    return Sweep.model_validate({**small, **keys})


def run(path: Path | None, of: Sweep | None = None, **options: Any) -> Outcome:
    [outcome] = session.run(of or sweep(), [InProcess()], out=path, **options)
    return outcome
