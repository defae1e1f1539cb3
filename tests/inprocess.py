"""A machine whose one worker is this process: for tests of what does not depend on another one."""

from __future__ import annotations

from typing import Any

from convcross.duels import Duel
from convcross.measure import measure
from convcross.workers.local import LocalMachine


class InProcess(LocalMachine):
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
