"""CUDA events on a contender's stream, with the launch latency hidden and the SM clock beside them.

A sample is queued as hold, flush, stamp, event, step, event, step, event, …, stamp; then the hold
is released and the device runs it without waiting for the host. Both libraries use the device's
primary context, so CuPy launches the stopwatch's kernels and events on torch's stream as on its
own.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convcross.measure.timing.clock import Step, check_clock, gc_disabled
from convkernels import namespaces
from convkernels.cuda import kernel as cuda

LIMIT_NS = 50_000_000  # a hold gives up after it
STALLS = 2  # holds that give up one after the other: one may be a stall of the host's
ROWS = 1024  # SM numbers told apart; the largest GPU of 2026 has 192 SMs
PRECISION = 0.005  # to which a clock is told
# Of the device's time that its host took to launch: above it the device kept up with each launch,
# hence waited for most. Under it a queue of launches was left when the host was done.
KEPT_UP = 0.99

Words = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int64]


class CudaStopwatch:
    """CUDA events on the current stream of torch or CuPy.

    The first sample is not held: what it runs may load modules, which a hold would block. A sample
    whose hold gives up is measured again. Where that gives up too, since a step waits for the
    device or more than about a thousand launches do not fit its queue, it is measured again
    without, and from then on none is held. Of those it is told
    whether the device waited for the host (``launch_bound``).

    Raises
    ------
    RuntimeError
        Without CuPy.
    """

    def __init__(self, namespace: str, device: str) -> None:
        if reason := namespaces.missing("cupy"):
            raise RuntimeError(f"{namespace} on {device} is timed through CuPy: {reason}")
        import cupy

        self.namespace, self.device = namespace, device
        self.held = True
        self._cupy = cupy
        self._card = cupy.cuda.Device(int(device.partition(":")[2] or 0))
        self._ran = False
        self._stalls = 0  # holds that gave up, one after the other
        self._waited: list[bool] = []  # of each sample: the device, for the host
        with self._card:
            self._scrub = scrub(device)
            self._gate = gate(device)
            self._clock = SMClock(device)
        with self._on_stream() as stream:  # each of them once, so that none loads in a hold
            self._gate.close()
            self._gate.release()
            self._flush()
            self._clock.stamp(0)
            stream.synchronize()

    @property
    def sm_hz(self) -> float | None:
        return self._clock.hz

    preempted = False  # the device does not wait for the host: see ``held``

    @property
    def launch_bound(self) -> bool:
        return 2 * sum(self._waited) > len(self._waited)

    def watch(self, threads: Sequence[int]) -> None:
        pass

    def reset_clock(self) -> None:
        self._clock.reset()
        self._waited.clear()

    def pooled_sm_hz(self) -> float | None:
        return self._clock.pooled_hz()

    def time(self, steps: Sequence[Step], *, flush: bool) -> list[float]:
        hold = self.held and self._ran
        times, launching = self._sample(steps, flush, hold)
        while hold and self._stalls:
            hold = self.held
            times, launching = self._sample(steps, flush, hold)
        self._ran = True
        self._clock.read()
        self._waited.append(not hold and launching > KEPT_UP * sum(times))
        return check_clock(times)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """A block in which the device starts nothing that is put on the stream.

        Null where ``held`` is False, as it is after STALLS blocks whose holds gave up.
        """
        if not self.held:
            yield
            return
        with self._on_stream():
            self._gate.close()
        try:
            yield
        finally:
            self._stalls = 0 if self._gate.release() else self._stalls + 1
            self.held = self._stalls < STALLS

    def _sample(self, steps: Sequence[Step], flush: bool, hold: bool) -> tuple[list[float], float]:
        """Seconds of each step, and those that the host took to launch them all."""
        events = self._cupy.cuda
        with self._on_stream() as stream, gc_disabled():
            marks = [events.Event() for _ in range(len(steps) + 1)]
            self._card.synchronize()
            self._clock.clear()
            try:
                with self.hold() if hold else contextlib.nullcontext():
                    if flush:
                        self._flush()
                    self._clock.stamp(0)
                    marks[0].record(stream)
                    begin = time.perf_counter()
                    for step, mark in zip(steps, marks[1:], strict=True):
                        step()
                        mark.record(stream)
                    launching = time.perf_counter() - begin
                    self._clock.stamp(1)
            finally:  # nothing of a sample that failed is left to run
                stream.synchronize()
            milliseconds = (events.get_elapsed_time(*pair) for pair in itertools.pairwise(marks))
            return [value * 1e-3 for value in milliseconds], launching

    @contextlib.contextmanager
    def _on_stream(self) -> Iterator[Any]:
        """CuPy's launches and events go to the stream on which the library runs its own."""
        with namespaces.on(self.namespace, self.device), self._card:
            if self.namespace == "cupy":
                yield self._cupy.cuda.get_current_stream()
                return
            import torch

            theirs = cuda.Handle(torch.cuda.current_stream(self.device).cuda_stream)
            with self._cupy.cuda.Stream.from_external(theirs) as stream:
                yield stream

    def _flush(self) -> None:
        memory, size = self._scrub
        memory.memset_async(0, size)


