"""What a stopwatch is, the host's one, and which one a contender is timed by.

flushed: the caches hold none of the operands. warm: as the run before left them. wall: the host's
clock around a call and a synchronisation, launches included. graph: as warm, the steps being
replays of CUDA graphs (``graphs``).
"""

from __future__ import annotations

import contextlib
import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from convkernels import namespaces

Step = Callable[[], object]


class ClockError(RuntimeError):
    """A clock told a time that no step can have taken."""


class Stopwatch(Protocol):
    """Times steps that follow one another on one device."""

    @property
    def held(self) -> bool:
        """The launch latency is hidden: the device waits until all steps of a sample are queued."""

    @property
    def sm_hz(self) -> float | None:
        """SM clock during the last sample, in Hz; None where it cannot be told to 0.5 %."""

    def time(self, steps: Sequence[Step], *, flush: bool) -> list[float]:
        """Seconds of each step. Flushing comes before the first and is not in its time.

        A step shorter than the clock's resolution may take 0 s. Raises ClockError on a time that is
        negative or not finite.
        """

    def hold(self) -> contextlib.AbstractContextManager[None]:
        """A block in which the device starts nothing: what it is given waits until the end."""

    def reset_clock(self) -> None:
        """Begin a new pool of samples for ``pooled_sm_hz``."""

    def pooled_sm_hz(self) -> float | None:
        """SM clock over all samples since ``reset_clock``: short ones tell it together."""


class HostStopwatch:
    """``perf_counter_ns`` around each step, with the device synchronised."""

    held = False
    sm_hz: float | None = None

    def __init__(self, namespace: str, device: str) -> None:
        self.namespace, self.device = namespace, device
        self._scrub: Any = None

    def time(self, steps: Sequence[Step], *, flush: bool) -> list[float]:
        if flush:
            self._flush()
        clock, on_card, times = time.perf_counter_ns, self.device != "cpu", []
        with uncollected():
            for step in steps:  # nothing but the step between the two looks at the clock
                begin = clock()
                kept = step()  # freed after the second: the result is the caller's to free
                if on_card:
                    namespaces.synchronize(self.namespace, self.device)
                end = clock()
                times.append((end - begin) * 1e-9)
                del kept
        return forward(times)

    def hold(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def reset_clock(self) -> None:
        pass

    def pooled_sm_hz(self) -> None:
        return None

    def _flush(self) -> None:
        if self._scrub is None:
            self._scrub = np.ones(2 * last_level_cache() // 8)
        self._scrub += 1.0


def stopwatch(namespace: str, device: str, regime: str) -> Stopwatch:
    """The stopwatch of a contender's library and device."""
    if device == "cpu" or regime == "wall":
        return HostStopwatch(namespace, device)
    from convcross.cuda_clock import CudaStopwatch

    return CudaStopwatch(namespace, device)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """A block in which Python collects no garbage."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def forward(times: list[float]) -> list[float]:
    """The times, none of them negative or not finite. Raises ClockError."""
    for seconds in times:
        if seconds < 0:
            raise ClockError(f"the clock went back by {-seconds:.3g} s")
        if not math.isfinite(seconds):
            raise ClockError(f"the clock tells {seconds} s")
    return times


def last_level_cache() -> int:
    """Bytes of the largest data cache that the system names; 32 MiB where it names none."""
    from pathlib import Path

    sizes = [32 << 20]
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    found = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        if text[-1:] in units and text[:-1].isdigit():
            found.append(int(text[:-1]) * units[text[-1]])
    return max(found or sizes)
