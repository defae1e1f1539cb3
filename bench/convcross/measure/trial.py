"""A contender on its way through a duel, before and after it is prepared, and the duel's ledger."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from convcross.machine import memory, threads
from convcross.measure.accuracy import arrays
from convcross.measure.accuracy.step_truth import AnyTruth
from convcross.measure.process import progress_page, state
from convcross.measure.timing import clock
from convcross.results.schema import Record
from convcross.sweeps.contenders import Contender
from convcross.sweeps.duels import Duel
from convcross.sweeps.regimes import REGIMES, Regime
from convkernels import Problem, UnsupportedProblem, namespaces
from convkernels.registry import Algorithm, Implementation

BUCKETS = ("measured", "warmup", "verification", "preparation")


class Ledger:
    """Where the wall time of a duel goes, in seconds."""

    def __init__(self, budget: float | None = None) -> None:
        self.seconds = dict.fromkeys(BUCKETS, 0.0)
        self._begin = time.perf_counter()
        self._budget = math.inf if budget is None else budget
        self._promised = 0.0

    def left(self) -> float:
        """Seconds that the budget still has; below 0 where it is spent."""
        return self._budget - (time.perf_counter() - self._begin)

    def promise(self, seconds: float) -> None:
        """Keep so much of the budget for the timing of who is prepared."""
        self._promised += seconds

    def require(self, seconds: float = 0.0) -> None:
        """Raises LeftOut where what is to be begun is not expected to fit in what is left, beside
        what is promised; of 0 seconds, where nothing is left."""
        left = self.left() - (self._promised if seconds else 0.0)
        if left < 0 or seconds > left:
            wanted = f"it would take about {seconds:.2g} s, and " if seconds else ""
            raise LeftOut(f"{wanted}the budget has {max(0.0, left):.2g} s left")

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
    """A contender on its way through a duel, before it is prepared (see ``Prepared``)."""

    contender: Contender
    algorithm: Algorithm
    problem: Problem
    record: Record
    # CPU threads that suit it; None for all that the duel has.
    threads: int | None = dataclasses.field(default=None, kw_only=True)

    @property
    def name(self) -> str:
        return str(self.contender)

    @property
    def regime(self) -> Regime:
        return REGIMES[self.record.regime]

    def fail(self, status: str, reason: str) -> None:
        self.record.status, self.record.reason = status, reason

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """A block in which its code runs: on its device, with its CPU threads."""
        device = namespaces.on(self.contender.namespace, self.contender.device)
        with threads.given(self.threads), device:
            yield

    def synchronize(self) -> None:
        namespaces.synchronize(self.contender.namespace, self.contender.device)

    def operands(self, problem: Problem, x: Any, w: Any) -> tuple[Any, Any]:
        """Its own copies of x, or of each of them, and w."""
        place = self.contender.namespace, self.contender.device
        own = functools.partial(arrays.copied, place=place, dtype=problem.dtype)
        return arrays.each(own, x), own(w)

    def bytes(self) -> float:
        """What it holds at once: its operands and result, and the workspace it declares."""
        return 2.0 * self.problem.min_bytes + (self.record.workspace_bytes or 0.0)


@dataclasses.dataclass
class Prepared(Trial):
    """A contender that is planned, loaded, run once and verified: ready to be timed.

    ``load`` and ``run`` are its phases as they are timed: calls of the instance or, in regime
    graph, replays of what was captured of them; ``load`` is None where only the run could be.
    Once it has failed or is done with, what it held is gone.
    """

    instance: Implementation
    stopwatch: clock.Stopwatch
    a: Any
    b: Any
    load: Callable[[], Any] | None
    run: Callable[[], Any]
    first: Any  # the verified result, poisoned before the last run
    batch: int = 1
    run_seconds: float = 0.0  # of a run, as far as is known

    def fail(self, status: str, reason: str) -> None:
        super().fail(status, reason)
        self.release()

    def release(self) -> None:
        """Give up what it holds in memory."""
        for name in ("instance", "stopwatch", "a", "b", "load", "run", "first"):
            self.__dict__.pop(name, None)


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What all contenders of a memory group of a duel are measured with.

    Attributes
    ----------
    order : seeded source of each round's order
    first : number of the first round
    """

    duel: Duel
    truth: AnyTruth
    order: random.Random
    ledger: Ledger
    first: int = 0


Group = TypeVar("Group", bound=Trial)
Result = TypeVar("Result")


def alive(group: Iterable[Group]) -> list[Group]:
    return [trial for trial in group if trial.record.status == "ok"]


def guarded(
    trial: Group, step: str, action: Callable[..., Result], *arguments: Any
) -> Result | None:
    """What the action returns; a contender that fails at this step costs its own cell, and None.

    Parameters
    ----------
    step : one of ``progress_page.STEPS``
    action : (trial, *arguments) → result

    Raises ProcessCorrupted.
    """
    with step_of(trial, step):
        try:
            with trial.in_place():
                return action(trial, *arguments)
        finally:
            state.put_back()
    return None  # it failed


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
    """After an illegal address no call on a card succeeds until the process ends, and after some
    failed captures torch gives no memory back (``graphs``)."""
    try:
        trial.synchronize()
        if trial.contender.device != "cpu" and trial.record.status == "error":
            memory.release()
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
    if memory.exhausted(error):
        return "oom", reason
    if isinstance(error, TooSlow):
        return "timeout", message
    if isinstance(error, LeftOut):
        return "left-out", message
    return "error", reason


class TooSlow(RuntimeError):
    """A run would outlast its limit."""


class LeftOut(RuntimeError):
    """The budget has no time for it."""
