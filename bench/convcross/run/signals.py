"""Ctrl-C and SIGTERM: once finishes what is in hand, twice ends at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether SIGINT or SIGTERM came; the second raises KeyboardInterrupt.

    Signals are the main thread's alone: in another, nothing is changed.
    """
    count = 0

    def ask(number: int, frame: object) -> None:
        nonlocal count
        count += 1
        if count > 1:
            raise KeyboardInterrupt
        with contextlib.suppress(OSError):  # nobody reads it
            # Not by print, which the signal may have struck in its midst.
            os.write(2, b"stopping after this duel; again to stop at once\n")

    main = threading.current_thread() is threading.main_thread()
    before = {caught: signal.signal(caught, ask) for caught in STOPPING} if main else {}
    try:
        yield lambda: count > 0
    finally:
        for caught, handler in before.items():
            signal.signal(caught, handler)
