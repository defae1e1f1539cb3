"""The CUDA stopwatch on a scripted device, its kernels in the emulator, and both on a GPU."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import gc
import itertools
import math
import statistics
import sys
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from convcross import cuda_clock, stopwatch
from convkernels import namespaces
from convkernels.cuda import ahead, emulator
from convkernels.cuda import kernel as cuda

L2 = 50 << 20
LATENCY = 5_000  # ns that a launch takes the host
STREAM = 0x5EED


class Device:
    """A stand-in for CuPy and a GPU of one stream.

    A launch takes the host LATENCY. Work runs as soon as it is queued, or once the hold before it
    is released: the word is looked at whenever the host launches or waits. Who waits for a hold
    that nobody released waits until it gives up.
    """

    def __init__(self) -> None:
        self.host = self.now = 1_000_000_000  # ns
        self.queued: list[str] = []
        self.done: list[str] = []
        self.waiting: list[tuple[str, Callable[[], None]]] = []
        self.closed: tuple[ctypes.c_uint64, ctypes.c_uint64, int, int] | None = None
        self.streams: list[int] = []
        self.flushed: list[int] = []
        self.hz = 1.755e9
        self.ticks = 32  # ns, of the timer
        self.sms: list[list[int]] = [[0, 1, 2, 5], [0, 1, 2, 5]]  # that a stamp meets, in turn
        self.sides = itertools.cycle([0, 1])

    def put(self, name: str, action: Callable[[], None]) -> None:
        self.host += LATENCY
        self.queued.append(name)
        self.waiting.append((name, action))
        self.pump()

    def pump(self) -> None:
        if self.closed and self.closed[0].value < self.closed[2]:
            return
        self.closed = None
        self.now = max(self.now, self.host)
        while self.waiting and not self.closed:
            name, action = self.waiting.pop(0)
            action()
            self.done.append(name)

    def synchronize(self) -> None:
        self.pump()
        if self.closed:
            _, gave_up, ticket, limit = self.closed
            gave_up.value, self.closed = ticket, None
            self.now += limit
            self.pump()
        self.host = max(self.host, self.now)

    def work(self, ns: int, name: str = "step") -> None:
        def action() -> None:
            self.now += ns

        self.put(name, action)

    def launcher(self, kernel: cuda.Kernel, device: str) -> Callable[..., None]:
        assert device == "cuda:0"
        return {"hold": self.hold, "stamp": self.stamp, "tick": self.tick}[kernel.name]

    def hold(self, grid: Any, block: Any, arguments: Any) -> None:
        assert grid == block == (1,)
        released, gave_up, ticket, limit = map(int, arguments)
        words = (ctypes.c_uint64.from_address(word) for word in (released, gave_up))

        def action() -> None:
            first, second = words
            if first.value < ticket:
                self.closed = first, second, ticket, limit

        self.put("hold", action)

    def stamp(self, grid: Any, block: Any, arguments: Any) -> None:
        address, count = map(int, arguments)

        def action() -> None:
            rows = (ctypes.c_uint64 * (2 * count)).from_address(address)
            for sm in self.sms[next(self.sides)]:
                rows[2 * sm] = round(self.now * self.hz / 1e9) + 10**12 * (sm + 1)
                rows[2 * sm + 1] = self.now // self.ticks * self.ticks

        self.put("stamp", action)

    def tick(self, grid: Any, block: Any, arguments: Any) -> None:
        ctypes.c_uint64.from_address(int(arguments[0])).value = self.ticks

    def cupy(self) -> SimpleNamespace:
        """As much of CuPy as the stopwatch uses."""
        device = self

        class Card(contextlib.nullcontext[Any]):
            attributes = {"L2CacheSize": L2, "MultiProcessorCount": 4}  # noqa: RUF012

            def __init__(self, index: int) -> None:
                assert index == 0
                super().__init__(self)

            def synchronize(self) -> None:
                device.synchronize()

        class Stream(contextlib.nullcontext[Any]):
            def __init__(self, pointer: int) -> None:
                super().__init__(self)
                device.streams.append(pointer)

            @classmethod
            def from_external(cls, theirs: Any) -> Stream:
                version, pointer = theirs.__cuda_stream__()
                assert version == 0
                return cls(pointer)

            def synchronize(self) -> None:
                device.synchronize()

        class Event:
            ns = math.nan

            def record(self, stream: Stream) -> None:
                def action() -> None:
                    self.ns = device.now

                device.put("event", action)

        class Memory:
            def memset_async(self, value: int, size: int) -> None:
                device.flushed.append(size)
                device.work(40_000, "flush")

        def pinned(size: int) -> Any:
            return (ctypes.c_char * size)(*b"\xff" * size)

        return SimpleNamespace(
            cuda=SimpleNamespace(
                Device=Card,
                Stream=Stream,
                Event=Event,
                alloc=lambda size: Memory(),
                alloc_pinned_memory=pinned,
                get_current_stream=lambda: Stream(0),
                get_elapsed_time=lambda begin, end: (end.ns - begin.ns) * 1e-6,
            )
        )


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
    assert len(calls) == 2
    assert device.queued.count("hold") == 1
    # One sample in the pool: with the first one's 50 ms its clock would be told, too short as it is
    assert (watch._clock._samples <= 1).all()
    assert watch._clock._elapsed[0, 1] < 100_000
    assert LATENCY * 1e-9 <= seconds < 1e-4
    watch.time([step], flush=False)
    assert len(calls) == 3
    assert device.queued.count("hold") == 1


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
    with watch.hold():
        device.synchronize()
    assert not watch.held
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
    with pytest.raises(stopwatch.ClockError, match=r"the clock went back by 2e-06 s"):
        watch.time([lambda: device.work(-2_000)], flush=False)
    assert watch.time([lambda: None], flush=False) == [0.0]


def test_torch_is_timed_on_its_own_stream(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(
        torch.cuda, "current_stream", lambda place: SimpleNamespace(cuda_stream=STREAM)
    )
    watch = stopwatch.stopwatch("torch", "cuda:0", "flushed")
    assert isinstance(watch, cuda_clock.CudaStopwatch)
    watch.time([lambda: device.work(10)], flush=True)
    assert set(device.streams) == {STREAM}


def test_without_cupy_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "cuda_devices", lambda: 1)
    monkeypatch.setattr(namespaces, "installed", lambda name: name != "cupy")
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


# ---- the kernels -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hold", "stamp", "tick"])
@pytest.mark.parametrize("compiler", ahead.COMPILERS)
def test_kernels_compile_for_sm_90(compiler: str, name: str) -> None:
    if reason := ahead.missing(compiler):
        pytest.skip(reason)
    found = ahead.resources(cuda_clock.source(name), compiler)
    assert found.spilled_bytes == found.stack_bytes == 0


CLOCKS = """
struct alignas(16) ulonglong2 { unsigned long long x, y; };
static unsigned long long cycles = 1000, ns = 64;
static inline unsigned long long globaltimer() {
  ns += ns < 10000 ? 4096 : 1;  // its first steps are longer, as if readings had been late
  return ns / STEP * STEP;
}
static inline unsigned long long clock64() { return cycles++; }
static inline unsigned smid() { return 3 * blockIdx.x + 1; }
static inline void __threadfence_system() {}
"""

needs_compiler = pytest.mark.skipif(
    emulator.compiler() is None, reason="no C++ compiler for the emulator: $CXX, g++"
)


def emulated(name: str, step: int = 1) -> Callable[..., None]:
    kernel = cuda_clock.source(name)
    clocks = CLOCKS.replace("STEP", str(step))
    launch = emulator.on_cpu(dataclasses.replace(kernel, source=clocks + kernel.source))
    return lambda blocks, *arguments: launch((blocks, 1, 1), (1, 1, 1), arguments, shared_mem=0)


def by_value(value: int, dtype: type = np.uint64) -> Any:
    return np.array([(value,)], dtype=[("value", dtype)])


@needs_compiler
@pytest.mark.parametrize(("word", "gives_up"), [(4, True), (5, False), (6, False)])
def test_hold_waits_for_its_ticket(word: int, gives_up: bool) -> None:
    released, gave_up = np.array([word], np.uint64), np.zeros(1, np.uint64)
    emulated("hold")(1, released, gave_up, by_value(5), by_value(10_000))
    assert gave_up[0] == (5 if gives_up else 0)


@needs_compiler
def test_hold_ends_when_the_host_releases_it() -> None:
    released, gave_up = np.zeros(1, np.uint64), np.zeros(1, np.uint64)
    host = threading.Timer(0.02, released.fill, [1])
    hold = emulated("hold")
    host.start()
    hold(1, released, gave_up, by_value(1), by_value(10**10))
    host.join()
    assert gave_up[0] == 0


@needs_compiler
def test_stamps_lie_in_their_sms_rows_and_nowhere_else() -> None:
    rows = np.zeros((8, 2), np.uint64)
    emulated("stamp")(4, rows[:7], by_value(7, np.uint32))  # SMs 1, 4, 7 and 10
    assert np.flatnonzero(rows.all(axis=1)).tolist() == [1, 4]
    assert not rows[[0, 2, 3, 5, 6, 7]].any()
    assert rows[4, 0] > rows[1, 0] >= 1000
    assert rows[4, 1] > rows[1, 1] >= 64


@needs_compiler
@pytest.mark.parametrize("step", [32, 1024])
def test_tick_finds_the_timers_step(step: int) -> None:
    found = np.zeros(1, np.uint64)
    emulated("tick", step)(1, found)
    assert found[0] == step


# ---- the GPU ---------------------------------------------------------------------------------


def spinner() -> Callable[[int], None]:
    """Launches a wait of so many nanoseconds on CuPy's current stream."""
    kernel = cuda.on_gpu(cuda_clock.source("spin"), "cuda:0")
    nothing = (np.uint64(0),) * 3
    return lambda ns: kernel((1,), (1,), (*nothing, np.int32(0), np.uint64(ns)))


