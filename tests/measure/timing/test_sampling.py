"""Sampling in rounds: who stops when, and in which order; on fake actions, without real time."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcross.measure.timing import sampling
from convcross.measure.timing.sampling import AGAIN, LEAST, Sample, Series, interleave
from convcross.stats.median import is_settled


class Clock:
    """Fake contenders, and who was called when."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def action(
        self, name: str, times: Callable[[int], float | None], batch: int = 1
    ) -> Callable[[], Sample | None]:
        def sample() -> Sample | None:
            self.calls.append(name)
            seconds = times(self.calls.count(name) - 1)
            return None if seconds is None else Sample(seconds, seconds * batch)

        return sample


def noisy(seed: int, spread: float = 0.3, scale: float = 1e-3) -> Callable[[int], float]:
    generator = random.Random(seed)
    return lambda index: scale * (1 + spread * generator.random())


def meet(
    seconds: float = 100.0, samples: int = 400, seed: int = 0, **actions: Callable[[int], float]
) -> tuple[dict[str, Series], Clock]:
    clock = Clock()
    found = interleave(
        {name: clock.action(name, times) for name, times in actions.items()},
        seconds=seconds,
        samples=samples,
        order=random.Random(seed),
    )
    return found, clock


def test_a_steady_contender_settles_at_the_first_look() -> None:
    found, _ = meet(a=lambda index: 1e-3)
    assert len(found["a"].samples) == sampling.FIRST_LOOK == 8
    assert found["a"].settled


def test_looks_come_at_a_growing_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def settled(samples: list[float]) -> bool:
        looks.append(len(samples))
        return False

    monkeypatch.setattr(sampling, "is_settled", settled)
    found, _ = meet(a=noisy(0), samples=100)
    assert looks[:7] == [8, 12, 18, 27, 41, 62, 93]
    assert set(looks[7:]) == {100}
    assert len(found["a"].samples) == 100


def test_noise_goes_on_to_the_limit_of_samples() -> None:
    found, _ = meet(a=noisy(1, spread=3.0), samples=40)
    assert len(found["a"].samples) == 40
    assert not found["a"].settled


def test_it_stops_at_the_limit_of_seconds() -> None:
    found, _ = meet(a=noisy(1, spread=3.0), seconds=0.03)
    assert found["a"].spent >= 0.03
    assert found["a"].spent - found["a"].samples[-1] < 0.03


def test_batches_are_spent_whole() -> None:
    clock = Clock()
    action = clock.action("a", noisy(0, spread=3.0), batch=10)
    found = interleave({"a": action}, seconds=0.3, samples=400, order=random.Random(0))
    assert found["a"].spent == pytest.approx(10 * sum(found["a"].samples))
    assert len(found["a"].samples) < 30


@pytest.mark.parametrize("slow", [10.0, 1e6])
def test_every_series_has_the_least_number_of_samples(slow: float) -> None:
    """However slow one is, and however soon the others stop."""
    found, _ = meet(slow=lambda index: slow + index, fast=lambda index: 1e-6, seconds=0.01)
    assert len(found["slow"].samples) == LEAST
    assert not found["slow"].settled
    assert len(found["fast"].samples) >= LEAST


def test_rounds_are_paired() -> None:
    """In each round every contender still in is sampled once; a round belongs to its sample."""
    found, clock = meet(a=noisy(1), b=noisy(2), c=noisy(3, spread=5.0), samples=60)
    for series in found.values():
        assert series.rounds == list(range(len(series.samples)))
    place = 0
    for number in range(max(len(series.samples) for series in found.values())):
        present = {name for name, series in found.items() if number in series.rounds}
        assert set(clock.calls[place : place + len(present)]) == present
        place += len(present)
    assert place == len(clock.calls)


def test_the_order_differs_between_rounds_and_is_seeded() -> None:
    names = {name: noisy(index, spread=5.0) for index, name in enumerate("abcd")}
    _, clock = meet(samples=40, seed=5, **names)
    rounds = {tuple(clock.calls[place : place + 4]) for place in range(0, 160, 4)}
    assert len(rounds) > 12
    firsts = [clock.calls[place] for place in range(0, 160, 4)]
    assert all(firsts.count(name) >= 3 for name in "abcd")
    names = {name: noisy(index, spread=5.0) for index, name in enumerate("abcd")}
    assert meet(samples=40, seed=5, **names)[1].calls == clock.calls
    assert meet(samples=40, seed=6, **names)[1].calls != clock.calls


