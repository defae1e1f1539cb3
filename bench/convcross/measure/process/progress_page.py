"""Who runs what since when, in a page of shared memory that outlives the process that writes it.

A process that measures for another one lights it: when it dies or hangs, the other one reads whose
code it was in. A step costs a microsecond, outside of what is timed; without a page, nothing.
"""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

PAGE = struct.Struct("=iid")  # contender, step, since when on time.monotonic's clock
NOBODY = -1

# What a contender is asked to do.
STEPS = (
    "answers",
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
    """What the page tells: the contender's place in the duel, None between two steps; its step; and
    for how long."""

    contender: int | None
    step: str
    seconds: float


_page: mmap.mmap | None = None
_places: dict[str, int] = {}


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
    end()


def begin(contender: str, step: str) -> None:
    """A contender is called: ``step`` is one of STEPS."""
    if _page is not None:
        PAGE.pack_into(_page, 0, _places[contender], STEPS.index(step), time.monotonic())


def end() -> None:
    """It returned, or raised."""
    if _page is not None:
        clear(_page)


def clear(page: mmap.mmap) -> None:
    """Nobody is at work, from now on."""
    PAGE.pack_into(page, 0, NOBODY, 0, time.monotonic())


def read(page: mmap.mmap) -> Seen:
    """Who is at work in the process that writes this page."""
    place, number, since = PAGE.unpack_from(page, 0)
    return Seen(None if place == NOBODY else place, STEPS[number], time.monotonic() - since)
