"""One problem of a calibration: contenders planned, loaded and run in turns, and compared.

What is timed is what a call pays, with the threads that the surroundings give: a plan, a load, a
run. Contenders are verified by ``convcross check``; here they must agree with each other.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from convcross.measure.timing import choose
from convcross.sweeps import regimes
from convcross.sweeps.contenders import Contender
from convcross.text import one_line
from convkernels import Problem, UnsupportedProblem, namespaces

ROUNDS, SECONDS = 3, 0.05  # samples of a contender: so many, or fewer in so many seconds
LONG = 0.3  # seconds of a first load and run, after which there is no other
AGAIN = 2  # times that a sample is taken anew for which the process waited for a core
SHORTEST = 100e-6  # seconds of a sample; shorter steps are repeated
SLOW = 1.5  # times as long as the fastest: one sample will do
PLANS, PLAN_SECONDS = 3, 0.02  # new instances, within so many seconds
LOOKED_AT = 4096  # outputs of each contender that are compared
APART = 4.0  # times their bounds, by which two results may differ

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds of the phases of one contender."""

    plan: float
    load: float
    run: float

    @property
    def warm(self) -> float:
        """Of a call whose plan is there."""
        return self.load + self.run

    @property
    def first(self) -> float:
        """Of a call."""
        return self.plan + self.load + self.run


class Operands:
    """Arrays of normal numbers, cut from one sequence."""

    def __init__(self, seed: int) -> None:
        self._numbers = np.random.default_rng(seed).standard_normal(1 << 16)

    def of(self, shape: Sequence[int], contender: Contender, dtype: str) -> Any:
        """An array of this shape on the contender's library and device."""
        values = np.resize(self._numbers, math.prod(shape)).reshape(shape)
        return namespaces.from_numpy(values, contender.namespace, contender.device, dtype)


class Trial:
    """A contender on a problem: planned, loaded and run once."""

    def __init__(self, problem: Problem, contender: Contender, operands: Operands) -> None:
        self.place = contender.namespace, contender.device
        regime = regimes.default(contender.device)
        self.stopwatch = choose.stopwatch(*self.place, regime)
        self.flush = regimes.REGIMES[regime].flushed
        first, second, _ = problem.shapes
        a = operands.of(first, contender, problem.dtype)
        b = operands.of(second, contender, problem.dtype)
        plans: list[float] = []
        while len(plans) < PLANS and sum(plans) < PLAN_SECONDS:
            begin = time.perf_counter()
            instance = contender.found.prepare(problem, *self.place)
            namespaces.synchronize(*self.place)
            plans.append(time.perf_counter() - begin)
        self.plan = min(plans)
        self.load, self.run = (
            functools.partial(instance.load, b),
            functools.partial(instance.run, a),
        )
        begin = time.perf_counter()
        self.load()
        namespaces.synchronize(*self.place)
        loaded = time.perf_counter()
        y = self.run()
        namespaces.synchronize(*self.place)
        end = time.perf_counter()
        self.seconds = end - begin
        some = y.reshape(-1)[:: max(1, math.prod(y.shape) // LOOKED_AT)]
        self.seen: Floats = namespaces.to_numpy(some).astype(np.float64)
        self.spent = 0.0
        self.loads, self.runs = [loaded - begin], [end - loaded]

    def sample(self) -> None:
        """A load and a run after it, both warmed by a run before; the first takes the place of what
        was seen when nothing was warm."""
        if self.seconds > LONG:
            return
        if not self.spent:
            self.loads, self.runs = [], []
        repeats = max(1, math.ceil(SHORTEST / max(self.seconds, 1e-7)))

        def repeated(step: Any) -> Any:
            for _ in range(repeats - 1):
                step()
            return step()

        steps = [functools.partial(repeated, step) for step in (self.load, self.run)]
        for _ in range(1 + AGAIN):
            if not self.flush:
                self.run()
            load, run = self.stopwatch.time(steps, flush=self.flush)
            self.spent += 2 * run + load
            if not self.stopwatch.preempted or self.spent > SECONDS:
                break
        self.loads.append(load / repeats)
        self.runs.append(run / repeats)
        self.seconds = min(self.seconds, (load + run) / repeats)

    def times(self) -> Times:
        return Times(self.plan, _undisturbed(self.loads), _undisturbed(self.runs))


def measure(
    problem: Problem,
    contenders: Sequence[Contender],
    operands: Operands,
    order: random.Random,
    until: float = math.inf,
) -> tuple[dict[Contender, Times], dict[Contender, str]]:
    """Times of the contenders that take the problem, and why the others have none.

    Parameters
    ----------
    until : of ``time.perf_counter``, after which no contender is begun and none sampled again
    """
    trials: dict[Contender, Trial] = {}
    failed: dict[Contender, str] = {}
    for contender in contenders:
        if time.perf_counter() > until:
            break
        try:
            with namespaces.on(contender.namespace, contender.device):
                trials[contender] = Trial(problem, contender, operands)
        except UnsupportedProblem as refusal:
            failed[contender] = str(refusal)
        except Exception as error:  # whatever a library raises
            failed[contender] = one_line(f"{type(error).__name__}: {error}", 200)
    for contender, reason in _astray(problem, trials).items():
        failed[contender] = reason
        del trials[contender]
    active = list(trials)
    for number in range(ROUNDS):
        if number and time.perf_counter() > until:
            break
        order.shuffle(active)
        best = min((trial.seconds for trial in trials.values()), default=0.0)
        for contender in active:
            trial = trials[contender]
            if number == 0 or (trial.spent < SECONDS and trial.seconds <= SLOW * best):
                with namespaces.on(*trial.place):
                    trial.sample()
    return {contender: trial.times() for contender, trial in trials.items()}, failed


def _undisturbed(samples: Sequence[float]) -> float:
    """The lower quartile: of so few samples several may be disturbed, and neighbours only add."""
    return float(np.quantile(samples, 0.25))


def _astray(problem: Problem, trials: Mapping[Contender, Trial]) -> dict[Contender, str]:
    """Those whose results differ from the others' by more than their bounds allow."""
    if len(trials) < 3:
        return {}
    middle = np.median([trial.seen for trial in trials.values()], axis=0)
    size = float(np.linalg.norm(middle))
    bounds = {contender: contender.found.error_bound(problem) for contender in trials}
    allowed = APART * (max(bounds.values()) + min(bounds.values()))
    found = {}
    for contender, trial in trials.items():
        apart = float(np.linalg.norm(trial.seen - middle))
        if not apart <= allowed * size:
            found[contender] = f"its result differs from the others' by {apart / size:.1e}"
    return found
