"""Named stages of a run: free when nobody listens, timed when somebody does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol


class Listener(Protocol):
    """Told of each stage's begin and end, in the order of the calls."""

    def begin(self, name: str) -> None: ...
    def end(self, name: str) -> None: ...


_listener: Listener | None = None


class _Stage:
    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        if _listener is not None:
            _listener.begin(self.name)

    def __exit__(self, *_: object) -> None:
        if _listener is not None:
            _listener.end(self.name)


_stages: dict[str, _Stage] = {}


def stage(name: str) -> _Stage:
    """``with stage("multiply"):`` around a part of a run."""
    found = _stages.get(name)
    if found is None:
        found = _stages[name] = _Stage(name)
    return found


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell this listener of every stage inside the block."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before