class Gate:
    """Holds the current stream from ``close`` to ``release``."""

    def __init__(self, device: str) -> None:
        self._kernel = cuda.on_gpu(source("hold"), device)
        self._words = mapped(2)
        self._ticket = 0

    def close(self) -> None:
        self._ticket += 1
        released = self._words.ctypes.data
        arguments = (released, released + self._words.itemsize, self._ticket, LIMIT_NS)
        self._kernel((1,), (1,), tuple(map(np.uint64, arguments)))

    def release(self) -> bool:
        """Let go what is queued; whether it was held until now.

        Were the hold to give up just after the question, all would be queued already.
        """
        self._words[0] = self._ticket
        return bool(self._words[1] != self._ticket)


@functools.cache
def gate(device: str) -> Gate:
    """The device's only one: its words outlive every hold that may still look at them."""
    return Gate(device)


class SMClock:
    """SM clock between two stamps, from the device's own counters."""

    def __init__(self, device: str) -> None:
        self.hz: float | None = None
        self._resolution = resolution(device)
        self._kernel = cuda.on_gpu(source("stamp"), device)
        self._grid = (2 * cuda.processors(device),)
        self._stamps = mapped(2 * ROWS * 2).reshape(2, ROWS, 2)  # side, SM, (cycles, ns)
        self.reset()

    def reset(self) -> None:
        self._elapsed = np.zeros((ROWS, 2), np.int64)
        self._samples = np.zeros(ROWS, np.int64)

    def clear(self) -> None:
        """Forget both stamps. The device must be idle."""
        self._stamps[...] = 0

    def stamp(self, side: int) -> None:
        """Stamp the beginning (0) or the end (1) on the current stream."""
        arguments = (np.uint64(self._stamps[side].ctypes.data), np.uint32(ROWS))
        self._kernel(self._grid, (1,), arguments)

    def read(self) -> None:
        """Take in the last two stamps, of the SMs that have both. The device must be idle."""
        begin, end = self._stamps.astype(np.int64)
        elapsed = end - begin
        stamped = np.all((begin > 0) & (elapsed >= 0), axis=1)  # no stamp: 0
        elapsed[~stamped] = 0  # but not where no time went by: dropping those would slow the pool
        self._elapsed += elapsed
        self._samples += stamped
        self.hz = hertz(elapsed, stamped.astype(np.int64), self._resolution)

    def pooled_hz(self) -> float | None:
        return hertz(self._elapsed, self._samples, self._resolution)


def hertz(elapsed: Counts, samples: Counts, resolution: float) -> float | None:
    """Median over the SMs of cycles per time, in Hz.

    Parameters
    ----------
    elapsed : ``(SMs, 2)``, cycles and nanoseconds, added up over samples
    samples : ``(SMs,)``, how many; their errors are independent, at most one resolution each
    resolution : of the timer, in nanoseconds

    Returns
    -------
    float | None
        None where the time of no SM is long enough for PRECISION.
    """
    cycles, time = elapsed[:, 0], elapsed[:, 1]
    enough = (samples > 0) & (resolution * np.sqrt(samples) <= PRECISION * time)
    if not enough.any():
        return None
    return float(np.median(cycles[enough] / time[enough])) * 1e9


@functools.cache
def resolution(device: str) -> float:
    """Step of the device's %globaltimer in nanoseconds."""
    import cupy

    step = mapped(1)
    with cupy.cuda.Device(int(device.partition(":")[2] or 0)) as card:
        cuda.on_gpu(source("tick"), device)((1,), (1,), (np.uint64(step.ctypes.data),))
        card.synchronize()
    return float(step[0])


@functools.cache
def scrub(device: str) -> tuple[Any, int]:
    """Memory of twice the L2 that all stopwatches of a device share, and its size in bytes."""
    import cupy

    with cupy.cuda.Device(int(device.partition(":")[2] or 0)) as card:
        size = 2 * int(card.attributes["L2CacheSize"])
        return cupy.cuda.alloc(size), size


def mapped(count: int) -> Words:
    """Zeros in pinned host memory, which a device of today reads and writes at the same address."""
    import cupy

    words = np.frombuffer(cupy.cuda.alloc_pinned_memory(8 * count), np.uint64, count)
    words[...] = 0
    return words


@functools.cache
def source(name: str) -> cuda.Kernel:
    """A kernel of the folder cuda/. Raises FileNotFoundError."""
    folder = Path(__file__).parent / "kernels"
    text = "\n".join((folder / file).read_text("utf-8") for file in ("timer.cuh", f"{name}.cu"))
    return cuda.Kernel(text, name, shared_bytes=0)
