"""A contender on its way through a duel, and the ledger of where the duel's time goes."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from convcross.measure.accuracy import arrays
from convcross.measure.process import progress_page, state
from convcross.measure.timing import clock
from convcross.results.schema import Record
from convcross.sweeps.duels import Contender
from convcross.sweeps.regimes import REGIMES, Regime
from convkernels import Problem, UnsupportedProblem, namespaces
from convkernels.registry import Algorithm, Implementation

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
class Trial:
    """A contender on its way through a duel.

    ``load`` and ``run`` are its phases as they are timed: calls of the instance or, in regime
    graph, replays of what was captured of them; ``load`` is None where only the run could be.
    """

    contender: Contender
    algorithm: Algorithm
    problem: Problem
    record: Record
    instance: Implementation | None = None
    a: Any = None
    b: Any = None
    load: Callable[[], Any] | None = None
    run: Callable[[], Any] | None = None
    first: Any = None  # the verified result, poisoned before the last run
    stopwatch: clock.Stopwatch | None = None
    batch: int = 1

    @property
    def name(self) -> str:
        return str(self.contender)

    @property
    def regime(self) -> Regime:
        return REGIMES[self.record.regime]

    def fail(self, status: str, reason: str) -> None:
        self.record.status, self.record.reason = status, reason
        self.release()

    def release(self) -> None:
        self.instance = self.a = self.b = self.load = self.run = self.first = self.stopwatch = None

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


def alive(group: Iterable[Trial]) -> list[Trial]:
    return [trial for trial in group if trial.record.status == "ok"]


def guarded(trial: Trial, step: str, action: Callable[..., None], *arguments: Any) -> None:
    """A contender that fails at a step (``beacon.STEPS``) costs its own cell.

    Raises ProcessCorrupted.
    """
    with step_of(trial, step):
        try:
            with trial.on_device():
                action(trial, *arguments)
        finally:
            state.put_back()


@contextlib.contextmanager
def step_of(trial: Trial, step: str) -> Iterator[None]:
    """Whatever is raised in this step of a contender is written into its record.

    Raises ProcessCorrupted.
    """
    progress_page.begin(trial.name, step)
    try:
        yield
    except BaseException as error:  # a user's file may call sys.exit
        if isinstance(error, KeyboardInterrupt) and not progress_page.lit():
            raise  # of the one who waits, whom no signal reaches behind another process
        trial.fail(*classify(error))
        if not _card_works(trial):
            give_up_process(trial, f"{trial.record.reason}; the card was lost to the process")
    finally:
        progress_page.end()


def _card_works(trial: Trial) -> bool:
    """After an illegal address no call on a card succeeds until the process ends."""
    try:
        trial.synchronize()
    except Exception:
        return False
    return True


def give_up_process(trial: Trial, reason: str) -> None:
    """The contender fails, and others cannot be measured in this process any more.

    Raises ProcessCorrupted where another process watches, which can start a new one.
    """
    trial.fail("error", reason)
    if progress_page.lit():
        raise ProcessCorrupted(trial.name, reason)


class ProcessCorrupted(RuntimeError):
    """A contender has made this process useless for others.

    Attributes
    ----------
    contender, reason : whose code it was, and what it did
    """

    def __init__(self, contender: str, reason: str) -> None:
        super().__init__(f"{contender}: {reason}")
        self.contender, self.reason = contender, reason


def classify(error: BaseException) -> tuple[str, str]:
    """(status, reason) of what a contender raised."""
    try:
        message = str(error)
    except Exception:  # an exception of its own, which fails at that too
        message = ""
    lines = message.strip().splitlines()
    reason = f"{type(error).__name__}: {lines[0] if lines else 'no message'}"[:300]
    if isinstance(error, UnsupportedProblem):
        return "unsupported", message[:300]
    memory = "OutOfMemory" in type(error).__name__ or "allocate memory" in message
    if memory or isinstance(error, MemoryError):
        return "oom", reason
    if isinstance(error, TooSlow):
        return "timeout", message
    return "error", reason


class TooSlow(RuntimeError):
    """A run would outlast its limit."""
