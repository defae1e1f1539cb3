"""What a sample holds: the steps' own time, each apart, and nothing of flush or garbage."""

from __future__ import annotations

import gc
import math
import time

import numpy as np
import pytest

from convcross.machine import caches
from convcross.measure.timing import choose, clock, host
from convkernels import namespaces


class Ticks:
    """A clock that only moves when told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0
        monkeypatch.setattr(time, "perf_counter_ns", lambda: self.now)

    def pass_(self, nanoseconds: int) -> None:
        self.now += nanoseconds


def test_each_step_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = Ticks(monkeypatch)
    watch = choose.stopwatch("numpy", "cpu", "warm")
    found = watch.time([lambda: ticks.pass_(3000), lambda: ticks.pass_(5)], flush=False)
    assert found == pytest.approx([3e-6, 5e-9])


def test_the_flush_comes_before_and_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = Ticks(monkeypatch)
    watch = host.HostStopwatch("numpy", "cpu")
    order: list[str] = []

    def flush() -> None:
        order.append("flush")
        ticks.pass_(1_000_000)

    def step() -> None:
        order.append("step")
        ticks.pass_(7)

    monkeypatch.setattr(watch, "_flush", flush)
    assert watch.time([step, step], flush=True) == pytest.approx([7e-9, 7e-9])
    assert order == ["flush", "step", "step"]
    assert watch.time([step], flush=False) == pytest.approx([7e-9])
    assert order.count("flush") == 1


def test_the_flush_writes_twice_the_last_level_cache() -> None:
    watch = host.HostStopwatch("numpy", "cpu")
    watch.time([lambda: None], flush=True)
    assert watch._scrub.nbytes >= 2 * caches.last_level_cache() - 8
    before = watch._scrub.copy()
    watch.time([lambda: None], flush=True)
    assert (watch._scrub != before).all()


def test_no_garbage_is_collected_inside_and_collecting_goes_on_after() -> None:
    watch = host.HostStopwatch("numpy", "cpu")
    inside: list[bool] = []
    assert gc.isenabled()
    watch.time([lambda: inside.append(gc.isenabled())], flush=False)
    assert inside == [False]
    assert gc.isenabled()

    def fail() -> None:
        raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        watch.time([fail], flush=False)
    assert gc.isenabled()


def test_the_device_is_waited_for_before_the_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = Ticks(monkeypatch)
    monkeypatch.setattr(namespaces, "synchronize", lambda *place: ticks.pass_(40))
    watch = host.HostStopwatch("torch", "cuda:0")
    assert watch.time([lambda: ticks.pass_(2)], flush=False) == pytest.approx([42e-9])


def test_a_clock_that_goes_back_is_an_error_and_zero_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = Ticks(monkeypatch)
    watch = host.HostStopwatch("numpy", "cpu")
    with pytest.raises(clock.ClockError, match=r"^the clock went back by 2e-06 s$"):
        watch.time([lambda: ticks.pass_(5), lambda: ticks.pass_(-2000)], flush=False)
    assert watch.time([lambda: None], flush=False) == [0.0]


@pytest.mark.parametrize("seconds", [math.nan, math.inf])
def test_a_time_that_is_not_finite_is_an_error(seconds: float) -> None:
    with pytest.raises(clock.ClockError, match=f"the clock tells {seconds} s"):
        clock.check_clock([1.0, seconds])


def test_the_host_holds_nothing_and_tells_no_sm_clock() -> None:
    watch = host.HostStopwatch("numpy", "cpu")
    with watch.hold():
        watch.time([lambda: None], flush=False)
    watch.reset_clock()
    assert (watch.held, watch.sm_hz, watch.pooled_sm_hz()) == (False, None, None)


def test_wall_and_cpu_have_the_hosts_clock() -> None:
    for device, regime in (("cpu", "warm"), ("cpu", "flushed"), ("cuda:0", "wall")):
        assert isinstance(choose.stopwatch("torch", device, regime), host.HostStopwatch)


def test_the_cache_is_a_plausible_size() -> None:
    assert 1 << 18 <= caches.last_level_cache() <= 1 << 32


@pytest.mark.gpu
@pytest.mark.parametrize("namespace", ["torch", "cupy"])
def test_events_see_the_device_work(namespace: str) -> None:
    if reason := namespaces.missing(namespace):
        pytest.skip(reason)
    watch = choose.stopwatch(namespace, "cuda:0", "flushed")
    small, large = (
        namespaces.from_numpy(np.ones((size, size)), namespace, "cuda:0", "float32")
        for size in (64, 4096)
    )
    for flush in (False, True):
        for _ in range(3):
            first, second = watch.time([lambda: small @ small, lambda: large @ large], flush=flush)
        assert 0 < first < second < 1
