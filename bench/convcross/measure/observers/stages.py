"""Where the time of a run goes: seconds of each of its named stages.

A staged run is slower than a timed one: on CUDA the device is synchronised at both ends of each
stage, so that a stage has its launch latency in it and nothing overlaps. Shares are what it tells.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator

from convkernels import namespaces
from convkernels.toolbox.stages import listening

RUNS, FEWEST = 9, 3
SECONDS = 0.02  # for the runs, and for the loads: of long ones fewer tell the shares as well
KERNEL = "kernel"  # the load: flip, transform; paid once a filter
REST = "rest"  # of a run, in no stage of it


class _StageTimer:
    """A listener that adds up the seconds of each stage, those of stages inside it not counted."""

    def __init__(self, synchronize: Callable[[], None]) -> None:
        self._synchronize = synchronize
        self._open: list[tuple[str, float]] = []  # stages begun, and when their own time went on
        self.seconds: dict[str, float] = {}

    def begin(self, name: str) -> None:
        now = self._now()
        if self._open:
            self._add(*self._open[-1], now)
        self._open.append((name, now))

    def end(self, name: str) -> None:
        now = self._now()
        self._add(*self._open.pop(), now)
        if self._open:
            self._open[-1] = (self._open[-1][0], now)

    def _now(self) -> float:
        self._synchronize()
        return time.perf_counter()

    def _add(self, name: str, since: float, now: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + now - since


def stages(
    run: Callable[[], object], load: Callable[[], object] | None, namespace: str, device: str
) -> dict[str, list[float]]:
    """Seconds of each stage of RUNS runs, by ``perf_counter`` around synchronised stages.

    Parameters
    ----------
    run, load : of a contender that is loaded, called as they are; not a captured graph, whose
        replay names no stage

    Returns
    -------
    dict
        Stage → RUNS values, as many as SECONDS allow and FEWEST at least, in the order in which the
        stages end; a stage that comes several times in a run is summed, and what no stage names is
        "rest". "kernel" is the load, where there is one. Empty where the contender names no stage.
    """
    synchronize = functools.partial(namespaces.synchronize, namespace, device)
    found: dict[str, list[float]] = {}
    for _ in _turns():
        watch = _StageTimer(synchronize)
        with listening(watch):
            watch.begin(REST)
            run()
            watch.end(REST)
        if set(watch.seconds) == {REST}:
            return {}
        for name, seconds in watch.seconds.items():
            found.setdefault(name, []).append(seconds)
    found[REST] = found.pop(REST)  # the last of a run
    if load is not None:
        found[KERNEL] = []
        for _ in _turns():
            synchronize()
            begin = time.perf_counter()
            load()
            synchronize()
            found[KERNEL].append(time.perf_counter() - begin)
    return found


def _turns() -> Iterator[int]:
    end = time.perf_counter() + SECONDS
    for turn in range(RUNS):
        if turn >= FEWEST and time.perf_counter() > end:
            return
        yield turn
