"""How many CPU threads suit a contender: found by timing it, before it is measured.

A library that is handed all cores uses them, also where waking them costs more than they give:
scipy.fft's transforms of up to N = 512 are 1.2 to 3 times slower with two threads than with one.
A user would find that out and set the number, so a contender is timed with the best of 1, 2, 4, …
and all that the sweep allows. What suits it on an image suits it there with other kernels whose
runs are as long: an FFT is asked once an image size, not once a kernel size. All suits a longer
run that suited a shorter one, and one a shorter run that suited a longer one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterator

from convcross.machine import threads

LONG = 0.02  # seconds of a run in which the waking of threads is not seen
FIRST = 10 * LONG  # of a plan and a first run, which may load libraries
RUNS, FEWEST = 5, 2  # of each count, in turn: the fastest of them counts
CLEAR = 1.5  # times as fast as with any other count: not asked for more than the FEWEST
SECONDS = 0.5e-3  # that the runs of one turn take at least
GAIN = 1.03  # that more threads must be worth
ALIKE = 1.5  # runs whose times differ by less take the same count
ELSEWHERE = 0.01  # of a run's time, in other threads: less is none of the run's own work
TICKS = 0.015  # seconds in which the kernel's account of threads that go on running is renewed
STEADY = 5e-3  # seconds of a run in which it does not matter what ran before
SHORT = 1e-3  # seconds of a run that timing tells of sooner than these accounts

_chosen: dict[Hashable, list[tuple[float, int]]] = {}  # in this process: seconds of a run, count


def counts(most: int) -> Iterator[int]:
    """1, 2, 4, … up to ``most``."""
    count = 1
    while count <= most:
        yield count
        count *= 2


def best(made: Callable[[], Callable[[], object]], most: int, like: Hashable) -> int:
    """The count of threads with which the contender is fastest.

    Parameters
    ----------
    made : plans a new instance for the threads that are given, and returns its run
    most : threads that it may have
    like : the contender and all of its problem but the kernel's size
    """
    if most == 1:
        return 1
    runs = {most: made()}
    runs[most]()
    run_seconds = _seconds(runs[most], 1)
    if run_seconds > LONG:
        return most
    known = _chosen.setdefault((like, most), [])
    for seconds_then, count in known:
        longer, shorter = run_seconds / seconds_then, seconds_then / run_seconds
        alike = max(longer, shorter) < ALIKE
        if alike or (count == most and longer > 1) or (count == 1 and shorter > 1):
            return count
    if run_seconds > SHORT and _alone(runs[most], math.ceil(TICKS / run_seconds)):
        known.append((run_seconds, 1))
        return 1
    for count in counts(most - 1):
        with threads.given(count):
            runs[count] = made()
    seconds = dict.fromkeys(runs, float("inf"))
    repeats = max(1, int(SECONDS / max(run_seconds, 1e-7)))
    for turn in range(RUNS):
        fastest, *others = sorted(seconds.values())
        if turn >= FEWEST and CLEAR * fastest < others[0]:
            break
        for count, run in runs.items():
            with threads.given(count):
                if turn == 0 or run_seconds < STEADY:
                    run()
                seconds[count] = min(seconds[count], _seconds(run, repeats))
    chosen = 1
    for count in sorted(runs):
        if GAIN * seconds[count] < seconds[chosen]:
            chosen = count
    known.append((run_seconds, chosen))
    return chosen


def _alone(run: Callable[[], object], repeats: int) -> bool:
    """Whether so many runs are the work of the thread that calls them, and of no other.

    False where that is not known: where it waited, for a child process or another tenant's work.
    """
    clocks = time.perf_counter, time.thread_time, time.process_time
    begin = [clock() for clock in clocks]
    for _ in range(repeats):
        run()
    wall, own, everyone = (clock() - since for clock, since in zip(clocks, begin, strict=True))
    return own > wall / 2 and everyone - own < ELSEWHERE * wall


def _seconds(run: Callable[[], object], repeats: int) -> float:
    """Of one of so many runs."""
    begin = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - begin) / repeats
