"""Duels given to workers that vanish: measured by another, twice, and then recorded as failed.

Dask is played: what it would report is reported at once.
"""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from convcross.errors import BadInput
from convcross.run.cluster import cluster, pool
from convcross.run.workers.machine import WorkersLost
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits
from convkernels import Problem
from support.clusters import answer, play_code

CONTENDERS = ["direct/numpy@cpu", "fft/numpy@cpu"]
MEASURED: dict[str, Any] = {"records": [], "seconds": {}, "neighbours": {}, "cut": False}


class PlayedClient:
    """Notes what it is given; its scheduler and its loop are itself."""

    def __init__(self) -> None:
        self.status = "running"
        self.loop = self
        self.given: list[tuple[str, dict[str, Any], Any]] = []

    def add_callback(self, function: Any, *arguments: Any) -> None:
        pass

    def sync(self, function: Any) -> None:
        pass

    def submit(self, function: Any, *arguments: Any, **options: Any) -> Any:
        assert options["resources"] == {"GPU": 1}  # one at a time, other runs' duels included
        assert not options["allow_other_workers"]
        future = SimpleNamespace(release=lambda: None)
        self.given.append((options["workers"][0], arguments[0], future))
        return future


class Played:
    """A cluster on which workers come, answer and leave as the test says."""

    def __init__(self, *addresses: str) -> None:
        self.client = PlayedClient()
        self.said: list[str] = []
        self.cluster = cluster.Cluster(self.client, "tcp://s:1", None, [], self.said.append)
        self.there: dict[str, tuple[str, float]] = {}
        for address in addresses:
            self.comes(address)
        if addresses:
            self.cluster.gather(1.0, "")
            self.said.clear()

    def comes(self, address: str, folder: str = "first", cards: float = 1, **told: Any) -> None:
        self.there[address] = folder, cards
        self.cluster._see(dict(self.there))
        if cards:
            told = answer(process=f"{address} {folder}", contenders=CONTENDERS, **told)
            self.cluster._meet(self.cluster.workers[address], told)

    def leaves(self, address: str) -> None:
        del self.there[address]
        self.cluster._see(dict(self.there))

    def answers(self, address: str, result: Any) -> None:
        worker = self.cluster.workers[address]
        assert worker.task is not None
        assert worker.task.future is not None
        self.cluster._receive(worker, worker.task, worker.task.future, result)

    @property
    def pool(self) -> pool.Pool:
        (only,) = self.cluster.machines
        return only

    def busy(self) -> dict[str, str]:
        """address → the duel that it has"""
        workers = self.cluster.workers.values()
        return {one.address: one.task.duel.id for one in workers if one.task is not None}


@pytest.fixture(autouse=True)
def code(monkeypatch: pytest.MonkeyPatch) -> None:
    play_code(monkeypatch)


def duel(name: str) -> Duel:
    return Duel(
        id=name,
        problem=Problem((16, 16), (3, 3), mode="same"),
        contenders=CONTENDERS,
        image_data="normal",
        kernel_data="normal",
        seed=0,
        regime=None,
        threads=None,
        limits=Limits(),
    )


def test_each_worker_has_one_duel_at_a_time() -> None:
    played = Played("a", "b")
    assert played.pool.free_slots() == 2
    played.pool.submit(duel("first"))
    assert played.pool.free_slots() == 1
    played.pool.submit(duel("second"))
    assert played.pool.free_slots() == 0
    assert sorted(played.busy().values()) == ["first", "second"]
    played.answers("b", MEASURED)
    assert played.pool.free_slots() == 1
    ((ended, result),) = played.pool.finished(0)
    assert (ended.id, result.model_dump()) == (played.client.given[1][1]["id"], MEASURED)
    assert played.pool.finished(0) == []


