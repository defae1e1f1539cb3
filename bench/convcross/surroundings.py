"""What contenders share in a process that measures for another one: the working folder, the
temporary one, and the standard streams. A contender may leave, delete or close them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass

STREAMS = (0, 1, 2)


@dataclass(frozen=True)
class Surroundings:
    working: str
    temporary: str
    streams: tuple[int, ...]  # duplicates of STREAMS


_kept: Surroundings | None = None


def keep() -> None:
    """Remember them as they are."""
    global _kept
    _kept = Surroundings(os.getcwd(), tempfile.gettempdir(), tuple(map(os.dup, STREAMS)))


def put_back() -> None:
    """Make them what they were when they were kept; without that, nothing."""
    if _kept is not None:
        with contextlib.suppress(OSError):  # the user has removed it, or a contender the duplicates
            os.makedirs(_kept.temporary, exist_ok=True)
            os.chdir(_kept.working)
            for number, copy in zip(STREAMS, _kept.streams, strict=True):
                os.dup2(copy, number)
