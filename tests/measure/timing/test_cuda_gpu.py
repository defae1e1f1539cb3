"""The CUDA stopwatch on a GPU: kernels of known length, hidden launches, the clock."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import pytest

from convcross.measure.timing import cuda as cuda_clock
from convkernels import namespaces
from convkernels.cuda import kernel as cuda

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
    end, before = time.monotonic() + 5, 0.0
    while time.monotonic() < end:  # an idle card begins at 345 MHz
        watch.time([lambda: spin(20_000_000)], flush=False)
        if watch.sm_hz is not None and watch.sm_hz <= 1.01 * before:
            break
        before = watch.sm_hz or 0.0
    watch.reset_clock()
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