def test_a_lost_workers_duel_goes_to_another_and_comes_back_once() -> None:
    played = Played("a", "b")
    played.pool.submit(duel("one"))
    (first,) = played.busy()
    other = ({"a", "b"} - {first}).pop()
    gone = played.cluster.workers[first]
    task = gone.task
    assert task is not None
    stale = task.future
    played.leaves(first)
    assert played.pool.finished(0) == []
    assert played.busy() == {other: "one"}
    played.cluster._receive(gone, task, stale, MEASURED)  # it had ended after all, too late
    assert played.pool.finished(0) == []
    played.answers(other, MEASURED)
    assert [ended.id for ended, _ in played.pool.finished(0)] == ["one"]
    assert played.pool.free_slots() == 1
    assert played.said == [f"worker {first} has left; its duel one is measured by another"]


def test_a_duel_that_lost_three_workers_is_recorded_as_failed() -> None:
    played = Played("a", "b", "c", "d")
    played.pool.submit(duel("deadly"))
    lost = []
    for _ in range(3):
        (address,) = played.busy()
        lost.append(address)
        played.leaves(address)
        ended = played.pool.finished(0)
    assert len(set(lost)) == 3
    ((which, result),) = ended
    assert which.id == "deadly"
    records = result.records
    assert [(one.contender, one.status) for one in records] == [
        (name, "error") for name in CONTENDERS
    ]
    for record in records:
        assert record.reason is not None
        assert record.reason.startswith(f"lost 3 workers: worker {lost[0]} has left; worker")
    assert result.seconds
    assert played.pool.free_slots() == 1
    assert played.said[-1].endswith("its duel deadly is given up")


def test_what_a_worker_cannot_measure_goes_to_one_that_has_not_tried() -> None:
    played = Played("a", "b")
    played.pool.submit(duel("one"))
    (first,) = played.busy()
    played.answers(first, OSError("no space left"))
    assert played.pool.finished(0) == []
    (second,) = played.busy()
    assert second != first
    played.answers(second, OSError("no space left"))
    assert played.pool.finished(0) == []
    assert played.busy()  # both have tried: any of them
    assert played.said[0].startswith(f"worker {first}: OSError: no space left; its duel one")


def test_a_duel_waits_for_a_worker_that_has_not_tried_it() -> None:
    played = Played("a", "b")
    played.pool.submit(duel("one"))
    played.pool.submit(duel("two"))
    first = next(address for address, name in played.busy().items() if name == "one")
    played.answers(first, OSError("no space left"))
    assert played.pool.finished(0) == []
    assert "one" not in played.busy().values()
    assert played.pool.free_slots() == 0  # the idle one is not offered what waits for the other
    other = next(iter(played.busy()))
    played.answers(other, MEASURED)
    played.pool.finished(0)
    assert played.busy() == {other: "one"}


def test_a_worker_at_the_address_of_a_lost_one_is_another_one() -> None:
    played = Played("a")
    played.pool.submit(duel("one"))
    played.comes("a", folder="second")
    assert played.pool.finished(0) == []
    assert played.busy() == {"a": "one"}
    assert played.client.given[-1][1]["id"] == "one"
    assert len(played.client.given) == 2


def test_a_worker_that_was_started_anew_gets_nothing_until_it_has_told_what_it_is() -> None:
    played = Played("a")
    played.pool.submit(duel("one"))
    played.answers("a", None)  # what it answers when it is not the process that was asked
    assert played.pool.free_slots() == 0
    assert played.pool.finished(0) == []
    assert played.busy() == {}
    played.comes("a", folder="second")
    played.pool.finished(0)
    assert played.busy() == {"a": "one"}


def test_without_workers_it_waits_so_long_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played("a")
    played.pool.submit(duel("one"))
    played.leaves("a")
    assert played.pool.finished(0) == []
    with monkeypatch.context() as later:
        now = time.monotonic() + 121
        later.setattr("time.monotonic", lambda: now)
        played.cluster.heard = now
        with pytest.raises(
            WorkersLost, match=r"no epyc is left at tcp://s:1: waited 120 s for one"
        ):
            played.pool.finished(0)
    played.comes("b")
    assert played.pool.finished(0) == []
    assert played.busy() == {"b": "one"}


