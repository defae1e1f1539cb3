"""The workers of one kind of machine on a cluster: they share the duels of a sweep."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from convcross.measure.duel import measure
from convcross.results.schema import DuelResult
from convcross.run.workers.description import Description
from convcross.run.workers.machine import WorkersLost
from convcross.sweeps.contenders import Contender
from convcross.sweeps.duels import Duel

if TYPE_CHECKING:
    from distributed import Client, Future

RETRIES = 2  # of a duel whose worker was lost
PATIENCE = 120.0  # seconds without a worker after which none is waited for


@dataclass
class Task:
    """A duel in the hands of a worker, or between two.

    Attributes
    ----------
    processes : of the workers that had it
    losses : why they did not answer
    """

    duel: Duel
    future: Future[Any] | None = None
    processes: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)


@dataclass
class Worker:
    """One process on one card.

    Attributes
    ----------
    folder : its own, by which Dask tells it from another one that later has its address
    process : its name for itself, which no other process has
    asked : it has not yet told what it is
    pool : those that it measures with; None where it is left alone
    """

    address: str
    folder: str
    process: str = ""
    asked: bool = True
    pool: Pool | None = None
    task: Task | None = None


class Connection(Protocol):
    """What a pool asks of the cluster that its workers belong to (see ``cluster.Cluster``)."""

    client: Client
    place: str
    workers: dict[str, Worker]
    heard: float

    def settle(self, seconds: float) -> None: ...
    def start(self, worker: Worker, task: Task) -> None: ...
    def kill(self, workers: Sequence[Worker]) -> None: ...


class Pool:
    """Workers of one kind, to which duels are given (``workers.machine.Machine``).

    Attributes
    ----------
    description : what each of its workers is
    first : the address of the one that told it
    """

    def __init__(self, cluster: Connection, description: Description, first: str) -> None:
        self.description, self.first = description, first
        self._cluster = cluster
        self._waiting: list[Task] = []
        self._ended: list[tuple[Duel, DuelResult]] = []
        self._alone_since: float | None = None

    @property
    def devices(self) -> list[str]:
        """Those that share a duel on each of its workers."""
        return self.description.devices

    @property
    def contenders(self) -> list[Contender]:
        """All that are available on each of its workers."""
        return self.description.contenders

    def free_slots(self) -> int:
        """How many more duels are taken now."""
        self._cluster.settle(0)
        return max(0, len(self._idle()) - len(self._waiting))

    def submit(self, duel: Duel) -> None:
        self._waiting.append(Task(duel))
        self._start()

    def finished(self, seconds: float) -> list[tuple[Duel, DuelResult]]:
        """What ended, with what measuring gave; waits so long at most, for the first.

        Raises WorkersLost.
        """
        deadline = time.monotonic() + seconds
        while True:
            self._cluster.settle(0)
            self._start()
            if self._ended:
                ended, self._ended = self._ended, []
                return ended
            self._check_not_alone()
            left = deadline - time.monotonic()
            nothing_out = self._idle() and not self._busy() and not self._waiting
            if nothing_out or left <= 0:
                return []
            self._cluster.settle(left)

    def at_work(self) -> list[str]:
        """Nothing: workers elsewhere are not looked into."""
        return []

    def kill(self) -> None:
        """End at once what runs."""
        self._waiting.clear()
        self._cluster.kill(self._busy())

    def record_result(self, task: Task, result: DuelResult) -> None:
        """A duel was measured."""
        self._ended.append((task.duel, result))

    def take_back(self, task: Task) -> None:
        """A duel lost its worker: another one gets it, or nobody any more."""
        if len(task.losses) <= RETRIES:
            self._waiting.append(task)
        else:
            reason = f"lost {len(task.losses)} workers: {'; '.join(task.losses)}"
            self._ended.append((task.duel, _failed(task.duel, reason)))

    def _mine(self) -> list[Worker]:
        return [worker for worker in self._cluster.workers.values() if worker.pool is self]

    def _idle(self) -> list[Worker]:
        return [worker for worker in self._mine() if worker.task is None]

    def _busy(self) -> list[Worker]:
        return [worker for worker in self._mine() if worker.task is not None]

    def _start(self) -> None:
        """Give what waits to who is idle; what lost a worker to one that never had it."""
        if self._cluster.client.status != "running":
            return
        for task in list(self._waiting):
            others = [worker for worker in self._mine() if worker.process not in task.processes]
            idle = [worker for worker in others or self._mine() if worker.task is None]
            if idle:
                self._waiting.remove(task)
                self._cluster.start(idle[0], task)

    def _check_not_alone(self) -> None:
        now = time.monotonic()
        if self._cluster.client.status == "closed" or now - self._cluster.heard > PATIENCE:
            raise WorkersLost(f"the scheduler {self._cluster.place} is lost")
        if self._mine():
            self._alone_since = None
            return
        self._alone_since = self._alone_since or now
        if now - self._alone_since > PATIENCE:
            raise WorkersLost(
                f"no {self.description.name} is left at {self._cluster.place}: "
                f"waited {PATIENCE:.0f} s for one"
            )


def _failed(duel: Duel, reason: str) -> DuelResult:
    """What measuring gives where no contender is measured."""
    given_up = dict.fromkeys(duel.contenders, ("error", reason))
    return measure(duel.model_copy(update={"given_up": given_up}))
