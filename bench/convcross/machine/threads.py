"""The CPU threads that contenders may use: one number at a time, for every library.

Libraries are given it when they are loaded, and asked for nothing: a contender that is faster with
fewer threads than there are cores gets fewer (see ``measure.thread_count``).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from convkernels.toolbox import threads
from convkernels.toolbox.threads import count as count
from convkernels.toolbox.threads import usable as usable

_settings: _Settings | None = None  # of the innermost ``pinned``


class _Settings:
    """The setters of the libraries that are loaded, and what they had been set to."""

    def __init__(self) -> None:
        import threadpoolctl

        self.setters: list[Callable[[int], None]] = []
        self.before: list[int] = []
        for library in threadpoolctl.ThreadpoolController().lib_controllers:
            self._add(library.set_num_threads, library.get_num_threads() or 1)
        for name, get, put in (
            ("torch", "get_num_threads", "set_num_threads"),
            ("cv2", "getNumThreads", "setNumThreads"),
        ):
            module = sys.modules.get(name)
            if module is not None:
                self._add(getattr(module, put), getattr(module, get)())
        self.count = 0

    def _add(self, put: Callable[[int], None], now: int) -> None:
        self.setters.append(put)
        self.before.append(now)

    def give(self, number: int) -> None:
        if number != self.count:
            for put in self.setters:
                put(number)
            self.count = number

    def put_back(self) -> None:
        for put, number in zip(self.setters, self.before, strict=True):
            put(number)


@contextlib.contextmanager
def pinned(count: int) -> Iterator[None]:
    """Give torch, the BLAS libraries, scipy.fft and OpenCV this many threads each.

    Only libraries that are loaded are touched: the block must follow their import.
    """
    global _settings
    before, _settings = _settings, _Settings()
    try:
        with given(count):
            yield
    finally:
        _settings.put_back()
        _settings = before


@contextlib.contextmanager
def given(count: int | None) -> Iterator[None]:
    """In a block of ``pinned``, another number of threads for a while; None leaves what is."""
    import scipy.fft

    if _settings is None or count is None or count == _settings.count:
        yield
        return
    before = _settings.count
    _settings.give(count)
    try:
        with scipy.fft.set_workers(count), threads.limited(count):
            yield
    finally:
        if before:
            _settings.give(before)
