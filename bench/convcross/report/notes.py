"""What the analysis warns of while a report is made: each sentence once, and on the page too."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

log = logging.getLogger("convcross")


@contextlib.contextmanager
def heard() -> Iterator[list[str]]:
    """A list that fills with the warnings logged inside; repeated ones are not logged again.

    Each crossover of the same results warns of the same limits.
    """
    notes: list[str] = []

    def new(record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        note = record.getMessage()
        if note in notes:
            return False
        notes.append(note)
        return True

    log.addFilter(new)
    try:
        yield notes
    finally:
        log.removeFilter(new)
