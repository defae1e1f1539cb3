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
    """Make them what they were when they were kept; without that, nothing.

    A contender that has closed what it did not open has closed the pipes to the parent too: the
    process ends, while it is still known whose step this is.
    """
    if _kept is None:
        return
    with contextlib.suppress(OSError):  # the user has removed it
        os.makedirs(_kept.temporary, exist_ok=True)
        os.chdir(_kept.working)
    try:
        for number, copy in zip(STREAMS, _kept.streams, strict=True):
            os.dup2(copy, number)
    except OSError:
        os._exit(os.EX_IOERR)