def test_a_scheduler_that_does_not_come_back_ends_it() -> None:
    played = Played("a")
    played.pool.submit(duel("one"))
    played.client.status = "connecting"
    played.answers("a", RuntimeError("scheduler-connection-lost"))
    assert played.pool.finished(0) == []
    assert played.busy() == {}
    played.client.status = "closed"
    with pytest.raises(WorkersLost, match=r"the scheduler tcp://s:1 is lost"):
        played.pool.finished(0)


def test_a_scheduler_that_answers_no_more_ends_it() -> None:
    played = Played("a")
    played.pool.submit(duel("one"))
    played.cluster.heard -= 119
    assert played.pool.finished(0) == []
    played.cluster.heard -= 2
    with pytest.raises(WorkersLost, match=r"the scheduler tcp://s:1 is lost"):
        played.pool.finished(0)


def test_what_was_killed_is_not_taken_for_what_came_after_it() -> None:
    played = Played("a")
    played.pool.submit(duel("killed"))
    worker = played.cluster.workers["a"]
    task = worker.task
    assert task is not None
    future = task.future
    played.pool.kill()
    played.pool.submit(duel("after"))
    played.cluster._receive(worker, task, future, RuntimeError("stopped"))
    assert played.busy() == {"a": "after"}
    assert played.said == []


def test_each_kind_of_machine_has_its_own_workers() -> None:
    played = Played()
    played.comes("a")
    played.comes("b", name="xeon")
    played.comes("c")
    played.cluster.gather(1.0, "")
    epyc, xeon = played.cluster.machines
    assert [one.description.name for one in (epyc, xeon)] == ["epyc", "xeon"]
    assert (epyc.free_slots(), xeon.free_slots()) == (2, 1)
    xeon.submit(duel("one"))
    assert list(played.busy()) == ["b"]
    assert [str(one) for one in xeon.contenders] == CONTENDERS
    assert xeon.devices == ["cpu"]


def test_those_who_come_later_are_used_where_they_match_and_else_left_alone() -> None:
    played = Played("a")
    played.comes("b")
    played.comes("c", python="CPython 3.13.0")
    played.comes("d", name="xeon")
    played.comes("e", cards=0)
    assert played.pool.free_slots() == 2
    assert [line.partition(" is left alone: it ")[0] for line in played.said] == [
        "worker c",
        "worker d",
        "worker e",
    ]
    assert "has Python 'CPython 3.13.0', a 'CPython 3.12.1'" in played.said[0]
    assert "is a xeon, and came after the run began on epyc" in played.said[1]
    assert "has no resource GPU" in played.said[2]


def test_one_of_the_first_that_does_not_match_ends_it() -> None:
    played = Played()
    played.comes("a")
    with pytest.raises(BadInput, match=r"worker b has os 'Plan 9', a 'Linux 6\.1', and both are"):
        played.comes("b", os="Plan 9")
    with pytest.raises(BadInput, match="worker c has no resource GPU; allowed: dask worker --res"):
        Played().comes("c", cards=0)


def test_workers_that_leave_before_the_run_begins_are_waited_for() -> None:
    played = Played()
    played.comes("a")
    played.leaves("a")
    played.cluster.workers["b"] = pool.Worker("b", "folder", asked=False)
    played.cluster.gather(1.0, "")
    assert played.pool.free_slots() == 0


@pytest.mark.parametrize(("second", "notes"), [("tcp://h:2", 1), ("tcp://i:2", 0)])
def test_it_says_where_workers_share_the_cpu_that_they_time(second: str, notes: int) -> None:
    played = Played()
    played.comes("tcp://h:1")
    played.comes(second)
    played.cluster.gather(1.0, "")
    assert [line.startswith("note: workers on one host") for line in played.said] == [True] * notes
