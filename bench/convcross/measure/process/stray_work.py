"""Threads and processes that a contender leaves at work when it returns.

They would take their share of what is timed next. One that only waits, as those of a pool do,
disturbs nobody.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

Running = frozenset[tuple[str, int]]  # ("thread", its native id) or ("process", its pid)

WINDOW, WINDOWS = 0.2, 3  # seconds, 20 ticks of the kernel's clock; what ends within all is none
BUSY = 0.1  # of a core, in each window: on a full machine an endless loop gets no more


def running() -> Running:
    """The threads of Python and the children of this process."""
    threads = {("thread", thread.native_id) for thread in threading.enumerate() if thread.native_id}
    return frozenset(threads | {("process", pid) for pid in _children()})


def _children() -> Iterable[int]:
    """Of all threads, as the kernel lists them: psutil would read every process of the machine."""
    lists = list(Path("/proc/self/task").glob("*/children"))
    if not lists:
        return [child.pid for child in psutil.Process().children()]
    pids = []
    for folder in lists:
        with contextlib.suppress(OSError):  # the thread has ended since
            pids += folder.read_text().split()
    return map(int, pids)


def busy(left: Running) -> str | None:
    """What goes on working, in words; None where nothing does, or only for a moment."""
    reason = None
    for _ in range(WINDOWS if left else 0):
        before, begin = _seconds(left), time.perf_counter()
        time.sleep(WINDOW)
        after, took = _seconds(left), time.perf_counter() - begin
        shares = {
            task: (after[task] - before[task]) / took for task in after.keys() & before.keys()
        }
        kind, share = max(
            ((kind, share) for (kind, _), share in shares.items()),
            key=lambda item: item[1],
            default=("", 0.0),
        )
        if share < BUSY:
            return None
        reason = f"it left a {kind} running that takes {share:.0%} of a core"
    return reason


def _seconds(left: Running) -> dict[tuple[str, int], float]:
    """CPU seconds of those that are still there."""
    found = {}
    with contextlib.suppress(psutil.Error):
        times = {
            thread.id: thread.user_time + thread.system_time
            for thread in psutil.Process().threads()
        }
        found.update({task: times[task[1]] for task in left if task[1] in times})
    for kind, pid in left:
        if kind == "process":
            with contextlib.suppress(psutil.Error):
                spent = psutil.Process(pid).cpu_times()
                found[kind, pid] = spent.user + spent.system
    return found
