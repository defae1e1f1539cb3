"""How long this process waited for a core while something was timed, by the kernel's own account.

A thread that is ready and gets no core waits: another process is on it. Linux counts that for each
thread (``/proc/<pid>/task/<tid>/schedstat``: ns on a core, ns waited, slices;
https://docs.kernel.org/scheduler/sched-stats.html), and the time that a hypervisor has given to
others (``steal`` of ``/proc/stat``, proc(5)). Elsewhere involuntary switches are counted
(``getrusage(2)``), and each is taken for a scheduler's slice.

Whether a sample counts as preempted is decided by the waits alone, never by its time, so that the
samples that are kept are not chosen for being fast.
"""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SHARE = 0.01  # of a sample's time: who waited longer was preempted
# A thread that has slept waits until its core is awake, which is the contender's own time: up to
# 0.4 ms on virtual machines, where a slice of another process lasts from 1.5 ms on.
WAKING = 0.5e-3  # s, for each time that it woke
SLICE = 3e-3  # s, that a switch is taken to cost where waits are not told
WORKING = 0.05  # of the time on a core of the busiest thread: less, and it does not take part
MOST = 16  # threads that are watched, the busiest: more take longer to read than a short sample
CHEAP = 50e-6  # s for which steal is read: with many cores the kernel takes milliseconds

_TASKS = Path("/proc/self/task")


class Account(NamedTuple):
    """Of one thread since it began: seconds on a core, seconds waited for one, slices."""

    running: float
    waited: float
    slices: int


def accounts() -> dict[int, Account]:
    """Of each thread of this process, by its native id; {} where the kernel does not tell."""
    try:
        threads = [int(name) for name in os.listdir(_TASKS)]
    except OSError:
        return {}
    found = {}
    for thread in threads:
        if (file := _opened(thread)) is not None:
            found[thread] = _account(file)
            os.close(file)
    return {thread: account for thread, account in found.items() if account is not None}


def _opened(thread: int) -> int | None:
    """The number of a thread's open file; None where it has ended, or the kernel has none."""
    with contextlib.suppress(OSError):
        return os.open(_TASKS / str(thread) / "schedstat", os.O_RDONLY | os.O_CLOEXEC)
    return None


def _account(file: int) -> Account | None:
    """None of a thread that has ended."""
    with contextlib.suppress(OSError, ValueError):
        running, waited, slices = os.pread(file, 64, 0).split()
        return Account(int(running) * 1e-9, int(waited) * 1e-9, int(slices))
    return None


def working(before: Mapping[int, Account], after: Mapping[int, Account]) -> list[int]:
    """The threads that worked between two looks at all accounts.

    Not those of another contender that still spin for some milliseconds, as OpenMP's do: whether
    they get a core does not matter here.
    """
    spent = {
        thread: account.running - (before[thread].running if thread in before else 0.0)
        for thread, account in after.items()
    }
    busiest = max(spent.values(), default=0.0)
    taking_part = [thread for thread, seconds in spent.items() if seconds > WORKING * busiest]
    return sorted(taking_part, key=lambda thread: -spent[thread])[:MOST]


@functools.cache
def _stat() -> int | None:
    """The number of the open ``/proc/stat``, where reading it is cheap."""
    with contextlib.suppress(OSError, ValueError):
        file = os.open("/proc/stat", os.O_RDONLY | os.O_CLOEXEC)
        begin = time.perf_counter()
        _steal(file)
        if time.perf_counter() - begin < CHEAP:
            return file
        os.close(file)
    return None


def _steal(file: int | None) -> float:
    """Seconds that others were given of a core, on the average of the cores."""
    if file is None:
        return 0.0
    with contextlib.suppress(OSError, ValueError, IndexError):  # it was closed by a contender
        ticks = int(os.pread(file, 160, 0).split()[8])
        return ticks / os.sysconf("SC_CLK_TCK") / (os.cpu_count() or 1)
    return 0.0


@dataclass(frozen=True)
class Look:
    """What the watched threads have waited so far.

    Attributes
    ----------
    waited : seconds of each thread
    woken : how often each came onto a core after it had slept, or may have
    switches : involuntary, of the whole process
    stolen : seconds of a core, by a hypervisor
    """

    waited: tuple[float, ...]
    woken: tuple[int, ...]
    switches: int
    stolen: float


class Waits:
    """The waits of the threads that work for a contender.

    Parameters
    ----------
    threads : native ids
    """

    def __init__(self, threads: Iterable[int] = ()) -> None:
        self._own = threading.get_native_id()
        opened = {thread: _opened(thread) for thread in threads}
        # Open from here on: opening one takes 10 µs, reading it 2.
        self._files = {thread: file for thread, file in opened.items() if file is not None}
        weakref.finalize(self, _close, list(self._files.values()))

    def look(self) -> Look:
        """As they stand now, for the thread that calls and those watched; 2 µs a thread."""
        switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        stolen = _steal(_stat())
        waited, woken = [], []
        for thread, file in self._files.items():
            account = _account(file) or Account(0.0, 0.0, 0)
            waited.append(account.waited)
            # The calling thread's sleeps are known: where it did not sleep, any wait counts.
            woken.append(
                resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
                if thread == self._own
                else account.slices
            )
        return Look(tuple(waited), tuple(woken), switches, stolen)

    def preempted(self, before: Look, after: Look, seconds: float) -> bool:
        """Whether a sample of so many seconds between two looks waited for a core."""
        if after.stolen - before.stolen > SHARE * seconds:
            return True
        if not self._files:
            return (after.switches - before.switches) * SLICE > SHARE * seconds
        waited = sum(b - a for a, b in zip(before.waited, after.waited, strict=True))
        woken = sum(b - a for a, b in zip(before.woken, after.woken, strict=True))
        return waited > SHARE * seconds + WAKING * woken


def _close(files: Iterable[int]) -> None:
    for file in files:
        with contextlib.suppress(OSError):  # a contender has closed what it did not open
            os.close(file)
