"""The CPU threads that suit a contender are found by timing it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from convcross.machine import threads
from convcross.measure import thread_count
from convkernels.toolbox import threads as given


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that runs while a contender sleeps, and only then; nothing is chosen yet."""
    now = 0.0
    monkeypatch.setattr(thread_count, "_chosen", {})

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "perf_counter", lambda: now)


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


def test_another_number_for_a_while_is_put_back() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")

    with threads.pinned(2):
        with threads.given(1):
            assert (given.count(), torch.get_num_threads()) == (1, 1)
        assert (given.count(), torch.get_num_threads()) == (2, 2)
        with threads.given(None):
            assert given.count() == 2
