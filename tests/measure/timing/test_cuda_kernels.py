"""The kernels of the CUDA stopwatch: compiled for sm_90, and run in the emulator."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from convcross.measure.timing import cuda as cuda_clock
from convkernels.cuda import emulator, nvrtc

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


@pytest.mark.parametrize("name", ["hold", "stamp", "tick"])
@pytest.mark.parametrize("compiler", nvrtc.COMPILERS)
def test_kernels_compile_for_sm_90(compiler: str, name: str) -> None:
    if reason := nvrtc.missing(compiler):
        pytest.skip(reason)
    found = nvrtc.resources(cuda_clock.source(name), compiler)
    assert found.spilled_bytes == found.stack_bytes == 0
