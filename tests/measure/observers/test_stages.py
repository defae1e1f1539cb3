"""Staged runs: every stage's own time, repeats summed, nested ones counted once."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from convcross.measure.observers import stages
from convkernels import Problem, stage
from convkernels.discovery import find


class Clock:
    """Time that passes only where it is told to, in place of ``time``."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(stages, "time", made)
    return made


def test_repeats_are_summed_and_nested_stages_counted_once(clock: Clock) -> None:
    def run() -> None:
        clock.spend(1.0)
        for _ in range(2):
            with stage("forward"):
                clock.spend(8.0)
                with stage("pad"):
                    clock.spend(32.0)
                clock.spend(16.0)
            clock.spend(2.0)
        with stage("crop"):
            clock.spend(64.0)

    found = stages.stages(run, lambda: clock.spend(128.0), "numpy", "cpu")
    told = {"pad": 64.0, "forward": 48.0, "crop": 64.0, "rest": 5.0, "kernel": 128.0}
    # Of runs so long, the fewest.
    assert found == {name: [seconds] * stages.FEWEST for name, seconds in told.items()}
    assert list(found)[-2:] == ["rest", "kernel"]


def test_the_device_is_done_at_both_ends_of_each_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that is only queued belongs to the stage that queued it, and not to the next."""
    clock, queue = Clock(), [0.0]

    def synchronize(namespace: str, device: str) -> None:
        assert (namespace, device) == ("torch", "cuda:0")
        clock.spend(queue[0])
        queue[0] = 0.0

    monkeypatch.setattr(stages, "time", clock)
    monkeypatch.setattr(stages.namespaces, "synchronize", synchronize)

    def run() -> None:
        for name, seconds in (("forward", 4.0), ("multiply", 1.0)):
            with stage(name):
                queue[0] += seconds

    def load() -> None:
        queue[0] += 8.0

    found = stages.stages(run, load, "torch", "cuda:0")
    assert {name: set(seconds) for name, seconds in found.items()} == {
        "forward": {4.0},
        "multiply": {1.0},
        "rest": {0.0},
        "kernel": {8.0},
    }


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("fft", {"forward", "multiply", "inverse", "crop", "rest", "kernel"}),
        ("im2col-gemm", {"unfold", "product", "rest", "kernel"}),
    ],
)
def test_the_stages_of_a_contender(name: str, named: set[str]) -> None:
    x, w = np.ones((32, 32), np.float32), np.ones((5, 5), np.float32)
    instance = find(name).prepare(Problem((32, 32), (5, 5), mode="same"), "numpy", "cpu")
    instance.load(w)
    run, load = functools.partial(instance.run, x), functools.partial(instance.load, w)
    found = stages.stages(run, load, "numpy", "cpu")
    assert set(found) == named
    assert all(stages.FEWEST <= len(own) <= stages.RUNS for own in found.values())
    assert all(second >= 0 for seconds in found.values() for second in seconds)
    assert set(stages.stages(run, None, "numpy", "cpu")) == named - {"kernel"}


def test_short_runs_are_repeated(clock: Clock) -> None:
    def run() -> None:
        with stage("forward"):
            clock.spend(stages.SECONDS / 100)

    found = stages.stages(run, None, "numpy", "cpu")
    assert {len(own) for own in found.values()} == {stages.RUNS}


def test_a_contender_that_names_no_stage_has_none() -> None:
    assert stages.stages(lambda: None, lambda: None, "numpy", "cpu") == {}
