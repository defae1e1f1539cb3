"""The CPU threads that suit a contender are found by timing it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from convcross.machine import threads
from convcross.measure import thread_count
from convkernels.toolbox import threads as given


class Clock:
    """One that runs while a contender sleeps, and only then.

    Attributes
    ----------
    threads : that then work: the calling one is the first
    """

    def __init__(self) -> None:
        self.now, self.threads = 0.0, 2.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Nothing is chosen yet."""
    clock = Clock()
    monkeypatch.setattr(thread_count, "_chosen", {})
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(time, "thread_time", lambda: clock.now * min(1, clock.threads))
    monkeypatch.setattr(time, "process_time", lambda: clock.now * clock.threads)
    return clock


def contender(seconds: dict[int, float], planned: list[int]) -> Callable[[], Callable[[], None]]:
    """One that takes so long with so many threads, planned for those that it is given."""

    def made() -> Callable[[], None]:
        count = given.count()
        planned.append(count)
        return lambda: time.sleep(seconds[count])

    return made


def test_counts_are_powers_of_two() -> None:
    assert list(thread_count.counts(1)) == [1]
    assert list(thread_count.counts(7)) == [1, 2, 4]
    assert list(thread_count.counts(8)) == [1, 2, 4, 8]


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ({1: 0.001, 2: 0.003, 4: 0.004, 5: 0.005}, 1),  # waking costs more than it gives
        ({1: 0.008, 2: 0.003, 4: 0.006, 5: 0.006}, 2),
        ({1: 0.009, 2: 0.006, 4: 0.004, 5: 0.002}, 5),
        ({1: 0.003, 2: 0.003, 4: 0.003, 5: 0.003}, 1),  # not for what they do not gain
    ],
)
def test_the_fastest_count_is_chosen(seconds: dict[int, float], best: int) -> None:
    planned: list[int] = []
    with threads.pinned(5):
        assert thread_count.best(contender(seconds, planned), 5, "a") == best
        assert given.count() == 5
    assert sorted(planned) == [1, 2, 4, 5]


def test_long_runs_take_all_without_a_question() -> None:
    planned: list[int] = []
    with threads.pinned(4):
        assert thread_count.best(contender({4: 1.5 * thread_count.LONG}, planned), 4, "a") == 4
    assert planned == [4]


def test_a_single_thread_is_no_question() -> None:
    assert thread_count.best(contender({}, []), 1, "a") == 1


def test_runs_as_long_of_one_contender_on_one_image_are_asked_once() -> None:
    planned: list[int] = []
    fewer, more = {1: 0.001, 2: 0.003}, {1: 0.003, 2: 0.002}
    with threads.pinned(2):
        assert thread_count.best(contender(fewer, planned), 2, "a") == 1
        assert planned == [2, 1]
        # Of 2 ms where 3 ms is known: taken over, though it would be faster with both.
        assert thread_count.best(contender(more, planned), 2, "a") == 1
        assert planned == [2, 1, 2]
        assert thread_count.best(contender(more, planned), 2, "another") == 2
        longer = {count: 4 * seconds for count, seconds in more.items()}
        assert thread_count.best(contender(longer, planned), 2, "a") == 2


def test_longer_runs_take_all_that_a_shorter_took_and_shorter_ones_one() -> None:
    planned: list[int] = []
    with threads.pinned(2):
        assert thread_count.best(contender({1: 0.003, 2: 0.002}, planned), 2, "a") == 2
        assert thread_count.best(contender({1: 0.004, 2: 0.008}, planned), 2, "a") == 2
        assert thread_count.best(contender({1: 0.003, 2: 0.006}, planned), 2, "b") == 1
        assert thread_count.best(contender({1: 0.002, 2: 0.001}, planned), 2, "b") == 1
    assert planned == [2, 1, 2, 2, 1, 2]


@pytest.mark.parametrize(("working", "best"), [(1, 1), (2, 2), (1.02, 2), (0, 2)])
def test_a_run_of_one_thread_alone_is_given_one_without_timing(
    clock: Clock, working: float, best: int
) -> None:
    """Where none works, a child process may: the times tell."""
    planned: list[int] = []
    clock.threads = working
    with threads.pinned(2):
        assert thread_count.best(contender({1: 0.003, 2: 0.002}, planned), 2, "a") == best
    assert planned == ([2] if best == 1 else [2, 1])


@pytest.mark.parametrize(
    ("two", "turns"), [(0.002, thread_count.FEWEST), (0.0028, thread_count.RUNS)]
)
def test_a_clear_difference_is_asked_for_no_more(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, two: float, turns: int
) -> None:
    taken: list[float] = []
    monkeypatch.setattr(
        time, "sleep", lambda seconds: (taken.append(seconds), clock.sleep(seconds))
    )
    with threads.pinned(2):
        assert thread_count.best(contender({1: 0.004, 2: two}, []), 2, "a") == 2
    assert taken.count(0.004) == 2 * turns


def test_another_number_for_a_while_is_put_back() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")

    with threads.pinned(2):
        with threads.given(1):
            assert (given.count(), torch.get_num_threads()) == (1, 1)
        assert (given.count(), torch.get_num_threads()) == (2, 2)
        with threads.given(None):
            assert given.count() == 2
