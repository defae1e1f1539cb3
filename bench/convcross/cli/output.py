"""Standard output that may fail at any moment: its reader has gone, or its disk is full.

What a command prints comes after what it does, so that neither may end it. What cannot be written
is left out, and told at the end: nothing of a reader who has seen enough, one line of a full disk.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator

from convcross.errors import BadInput


class _Stdout(io.RawIOBase):
    """A descriptor whose writes never fail."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.failure: OSError | None = None

    def write(self, data: bytes) -> int:  # type: ignore[override]
        with contextlib.suppress(BrokenPipeError):
            try:
                if self.failure is None:
                    return os.write(self._descriptor, data)
            except BrokenPipeError:
                raise
            except OSError as error:
                self.failure = error
        return len(data)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)


@contextlib.contextmanager
def written() -> Iterator[None]:
    """A block in which printing never fails.

    Raises BadInput at its end where something could not be written.
    """
    given = sys.stdout
    if given is None:  # it was closed before we began
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
        return
    if given is not sys.__stdout__ or not isinstance(
        given, io.TextIOWrapper
    ):  # somebody's own, who reads it in this process
        yield
        return
    with contextlib.suppress(OSError):
        given.flush()
    raw = _Stdout(given.fileno())
    text = io.TextIOWrapper(
        io.BufferedWriter(raw),  # type: ignore[type-var]
        encoding=given.encoding,
        errors="replace",
        line_buffering=given.line_buffering,
    )
    with contextlib.redirect_stdout(text):
        try:
            yield
        finally:
            text.flush()
    if raw.failure is not None:
        raise BadInput(f"standard output cannot be written: {raw.failure.strerror}")
