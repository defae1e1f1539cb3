"""A contender on its way through a duel, and the ledger of where the duel's time goes."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from convcross import arrays, stopwatch
from convcross.duels import Contender
from convcross.records import Record
from convkernels import Problem, UnsupportedProblem, namespaces
from convkernels.registry import Algorithm, Defaults

BUCKETS = ("measured", "warmup", "verification", "preparation")


class Ledger:
    """Where the wall time of a duel goes, in seconds."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(BUCKETS, 0.0)
        self._begin = time.perf_counter()

    @contextlib.contextmanager
    def charge(self, bucket: str) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[bucket] += time.perf_counter() - begin

    def closed(self) -> dict[str, float]:
        """Seconds of each bucket and of the rest."""
        rest = time.perf_counter() - self._begin - sum(self.seconds.values())
        return {**self.seconds, "rest": max(0.0, rest)}


@dataclasses.dataclass
class Entry:
    """A contender on its way through a duel.

    ``load`` and ``run`` are its phases as they are timed: calls of the instance or, in regime
    graph, replays of what was captured of them; ``load`` is None where only the run could be.
    """

    contender: Contender
    algorithm: Algorithm
    problem: Problem
    record: Record
    instance: Defaults | None = None
    a: Any = None
    b: Any = None
    load: Callable[[], Any] | None = None
    run: Callable[[], Any] | None = None
    first: Any = None  # the verified result, poisoned before the last run
    watch: stopwatch.Stopwatch | None = None
    batch: int = 1

    @property
    def name(self) -> str:
        return str(self.contender)

    def fail(self, status: Any, reason: str) -> None:
        self.record.status, self.record.reason = status, reason
        self.release()

    def release(self) -> None:
        self.instance = self.a = self.b = self.load = self.run = self.first = self.watch = None

    def on_device(self) -> contextlib.AbstractContextManager[Any]:
        return namespaces.on(self.contender.namespace, self.contender.device)

    def synchronize(self) -> None:
        namespaces.synchronize(self.contender.namespace, self.contender.device)

    def operands(self, problem: Problem, x: Any, w: Any) -> tuple[Any, Any]:
        """Its own copies of x and w."""
        place = self.contender.namespace, self.contender.device
        return arrays.copied(x, place, problem.dtype), arrays.copied(w, place, problem.dtype)

    def bytes(self) -> float:
        """What it holds at once: its operands and result, and the workspace it declares."""
        return 2.0 * self.problem.min_bytes + (self.record.workspace_bytes or 0.0)


def alive(group: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in group if entry.record.status == "ok"]


def guarded(entry: Entry, action: Callable[..., None], *arguments: Any) -> None:
    """A contender that fails costs its own cell."""
    try:
        with entry.on_device():
            action(entry, *arguments)
    except Exception as error:
        entry.fail(*classify(error))


def classify(error: Exception) -> tuple[str, str]:
    """(status, reason) of what a contender raised."""
    lines = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {lines[0] if lines else 'no message'}"[:300]
    if isinstance(error, UnsupportedProblem):
        return "unsupported", str(error)[:300]
    memory = "OutOfMemory" in type(error).__name__ or "allocate memory" in str(error)
    if memory or isinstance(error, MemoryError):
        return "oom", reason
    if isinstance(error, TooSlow):
        return "timeout", str(error)
    return "error", reason


class TooSlow(RuntimeError):
    """A run would outlast its limit."""
