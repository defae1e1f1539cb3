"""What a stopwatch is, and what every one of them needs.

flushed: the caches hold none of the operands. warm: as the run before left them. wall: the host's
clock around a call and a synchronisation, launches included. graph: as warm, the steps being
replays of CUDA graphs (``graphs``).
"""

from __future__ import annotations

import contextlib
import gc
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

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

    @property
    def preempted(self) -> bool:
        """The host waited for a core during the last sample (``waits``)."""

    @property
    def launch_bound(self) -> bool:
        """The device waited for the host's launches in most samples since ``reset_clock``, so that
        their times are not the device's."""

    def watch(self, threads: Sequence[int]) -> None:
        """The threads that work for what is timed, by their native ids."""

    def time(self, steps: Sequence[Step], *, flush: bool) -> list[float]:
        """Seconds of each step. Flushing comes before the first and is not in its time.

        A step shorter than the clock's resolution may take 0 s. Raises ClockError on a time that is
        negative or not finite.
        """

    def hold(self) -> contextlib.AbstractContextManager[None]:
        """A block in which the device starts nothing: what it is given waits until the end."""

    def reset_clock(self) -> None:
        """Begin a new pool of samples for ``pooled_sm_hz`` and ``launch_bound``."""

    def pooled_sm_hz(self) -> float | None:
        """SM clock over all samples since ``reset_clock``: short ones tell it together."""


@contextlib.contextmanager
def gc_disabled() -> Iterator[None]:
    """A block in which Python collects no garbage."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def check_clock(times: list[float]) -> list[float]:
    """The times, none of them negative or not finite. Raises ClockError."""
    for seconds in times:
        if seconds < 0:
            raise ClockError(f"the clock went back by {-seconds:.3g} s")
        if not math.isfinite(seconds):
            raise ClockError(f"the clock tells {seconds} s")
    return times
