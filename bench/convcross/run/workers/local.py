"""This machine's cards, or its CPU: a worker process for each, which share the duels of a sweep."""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Mapping, Sequence

from convcross.machine import cards, describe
from convcross.results.schema import DuelResult
from convcross.run.workers.description import Description
from convcross.run.workers.isolation import Isolated
from convcross.sweeps.contenders import Contender, available
from convcross.sweeps.duels import Duel

VISIBLE = "CUDA_VISIBLE_DEVICES"


class LocalMachine:
    """Workers of one kind on this machine, to which duels are given.

    Parameters
    ----------
    devices : that share a duel, as a worker sees them
    environments : of each worker, beside that of this process
    here : the first of the devices as this process sees it, where that is another
    """

    def __init__(
        self,
        devices: Sequence[str],
        environments: Sequence[Mapping[str, str]],
        here: str | None = None,
    ) -> None:
        self.devices = list(devices)
        self.contenders: list[Contender] = available(devices)
        self.description = Description(
            devices=self.devices,
            machine=describe.describe(here or devices[0]),
            software=describe.software(here or devices[0]),
            contenders=self.contenders,
            algorithms={},
        )
        self._workers = [Isolated(environment) for environment in environments]
        self._idle = list(self._workers)
        self._threads = concurrent.futures.ThreadPoolExecutor(len(environments))
        self._given: dict[concurrent.futures.Future[DuelResult], Duel] = {}

    def free_slots(self) -> int:
        """How many more duels are taken now."""
        return len(self._workers) - len(self._given)

    def submit(self, duel: Duel) -> None:
        given = self._threads.submit(self._measure, duel)
        self._given[given] = duel

    def _measure(self, duel: Duel) -> DuelResult:
        worker = self._idle.pop()
        try:
            return worker.measure(duel)
        finally:
            self._idle.append(worker)

    def finished(self, seconds: float) -> list[tuple[Duel, DuelResult]]:
        """What ended, with what measuring gave; waits so long at most for the first.

        Raises BadInput where no worker process lives.
        """
        ended, _ = concurrent.futures.wait(
            self._given, seconds, return_when=concurrent.futures.FIRST_COMPLETED
        )
        return [(self._given.pop(future), future.result()) for future in ended]

    def at_work(self) -> list[str]:
        """Of each duel given out its problem, the contender, and what that is asked to do."""
        return [found for worker in self._workers if (found := worker.at_work())]

    def kill(self) -> None:
        """End at once what runs."""
        for worker in self._workers:
            worker.kill()

    def close(self) -> None:
        """End the worker processes, and what their contenders have left."""
        self.kill()
        self._threads.shutdown()
        for worker in self._workers:
            worker.close()


def machines(groups: Sequence[Sequence[str]]) -> list[LocalMachine]:
    """Those of the devices, grouped by `devices_named`: cards of one name share their duels.

    Of several, each worker sees one alone, as cuda:0.
    """
    if len(groups) == 1:
        return [LocalMachine(groups[0], [{}])]
    names = {card["device"]: str(card["name"]) for card in cards.cards()}
    kinds: dict[str, list[str]] = {}
    for (device,) in groups:
        kinds.setdefault(names[device], []).append(device)
    return [
        LocalMachine(["cuda:0"], [{VISIBLE: _visible(device)} for device in same], same[0])
        for same in kinds.values()
    ]


def _visible(device: str) -> str:
    """What makes this card the only one that CUDA shows."""
    index = int(device.partition(":")[2])
    shown = [part.strip() for part in os.environ.get(VISIBLE, "").split(",") if part.strip()]
    return shown[index] if shown else str(index)
