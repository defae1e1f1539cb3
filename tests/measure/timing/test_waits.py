"""Waiting for a core: what the kernel tells, and which samples count as preempted."""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest

from convcross.measure.timing import host, waits
from convcross.measure.timing.waits import SHARE, SLICE, WAKING, Account, Look, Waits

linux = pytest.mark.skipif(sys.platform != "linux", reason="schedstat is Linux's")


def spin(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@linux
def test_the_threads_that_worked_are_found() -> None:
    stop, begun = threading.Event(), threading.Event()

    def idle() -> None:
        begun.set()
        stop.wait()

    other = threading.Thread(target=idle)
    other.start()
    begun.wait()
    before = waits.accounts()
    spin(0.02)
    found = waits.working(before, waits.accounts())
    stop.set()
    other.join()
    assert found == [threading.get_native_id()]
    assert other.native_id in before


def test_threads_that_hardly_ran_do_not_work() -> None:
    before = {1: Account(1.0, 0.0, 0), 2: Account(5.0, 0.0, 0), 3: Account(0.0, 0.0, 0)}
    after = {
        thread: account._replace(running=account.running + spent)
        for (thread, account), spent in zip(before.items(), (0.5, 1.0, 0.01), strict=True)
    }
    assert waits.working(before, after) == [2, 1]
    many = {thread: Account(1.0 + thread, 0.0, 0) for thread in range(40)}
    assert len(waits.working({}, many)) == waits.MOST
    assert waits.working({}, {}) == waits.working(before, before) == []


@linux
def test_a_thread_that_shares_its_core_waits() -> None:
    """Pinned to one core, this thread and a process that burns it wait for each other."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    burner = os.fork()
    if burner == 0:
        while True:
            pass
    try:
        watched = Waits([threading.get_native_id()])
        before, begin = watched.look(), time.perf_counter()
        spin(0.05)
        after, seconds = watched.look(), time.perf_counter() - begin
    finally:
        os.kill(burner, 9)
        os.waitpid(burner, 0)
        os.sched_setaffinity(0, cores)
    assert watched.preempted(before, after, seconds)
    assert after.waited[0] - before.waited[0] > 0.01


def look(waited: float = 0.0, woken: int = 0, switches: int = 0, stolen: float = 0.0) -> Look:
    return Look((waited,), (woken,), switches, stolen)


@pytest.mark.parametrize(
    ("after", "seconds", "preempted"),
    [
        (look(), 1.0, False),
        (look(waited=0.9 * SHARE), 1.0, False),
        (look(waited=1.1 * SHARE), 1.0, True),
        (look(waited=1.1 * SHARE), 2.0, False),
        (look(waited=0.9 * WAKING, woken=1), 1e-3, False),  # of a core that slept
        (look(waited=4e-3, woken=1), 1e-3, True),
        (look(stolen=0.02), 1.0, True),
        (look(stolen=0.005), 1.0, False),
    ],
)
@linux
def test_what_counts_as_preempted(after: Look, seconds: float, preempted: bool) -> None:
    watched = Waits([threading.get_native_id()])
    assert watched.preempted(look(), after, seconds) == preempted


def test_without_the_kernels_account_switches_count() -> None:
    watched = Waits()
    assert watched.preempted(look(), look(switches=1), SLICE)
    assert not watched.preempted(look(), look(switches=1), 2 * SLICE / SHARE)
    assert not watched.preempted(look(), look(waited=9.0), 1.0)


@linux
def test_a_thread_that_has_ended_is_watched_no_more() -> None:
    other = threading.Thread(target=time.sleep, args=(0.05,))
    other.start()
    assert other.native_id is not None
    watched = Waits([other.native_id])
    before = watched.look()
    other.join()
    time.sleep(0.01)
    assert not watched.preempted(before, watched.look(), 1.0)
    assert Waits([other.native_id]).look().waited == ()


@linux
def test_no_file_stays_open() -> None:
    def files() -> int:
        return len(os.listdir("/proc/self/fd"))

    waits._stat()
    before = files()
    watched = Waits([threading.get_native_id()])
    assert (len(waits.accounts()) > 0, files()) == (True, before + 1)
    for _ in range(5):
        other = threading.Thread(target=waits.accounts)
        other.start()
        other.join()
    assert files() == before + 1
    del watched
    assert files() == before


@linux
def test_steal_is_read_where_that_is_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    waits._stat.cache_clear()
    monkeypatch.setattr(waits, "CHEAP", 0.0)
    assert waits._stat() is None
    assert waits._steal(None) == 0.0
    waits._stat.cache_clear()
    monkeypatch.setattr(waits, "CHEAP", 10.0)
    assert waits._steal(waits._stat()) >= 0.0
    waits._stat.cache_clear()


@linux
def test_the_stopwatch_looks_outside_of_what_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = host.HostStopwatch("numpy", "cpu")
    watch.watch([threading.get_native_id()])
    looks = iter([look(), look(waited=1.0)])
    order: list[str] = []

    def told(self: Waits) -> Look:
        order.append("look")
        return next(looks)

    monkeypatch.setattr(Waits, "look", told)
    watch.time([lambda: order.append("step")], flush=False)
    assert order == ["look", "step", "look"]
    assert watch.preempted
