"""The CUDA stopwatch on a scripted device, its kernels in the emulator, and both on a GPU."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from convcross.measure.timing import choose
from convcross.measure.timing import cuda as cuda_clock
from convcross.measure.timing.clock import ClockError
from convkernels import namespaces, optional
from convkernels.cuda import kernel as cuda
from support.scripted_device import L2, LATENCY, STREAM, Device


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    found = Device()
    monkeypatch.setitem(sys.modules, "cupy", found.cupy())
    monkeypatch.setattr(cuda, "on_gpu", found.launcher)
    monkeypatch.setattr(namespaces, "missing", lambda name: None)
    monkeypatch.setattr(namespaces, "on", lambda *place: contextlib.nullcontext())
    caches = (cuda_clock.resolution, cuda_clock.scrub, cuda_clock.gate)
    for cache in caches:
        cache.cache_clear()
    yield found
    for cache in caches:
        cache.cache_clear()


def ready(device: Device) -> cuda_clock.CudaStopwatch:
    """A stopwatch past its first sample, with empty logs."""
    watch = cuda_clock.CudaStopwatch("cupy", "cuda:0")
    watch.time([lambda: device.work(1000)], flush=False)
    watch.reset_clock()
    device.queued.clear()
    device.done.clear()
    return watch


# ---- the hold --------------------------------------------------------------------------------


def test_a_sample_is_queued_whole_before_the_device_begins(device: Device) -> None:
    watch = ready(device)
    seen: list[list[str]] = []

    def step() -> None:
        device.work(3_000)
        seen.append(list(device.done))

    assert watch.time([step, step], flush=True) == pytest.approx([3e-6, 3e-6])
    assert seen == [["hold"], ["hold"]]
    assert device.queued == device.done
    steps = ["event", "step", "event", "step", "event"]
    assert device.queued == ["hold", "flush", "stamp", *steps, "stamp"]
    assert watch.held


def test_the_launch_latency_is_hidden_from_the_second_sample_on(device: Device) -> None:
    watch = cuda_clock.CudaStopwatch("cupy", "cuda:0")
    device.queued.clear()
    (first,) = watch.time([lambda: device.work(1_000)], flush=False)
    assert "hold" not in device.queued
    (second,) = watch.time([lambda: device.work(1_000)], flush=False)
    assert "hold" in device.queued
    assert first > LATENCY * 1e-9
    assert second == pytest.approx(1e-6)


def test_each_kernel_of_the_stopwatch_runs_before_the_first_hold_that_holds(
    device: Device,
) -> None:
    cuda_clock.CudaStopwatch("cupy", "cuda:0")
    assert device.done == ["hold", "flush", "stamp"]
    assert device.now < 1_001_000_000  # nothing gave up


def test_a_step_that_waits_for_the_device_is_measured_again_without(device: Device) -> None:
    watch = ready(device)
    calls: list[float] = []

    def step() -> None:
        calls.append(device.now)
        device.work(2_000)
        device.synchronize()

    (seconds,) = watch.time([step], flush=False)
    assert not watch.held
    assert len(calls) == 3
    assert device.queued.count("hold") == 2
    # One sample in the pool: with the first one's 50 ms its clock would be told, too short as it is
    assert (watch._clock._samples <= 1).all()
    assert watch._clock._elapsed[0, 1] < 100_000
    assert LATENCY * 1e-9 <= seconds < 1e-4
    watch.time([step], flush=False)
    assert len(calls) == 4
    assert device.queued.count("hold") == 2


@pytest.mark.parametrize("stalled", [{1}, {1, 3}, {1, 2}])
def test_a_stall_of_the_host_is_measured_again_held(device: Device, stalled: set[int]) -> None:
    """In some of its calls the host comes too late, as if it waited for 50 ms."""
    watch = ready(device)
    calls = 0

    def step() -> None:
        nonlocal calls
        calls += 1
        if calls in stalled:
            device.synchronize()
        device.work(2_000)

    times = [watch.time([step], flush=False)[0] for _ in range(3)]
    assert watch.held is (stalled != {1, 2})
    assert calls == (5 if stalled == {1, 2} else 3 + len(stalled))
    if watch.held:
        assert times == pytest.approx([2e-6] * 3)


@pytest.mark.parametrize(
    ("ns", "held", "bound"),
    [(1_000, False, True), (100_000, False, False), (1_000, True, False)],
)
def test_it_is_told_whether_the_device_waited_for_its_launches(
    device: Device, monkeypatch: pytest.MonkeyPatch, ns: int, held: bool, bound: bool
) -> None:
    """30 launches of LATENCY each, and as many kernels."""
    monkeypatch.setattr(
        cuda_clock, "time", SimpleNamespace(perf_counter=lambda: device.host * 1e-9)
    )

    def step() -> None:
        for _ in range(30):
            device.work(ns)

    watch = ready(device)
    watch.held = held
    assert not watch.launch_bound
    for _ in range(2):
        watch.time([step], flush=False)
    assert watch.launch_bound is bound
    watch.reset_clock()
    assert not watch.launch_bound


def test_who_waits_for_the_device_is_bound_by_its_host(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        cuda_clock, "time", SimpleNamespace(perf_counter=lambda: device.host * 1e-9)
    )
    watch = ready(device)

    def step() -> None:
        device.work(100_000)
        device.synchronize()

    watch.time([step], flush=False)
    assert not watch.held
    assert watch.launch_bound


def test_an_exception_in_a_step_releases_the_hold(device: Device) -> None:
    watch = ready(device)

    def fail() -> None:
        device.work(1_000)
        raise ValueError("planted")

    begin = device.now
    with pytest.raises(ValueError, match="planted"):
        watch.time([fail], flush=False)
    assert device.now - begin < cuda_clock.LIMIT_NS
    assert device.queued == device.done
    assert watch.held
    assert watch.time([lambda: device.work(1_000)], flush=False) == pytest.approx([1e-6])


def test_a_hold_is_not_opened_by_the_one_before(device: Device) -> None:
    gate = cuda_clock.Gate("cuda:0")
    gate.close()
    device.synchronize()  # gives up
    assert not gate.release()
    gate.close()
    device.work(1)
    assert device.done == ["hold", "hold"]
    assert gate.release()
    device.synchronize()
    assert device.done[-1] == "step"


def test_a_block_is_held_until_its_end(device: Device) -> None:
    watch = ready(device)
    with watch.hold():
        device.work(1_000, "negate")
        device.work(1_000, "run")
        assert device.done == ["hold"]
    device.pump()
    assert device.done == ["hold", "negate", "run"]
    assert watch.held

    with pytest.raises(ValueError, match="planted"), watch.hold():
        raise ValueError("planted")
    assert watch.held
    for held in (True, False):
        with watch.hold():
            device.synchronize()
        assert watch.held is held
    device.queued.clear()
    with watch.hold():
        device.work(1_000)
        assert device.done[-1] == "step"
    assert device.queued == ["step"]


def test_no_garbage_is_collected_inside(device: Device) -> None:
    watch = cuda_clock.CudaStopwatch("cupy", "cuda:0")
    inside: list[bool] = []
    for _ in range(2):
        watch.time([lambda: inside.append(gc.isenabled())], flush=False)
    assert inside == [False, False]
    assert gc.isenabled()


# ---- times, flush, streams -------------------------------------------------------------------


def test_the_flush_is_twice_the_l2_and_shared(device: Device) -> None:
    watches = [ready(device), ready(device)]
    for watch in watches:
        assert watch.time([lambda: device.work(10)], flush=True) == pytest.approx([1e-8])
    assert set(device.flushed) == {2 * L2}
    assert watches[0]._scrub is watches[1]._scrub


def test_a_clock_that_goes_back_is_an_error_and_zero_is_not(device: Device) -> None:
    watch = ready(device)
    with pytest.raises(ClockError, match=r"the clock went back by 2e-06 s"):
        watch.time([lambda: device.work(-2_000)], flush=False)
    assert watch.time([lambda: None], flush=False) == [0.0]


def test_torch_is_timed_on_its_own_stream(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")

    monkeypatch.setattr(
        torch.cuda, "current_stream", lambda place: SimpleNamespace(cuda_stream=STREAM)
    )
    watch = choose.stopwatch("torch", "cuda:0", "flushed")
    assert isinstance(watch, cuda_clock.CudaStopwatch)
    watch.time([lambda: device.work(10)], flush=True)
    assert set(device.streams) == {STREAM}


def test_without_cupy_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "cuda_devices", lambda: 1)
    monkeypatch.setattr(optional, "installed", lambda name: name != "cupy")
    monkeypatch.setattr(namespaces, "missing", namespaces.missing.__wrapped__)
    with pytest.raises(RuntimeError, match=r"^torch on cuda:0 .* pip install 'convcross\[cuda13"):
        cuda_clock.CudaStopwatch("torch", "cuda:0")


# ---- the SM clock ----------------------------------------------------------------------------


def test_the_clock_is_told_by_the_sms_that_have_both_stamps(device: Device) -> None:
    watch = ready(device)
    device.sms = [[0, 2, 5, 900], [1, 2, 5]]
    watch.time([lambda: device.work(1_000_000)], flush=False)
    assert watch.sm_hz == pytest.approx(device.hz, rel=1e-4)
    assert np.flatnonzero(watch._clock._samples).tolist() == [2, 5]
    device.sms = [[0, 2], [1, 5]]
    watch.time([lambda: device.work(1_000_000)], flush=False)
    assert watch.sm_hz is None  # not the one before
    assert watch.pooled_sm_hz() == pytest.approx(device.hz, rel=1e-4)


def test_a_coarse_timer_tells_no_clock_of_a_short_sample_but_of_many(device: Device) -> None:
    device.ticks = 1024
    watch = ready(device)
    for _ in range(400):
        device.work(377)  # samples begin anywhere between two ticks
        watch.time([lambda: device.work(20_000)], flush=False)
        assert watch.sm_hz is None
    assert watch.pooled_sm_hz() == pytest.approx(device.hz, rel=5e-3)
    watch.time([lambda: device.work(2_000_000)], flush=False)
    assert watch.sm_hz == pytest.approx(device.hz, rel=5e-3)
    watch.reset_clock()
    assert watch.pooled_sm_hz() is None


def test_samples_within_one_tick_are_part_of_the_pool(device: Device) -> None:
    """Two samples of 500 ns at 2 GHz: a timer of 1000 ns moves in one of them."""
    clock = cuda_clock.SMClock("cuda:0")
    clock._resolution = 1e-6  # else only 160,000 such samples tell a clock
    for end in (1000, 2000):
        clock._stamps[:, 0] = [[7000, 1000], [8000, end]]
        clock.read()
    assert clock.pooled_hz() == pytest.approx(2e9)


@pytest.mark.parametrize(("ns", "told"), [(199 * 32, False), (200 * 32, True)])
def test_a_clock_is_told_to_half_a_percent(ns: int, told: bool) -> None:
    found = cuda_clock.hertz(np.array([[2 * ns, ns]]), np.array([1]), 32.0)
    assert (found is not None) is told


def test_the_clock_is_the_median_of_the_sms() -> None:
    elapsed = np.array([[1_000_000, 10**6], [2_000_000, 10**6], [9_000_000, 10**6], [0, 0]])
    assert cuda_clock.hertz(elapsed, np.array([1, 1, 1, 0]), 32.0) == pytest.approx(2e9)


def test_counters_that_went_back_are_left_out(device: Device) -> None:
    clock = cuda_clock.SMClock("cuda:0")
    clock._stamps[:, :2] = [[[5_000_000, 10], [500, 10]], [[6_000_000, 500_010], [400, 500_010]]]
    clock.read()
    assert clock.hz == pytest.approx(2e9)
