"""Horizontal bands of rows, one a thread, for libraries that use one thread and release the GIL."""

from __future__ import annotations

import concurrent.futures
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from convkernels.toolbox import threads

_pools: dict[int, ThreadPoolExecutor] = {}  # by process: after a fork the threads are not there


def _pool() -> ThreadPoolExecutor:
    process = os.getpid()
    if process not in _pools:  # an executor without a task has no threads yet: one may be dropped
        _pools.setdefault(process, ThreadPoolExecutor(threads.usable(), "bands"))
    return _pools[process]


def in_bands(work: Callable[[int, int], None], rows: int, bands: int) -> None:
    """``work(first, last)`` once for each band of rows, the first band in the caller's thread.

    Several threads may be in here at once. Raises what the work of any band raises, after all.
    """
    cuts = [rows * band // bands for band in range(bands + 1)]
    first, *others = itertools.pairwise(cuts)
    started = [_pool().submit(work, *ends) for ends in others]
    try:
        work(*first)
    finally:
        concurrent.futures.wait(started)
    for other in started:
        other.result()
