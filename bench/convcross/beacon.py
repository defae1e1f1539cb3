"""Who runs what since when, in a page of shared memory that outlives the process that writes it.

A process that measures for another one lights it: when it dies or hangs, the other one reads whose
code it was in. A step costs a microsecond, outside of what is timed; without a page, nothing.
"""

from __future__ import annotations

import collections
import mmap
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

PAGE = struct.Struct("=iidd")  # contender, step, since when on time.monotonic's clock, spent before
NOBODY = (-1, 0, 0.0, 0.0)

# What a contender is asked to do; time is limited for each by itself.
STEPS = (
    "questions",
    "preparation",
    "other seeds",
    "warm-up",
    "timed runs",
    "timed loads",
    "planning",
    "last run",
    "profile",
)


@dataclass(frozen=True)
class Seen:
    """What the page tells: the contender's place in the duel, its step and its seconds in it."""

    contender: int
    step: str
    seconds: float


_page: mmap.mmap | None = None
_places: dict[str, int] = {}
_spent: collections.defaultdict[tuple[int, int], float] = collections.defaultdict(float)
_now = NOBODY


def light(page: mmap.mmap) -> None:
    """Write to this page from now on."""
    global _page
    _page = page


def lit() -> bool:
    """Whether another process watches this one."""
    return _page is not None


def begin_duel(contenders: Sequence[str]) -> None:
    """Contenders are told by their places here until the next duel begins."""
    _places.clear()
    _places.update({name: place for place, name in enumerate(contenders)})
    _spent.clear()


def begin(contender: str, step: str) -> None:
    global _now
    if _page is not None:
        place, number = _places[contender], STEPS.index(step)
        _now = place, number, time.monotonic(), _spent[place, number]
        PAGE.pack_into(_page, 0, *_now)


def end() -> None:
    global _now
    if _page is not None:
        place, number, since, _ = _now
        _spent[place, number] += time.monotonic() - since
        _now = NOBODY
        PAGE.pack_into(_page, 0, *NOBODY)


def read(page: mmap.mmap) -> Seen | None:
    """Who is at work in the process that writes this page; None between two steps."""
    place, number, since, spent = PAGE.unpack_from(page, 0)
    if place < 0:
        return None
    return Seen(place, STEPS[number], spent + time.monotonic() - since)
