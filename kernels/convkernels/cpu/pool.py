"""Threads of our own for kernels that release the interpreter's lock.

Not Numba's threading layers: those share one set of threads that two callers must not use at once,
abort or lose the work of a forked child, and spin on after a call, on a core that the next
contender needs. These sleep, serve any number of callers at once, and are made anew after a fork.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

from convkernels.toolbox import threads

GRAIN = 2e6  # FLOP that are worth another thread: some 50 µs


class _Job:
    """Pieces of work, taken one at a time by whoever is free."""

    def __init__(self, work: Callable[[int], None], pieces: int) -> None:
        self.work, self.pieces = work, pieces
        self.next = itertools.count()  # an increment is one step of the interpreter
        self.left, self.lock = pieces, threading.Lock()
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()

    def help(self) -> None:
        """Take pieces until none is left to take."""
        while (piece := next(self.next)) < self.pieces:
            try:
                if self.error is None:
                    self.work(piece)
            except BaseException as error:
                self.error = error
            with self.lock:
                self.left -= 1
                last = self.left == 0
            if last:
                self.done.release()


class _Pool:
    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self.workers, self.lock = 0, threading.Lock()

    def grow(self, workers: int) -> None:
        with self.lock:
            for _ in range(self.workers, workers):
                threading.Thread(target=self.serve, name="convkernels", daemon=True).start()
                self.workers += 1

    def serve(self) -> None:
        while True:
            self.jobs.get().help()


_pool = _Pool()


def _anew() -> None:
    """Of a forked child, which has none of its parent's threads."""
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_anew)


def worth(flops: float) -> int:
    """Threads that so much work is worth, of those that it may have."""
    return max(1, min(threads.count(), 1 + int(flops / GRAIN)))


def share(work: Callable[[int], None], pieces: int, workers: int) -> None:
    """``work(piece)`` for each piece below ``pieces``, by the caller and ``workers`` − 1 threads.

    Which thread takes which piece is left open. Any number of callers may share at once. Raises
    what a piece raised first, when none is running any more.
    """
    helpers = min(workers, pieces) - 1
    if helpers < 1:
        for piece in range(pieces):
            work(piece)
        return
    job = _Job(work, pieces)
    if _pool.workers < helpers:
        _pool.grow(helpers)
    for _ in range(helpers):
        _pool.jobs.put(job)
    job.help()
    job.done.acquire()
    if job.error is not None:
        raise job.error


class Tasks:
    """So many equal tasks, given to threads in pieces of several.

    Parameters
    ----------
    count : of tasks, numbered from 0
    workers : threads that share them
    """

    PIECES = 4  # that a thread takes: an uneven machine is evened out

    def __init__(self, count: int, workers: int) -> None:
        pieces = 1 if workers == 1 else min(count, self.PIECES * workers)
        bounds = [count * piece // pieces for piece in range(pieces + 1)]
        self.pieces, self.workers = list(itertools.pairwise(bounds)), workers

    def share(self, work: Callable[[tuple[int, int]], None]) -> None:
        """``work((first, last))`` for all pieces. Raises what one of them raised."""
        if self.workers == 1:
            work(self.pieces[0])
        else:
            share(lambda piece: work(self.pieces[piece]), len(self.pieces), self.workers)


class Buffers:
    """Scratch memory of a plan, a piece for each piece of work that is under way.

    Parameters
    ----------
    size : bytes of a piece
    """

    LINE = 64  # bytes: a vector that straddles two cache lines costs both

    def __init__(self, size: int) -> None:
        self.size = size
        self.free: list[int] = []
        self._memory: list[Any] = []  # of all pieces, in use or not

    @contextlib.contextmanager
    def one(self) -> Iterator[int]:
        """The address of a piece of nobody else's, which begins on a cache line."""
        try:
            address = self.free.pop()
        except IndexError:
            address = self._new()
        yield address
        self.free.append(address)

    def _new(self) -> int:
        import numpy as np

        memory = np.empty(self.size + self.LINE, np.uint8)
        self._memory.append(memory)
        return int(-(-memory.ctypes.data // self.LINE) * self.LINE)
