"""How many CPU threads an algorithm may use: what its caller gives, else the usable cores."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_given: int | None = None


def usable() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def given() -> int | None:
    """Threads that the caller gives (``limited``), None where he leaves it open."""
    return _given


def count() -> int:
    """Threads that an algorithm may use now; asked in ``plan`` or in ``run``."""
    return _given or usable()


@contextlib.contextmanager
def limited(number: int) -> Iterator[None]:
    """Inside the block every algorithm may use this many threads (of all of this process)."""
    global _given
    before, _given = _given, number
    try:
        yield
    finally:
        _given = before