def test_none_leaves_the_rounds() -> None:
    found, clock = meet(
        a=lambda index: None if index == 3 else 1e-3, b=noisy(0, spread=3.0), samples=30
    )
    assert clock.calls.count("a") == 4
    assert len(found["a"].samples) == 3
    assert not found["a"].settled
    assert len(found["b"].samples) == 30


def test_nobody() -> None:
    assert meet()[0] == {}
    assert meet(a=lambda index: None)[0]["a"].samples == []


def clocked(*rounds: dict[str, float | None]) -> dict[str, Series]:
    """Contenders whose clocks in GHz are given, try by try, and then stay at the last."""
    tries = dict.fromkeys(rounds[0], 0)

    def action(name: str) -> Callable[[], Sample]:
        def sample() -> Sample:
            clock = rounds[min(tries[name], len(rounds) - 1)][name]
            tries[name] += 1
            return Sample(float(tries[name]), 0.0, clock and 1e9 * clock)

        return sample

    actions = {name: action(name) for name in tries}
    return interleave(actions, seconds=1.0, samples=5, order=random.Random(0))


def test_a_round_at_uneven_clocks_is_measured_again() -> None:
    even: dict[str, float | None] = {"a": 1.98, "b": 1.96}
    found = clocked({"a": 1.98, "b": 1.9}, even)
    for series in found.values():
        assert series.samples == [2.0, 3.0, 4.0, 5.0, 6.0]  # the first try is dropped
        assert series.rounds == [0, 1, 2, 3, 4]
        assert series.again == 1


def test_a_clock_that_stays_uneven_is_measured_again_twice_a_round_and_kept() -> None:
    found = clocked({"a": 1.98, "b": 1.5})
    assert AGAIN == 2
    for series in found.values():
        assert series.samples == [3.0, 6.0, 9.0, 12.0, 15.0]
        assert series.again == 10


def test_a_clock_that_is_not_told_measures_nothing_again() -> None:
    for series in clocked({"a": 1.98, "b": None}).values():
        assert series.samples == [1.0, 2.0, 3.0, 4.0, 5.0]
        assert series.again == 0


def test_rounds_may_begin_later() -> None:
    actions = {"a": lambda: Sample(1.0, 0.0)}
    found = interleave(actions, seconds=1.0, samples=5, order=random.Random(0), first=70)
    assert found["a"].rounds == [70, 71, 72, 73, 74]


@given(
    st.lists(st.floats(1e-7, 10.0), min_size=1, max_size=4),
    st.floats(1e-3, 1.0),
    st.integers(LEAST, 60),
    st.integers(0, 99),
)
def test_limits_hold_for_any_contenders(
    scales: list[float], seconds: float, samples: int, seed: int
) -> None:
    actions = {str(i): noisy(seed, spread=1.0, scale=scale) for i, scale in enumerate(scales)}
    found, _ = meet(seconds=seconds, samples=samples, seed=seed, **actions)
    for series in found.values():
        assert LEAST <= len(series.samples) <= samples
        assert series.settled == is_settled(series.samples)
        before = sum(series.samples[:-1])
        assert len(series.samples) == LEAST or before < seconds


# ---- samples that waited for a core ----------------------------------------------------------


def waiting(
    preempted: Callable[[int], bool], seconds: float = 100.0, samples: int = 400
) -> tuple[Series, int]:
    """The series of one steady contender whose n-th sample waited, and how often it ran."""
    runs = 0

    def action() -> Sample:
        nonlocal runs
        runs += 1
        late = preempted(runs - 1)
        return Sample(9e-3 if late else 1e-3, 1e-3, preempted=late)

    actions = {"a": action}
    found = interleave(actions, seconds=seconds, samples=samples, order=random.Random(0))
    return found["a"], runs


def test_a_sample_that_waited_is_taken_again() -> None:
    found, runs = waiting(lambda index: index in (2, 3))
    assert found.samples == [1e-3] * 8
    assert (found.preempted, found.settled, runs) == ([], True, 10)


def test_what_waited_each_time_is_kept_and_told() -> None:
    found, runs = waiting(lambda index: 2 <= index < 2 + 1 + AGAIN)
    assert found.samples == [1e-3, 1e-3, 9e-3, *[1e-3] * 6]
    assert (found.preempted, found.settled) == ([2], True)
    assert found.undisturbed() == [1e-3] * 8
    assert runs == 8 + 1 + AGAIN


def test_who_always_waits_ends_at_its_limit() -> None:
    found, runs = waiting(lambda index: True, seconds=20.5e-3)
    assert len(found.samples) == len(found.preempted) == 21
    assert (found.undisturbed(), found.settled, runs) == ([], False, 21 * (1 + AGAIN))
