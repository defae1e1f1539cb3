"""How one sample is timed, on a CPU and on CUDA, in each regime.

flushed: the caches hold none of the operands. warm: as the run before left them. wall: the host's
clock around a call and a synchronisation, launches included.
"""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from convkernels import namespaces

Step = Callable[[], object]


class Stopwatch(Protocol):
    """Times steps that follow one another on one device."""

    def time(self, steps: Sequence[Step], *, flush: bool) -> list[float]:
        """Seconds of each step. Flushing comes before the first and is not in its time."""


class HostStopwatch:
    """``perf_counter_ns`` around each step, with the device synchronised."""

    def __init__(self, namespace: str, device: str) -> None:
        self.namespace, self.device = namespace, device
        self._scrub: Any = None

    def time(self, steps: Sequence[Step], *, flush: bool) -> list[float]:
        if flush:
            self._flush()
        collecting = gc.isenabled()
        gc.disable()
        try:
            marks = [time.perf_counter_ns()]
            for step in steps:
                kept = step()  # freed after the mark: the result is the caller's to free
                namespaces.synchronize(self.namespace, self.device)
                marks.append(time.perf_counter_ns())
                del kept
        finally:
            if collecting:
                gc.enable()
        return [(end - begin) * 1e-9 for begin, end in itertools.pairwise(marks)]

    def _flush(self) -> None:
        if self._scrub is None:
            self._scrub = np.ones(2 * last_level_cache() // 8)
        self._scrub += 1.0


class TorchStopwatch:
    """CUDA events on torch's current stream."""

    def __init__(self, device: str) -> None:
        import torch

        self.torch, self.device = torch, torch.device(device)
        size = torch.cuda.get_device_properties(self.device).L2_cache_size
        self._scrub = torch.empty(2 * size, dtype=torch.int8, device=self.device)

    def time(self, steps: Sequence[Step], *, flush: bool) -> list[float]:
        marks = [self.torch.cuda.Event(enable_timing=True) for _ in range(len(steps) + 1)]
        with self.torch.cuda.device(self.device):
            self.torch.cuda.synchronize()
            if flush:
                self._scrub.zero_()
            marks[0].record()
            for step, mark in zip(steps, marks[1:], strict=True):
                step()
                mark.record()
            marks[-1].synchronize()
        pairs = itertools.pairwise(marks)
        return [begin.elapsed_time(end) * 1e-3 for begin, end in pairs]


class CuPyStopwatch:
    """CUDA events on CuPy's current stream."""

    def __init__(self, device: str) -> None:
        import cupy

        self.cupy = cupy
        self.device = cupy.cuda.Device(int(device.partition(":")[2]))
        with self.device:
            self._scrub = cupy.empty(2 * self.device.attributes["L2CacheSize"], dtype=cupy.int8)

    def time(self, steps: Sequence[Step], *, flush: bool) -> list[float]:
        with self.device:
            marks = [self.cupy.cuda.Event() for _ in range(len(steps) + 1)]
            self.device.synchronize()
            if flush:
                self._scrub.fill(0)
            marks[0].record()
            for step, mark in zip(steps, marks[1:], strict=True):
                step()
                mark.record()
            marks[-1].synchronize()
            elapsed = self.cupy.cuda.get_elapsed_time
            return [elapsed(*pair) * 1e-3 for pair in itertools.pairwise(marks)]


def stopwatch(namespace: str, device: str, regime: str) -> Stopwatch:
    """The stopwatch of a contender's library and device."""
    if device == "cpu" or regime == "wall":
        return HostStopwatch(namespace, device)
    return CuPyStopwatch(device) if namespace == "cupy" else TorchStopwatch(device)


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
