"""Duels measured in a child process, so that a contender's failure costs its own cell and no more.

All records of a duel come from one child: where one was lost, the duel is measured again without
the contender that lost it. A hang, and a corrupted process, name their contender. A death may be
another's doing, as memory is that one contender has corrupted and another meets, or a stranger's
kill: the suspect is guilty if it dies alone too. Else the whole duel is tried once more, then each
contender alone, then each beside the suspect: who brings a child down is guilty.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from convcross.errors import BadInput
from convcross.results.schema import DuelResult
from convcross.run.workers.child import Child, Lost, Stopped
from convcross.run.workers.launch import chance

if TYPE_CHECKING:
    from convcross.sweeps.duels import Duel

GivenUp = dict[str, tuple[str, str]]  # contender → (status, reason)


class Isolated:
    """Measures duels in a child, which it replaces when it is lost and when a duel is of another
    launch. One thread measures at a time.

    Parameters
    ----------
    environment : of the child, beside that of this process
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = environment or {}
        self._child: Child | None = None
        self._launch = 1
        self._stopped = threading.Event()

    def measure(self, duel: Duel) -> DuelResult:
        """As ``measure.duel.measure``; the time of children lost stands under "rest".

        Raises
        ------
        Stopped
            By ``kill``.
        BadInput
            No child lives long enough to measure anything.
        """
        begin = time.perf_counter()
        given_up: GivenUp = dict(duel.given_up)
        deaths = 0
        while isinstance(answer := self._ask(duel, given_up), Lost):
            deaths += 1
            given_up |= self._guilty(duel, given_up, answer, deaths)
        for name, record in zip(duel.contenders, answer.records, strict=True):
            if name in given_up.keys() - duel.given_up.keys():
                record.telemetry.worker_lost = True
        answer.seconds["rest"] += time.perf_counter() - begin - sum(answer.seconds.values())
        return answer

    def _guilty(self, duel: Duel, given_up: GivenUp, lost: Lost, deaths: int) -> GivenUp:
        """Who is not to be measured when the duel is measured again."""
        failure, suspect = (lost.status, lost.reason), lost.contender
        left = [name for name in duel.contenders if name not in given_up]
        if not left:
            raise BadInput(f"a worker process cannot measure: {lost.reason}")
        if suspect is not None and (lost.certain or left == [suspect]):
            return {suspect: failure}
        trials = [[suspect]] if suspect else []
        if deaths > 1:  # no stranger's doing
            others = [name for name in left if name != suspect]
            trials += [[name] for name in others]
            trials += [[name, suspect] for name in others if suspect]
        for trial in trials:
            self.close()  # a child that lived through a trial may be what one has made of it
            rest = {name: ("error", "not asked") for name in left if name not in trial}
            if isinstance(found := self._ask(duel, given_up | rest), Lost):
                beside = f"; {suspect} died of it" if len(trial) > 1 else ""
                return {trial[0]: (found.status, found.reason + beside)}
        if deaths == 1:
            return {}
        if suspect is None:
            return dict.fromkeys(left, failure)
        return {suspect: (lost.status, f"{lost.reason}; alone it did not")}

    def _ask(self, duel: Duel, given_up: GivenUp) -> DuelResult | Lost:
        if duel.launch != self._launch:
            self.close()
            self._launch = duel.launch
        if self._child is None:
            self._child = Child({**self._environment, **chance(duel.seed, duel.launch)})
        try:
            if self._stopped.is_set():
                raise Stopped
            answer = self._child.ask(duel.model_copy(update={"given_up": given_up}))
        except BaseException:
            self.close()
            raise
        if isinstance(answer, Lost):
            self.close()
        return answer

    def at_work(self) -> str | None:
        """What the child is at, in words; from any thread."""
        child = self._child
        return None if child is None else child.at_work()

    def kill(self) -> None:
        """End what is being measured, for good; from any thread."""
        self._stopped.set()
        if self._child is not None:
            self._child.kill()

    def close(self) -> None:
        if self._child is not None:
            child, self._child = self._child, None
            child.close()


@functools.cache
def _own() -> Isolated:
    return Isolated()


def measure_isolated(duel: Duel) -> DuelResult:
    """Measure a duel in the one child of this process, as a worker of a cluster does."""
    return _own().measure(duel)


def close_isolated() -> None:
    """End that child, and so what it holds of a card; the next duel starts another."""
    _own().close()


def kill_isolated() -> None:
    """End at once what it measures; from any thread."""
    own = _own()
    _own.cache_clear()
    own.kill()
