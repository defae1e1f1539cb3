"""The host's clock around each step."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from convcross.machine.caches import last_level_cache
from convcross.measure.timing.clock import Step, check_clock, gc_disabled
from convcross.measure.timing.waits import Waits
from convkernels import namespaces


class HostStopwatch:
    """``perf_counter_ns`` around each step, with the device synchronised."""

    held = launch_bound = False  # launches are part of what the host's clock tells
    sm_hz: float | None = None

    def __init__(self, namespace: str, device: str) -> None:
        self.namespace, self.device = namespace, device
        self.preempted = False
        self._scrub: Any = None
        self._waits = Waits()

    def watch(self, threads: Sequence[int]) -> None:
        self._waits = Waits(threads)

    def time(self, steps: Sequence[Step], *, flush: bool) -> list[float]:
        if flush:
            self._flush()
        clock, on_card, times = time.perf_counter_ns, self.device != "cpu", []
        before = self._waits.look()
        with gc_disabled():
            for step in steps:  # nothing but the step between the two looks at the clock
                begin = clock()
                kept = step()  # freed after the second: the result is the caller's to free
                if on_card:
                    namespaces.synchronize(self.namespace, self.device)
                end = clock()
                times.append((end - begin) * 1e-9)
                del kept
        after = self._waits.look()
        self.preempted = self._waits.preempted(before, after, sum(times))
        return check_clock(times)

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