def gpu_watch(namespace: str) -> cuda_clock.CudaStopwatch:
    for name in (namespace, "cupy"):
        if reason := namespaces.missing(name):
            pytest.skip(reason)
    return cuda_clock.CudaStopwatch(namespace, "cuda:0")


on_gpu = pytest.mark.parametrize("namespace", ["torch", "cupy"])


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize("ns", [500_000, 2_000_000])
def test_a_kernel_of_known_length(namespace: str, flush: bool, ns: int) -> None:
    watch, spin = gpu_watch(namespace), spinner()
    times = [watch.time([lambda: spin(ns)], flush=flush)[0] for _ in range(21)]
    assert watch.held
    assert statistics.median(times[1:]) == pytest.approx(ns * 1e-9, rel=0.01)


@pytest.mark.gpu
@on_gpu
def test_launches_are_hidden(namespace: str) -> None:
    watch, spin = gpu_watch(namespace), spinner()

    def step() -> None:
        for _ in range(50):
            spin(0)

    def median() -> float:
        return statistics.median(watch.time([step], flush=False)[0] for _ in range(20))

    watch.time([step], flush=False)
    held = median()
    assert watch.held
    watch.held = False
    assert held < 0.7 * median()


@pytest.mark.gpu
@on_gpu
def test_a_step_that_synchronises_is_timed_unheld(namespace: str) -> None:
    watch, spin = gpu_watch(namespace), spinner()

    def step() -> None:
        spin(300_000)
        namespaces.synchronize(namespace, "cuda:0")

    for _ in range(3):
        (seconds,) = watch.time([step], flush=False)
        assert 300e-6 <= seconds < 3e-3
    assert not watch.held


@pytest.mark.gpu
@on_gpu
def test_the_sm_clock_is_told(namespace: str) -> None:
    watch, spin = gpu_watch(namespace), spinner()
    for _ in range(5):
        watch.time([lambda: spin(1_000_000)], flush=False)
    assert watch.sm_hz is not None
    assert 0.2e9 < watch.sm_hz < 4e9
    assert watch.pooled_sm_hz() == pytest.approx(watch.sm_hz, rel=0.05)
    stamped = np.count_nonzero(watch._clock._samples)
    assert stamped >= 0.9 * cuda.processors("cuda:0")


@pytest.mark.gpu
@on_gpu
def test_a_held_block_runs_after_its_end(namespace: str) -> None:
    watch = gpu_watch(namespace)
    with namespaces.on(namespace, "cuda:0"):
        x = namespaces.from_numpy(np.ones(1000), namespace, "cuda:0", "float32")
        x *= 1  # loads the kernels that the block launches
        y = x + 0
        namespaces.synchronize(namespace, "cuda:0")
        with watch.hold():
            x *= -1
            y = x + 0
            x *= 3
        assert (namespaces.to_numpy(y) == -1).all()
    assert watch.held
