"""A contender made ready: planned, loaded, run once and verified; and verified again at the end."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import operator
import time
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from convcross.machine import threads
from convcross.measure import thread_count
from convcross.measure.accuracy import step_truth
from convcross.measure.accuracy.arrays import each, put
from convcross.measure.accuracy.step_truth import AnyTruth
from convcross.measure.process import state
from convcross.measure.timing import choose, graphs
from convcross.measure.timing.clock import Step
from convcross.measure.trial import Measurement, Prepared, TooSlow, Trial
from convcross.results.schema import Certificate, Provenance
from convkernels import Problem, UnsupportedProblem, namespaces
from convkernels.problem import STEP, Shape, Size
from convkernels.registry import Implementation

TRIES = 3  # runs of a smaller problem before the whole one is called too slow
CLEAR = 2.0  # times too slow, by a contender that has run before: not tried again
FAR = 1000.0  # no contender is so much less efficient on a smaller problem
SLACK = 4.0  # a contender may be so much less efficient than on any problem that it was timed on
HUGE = (1 << 17, 1 << 17)  # an image that any kernel fits in

OPERANDS: dict[str, tuple[Any, str]] = {  # of a step, a are two
    "forward": ("image", "kernel"),
    "grad_input": ("gradient", "kernel"),
    "grad_weight": ("gradient", "image"),
    STEP: (("image", "gradient"), "kernel"),
}
RUNS = 8  # of a contender in a duel, at least: the first, warm-up, samples, the last

# Of this process: contender → its least FLOP/s; contender and kind → the problem refused that
# needs least, and the seconds that a run of it would have taken.
_slowest: dict[str, float] = {}
_refused: dict[Hashable, tuple[Problem, float]] = {}


def prepare(trial: Trial, measurement: Measurement) -> Prepared | None:
    """The contender planned, loaded, run once and verified; None where its result is wrong.

    Raises TooSlow, and whatever the contender raises.
    """
    contender, duel = trial.contender, measurement.duel
    trial.threads = duel.thread_choice.get(trial.name) if contender.device == "cpu" else None
    with threads.given(trial.threads):
        begin = time.perf_counter()
        found = _planned(trial, measurement)
        seconds = time.perf_counter() - begin
    if found is None or contender.device != "cpu":
        return found
    with measurement.ledger.charge("preparation"):
        if found.threads is None:
            _choose_threads(found, measurement, seconds)
        chosen = found.threads or 1
        found.record.provenance.threads = min(chosen, found.instance.threads or chosen)
    return found


def _planned(trial: Trial, measurement: Measurement) -> Prepared | None:
    """What ``prepare`` returns, of the CPU threads that are given."""
    contender, problem = trial.contender, trial.problem
    duel, truth = measurement.duel, measurement.truth
    place = contender.namespace, contender.device
    with measurement.ledger.charge("preparation"):
        measurement.ledger.require()
        if duel.launch == 1:  # who was too slow there is not run again
            expected = _climb(trial, duel.limits.longest_run(contender.device), truth)
            measurement.ledger.require(RUNS * expected)
        a, b = trial.operands(problem, truth.x, truth.w)
        stopwatch = choose.stopwatch(*place, trial.record.regime)
        begin = time.perf_counter()
        instance = trial.algorithm.prepare(problem, *place)
        trial.synchronize()
        trial.record.provenance.first_plan_s = time.perf_counter() - begin
    with measurement.ledger.charge("verification"):
        begin = time.perf_counter()
        load, run, first = _first_run(trial, instance, a, b)
        run_seconds = time.perf_counter() - begin
        measurement.ledger.promise(RUNS * run_seconds)
        trial.record.provenance.compile_s = instance.compile_seconds or None
        trial.record.provenance = _with_own_words(trial.record.provenance, instance)
        dtype = step_truth.dtype(first, problem)
        if dtype != problem.dtype:
            trial.fail("wrong", f"dtype {dtype}; expected {problem.dtype}")
            return None
        bound = trial.algorithm.error_bound(problem)
        reason = truth.verify(first, bound)
        if truth.certificate:
            trial.record.provenance.reference = Certificate(**truth.certificate)
        if reason is not None:
            trial.fail("wrong", reason)
            return None
        if duel.launch == 1:
            trial.record.error = truth.errors(first)
    return Prepared(
        **vars(trial),
        instance=instance,
        stopwatch=stopwatch,
        a=a,
        b=b,
        load=load,
        run=run,
        first=first,
        run_seconds=run_seconds,
    )


def _choose_threads(trial: Prepared, measurement: Measurement, first_seconds: float) -> None:
    """Find how many CPU threads suit the contender, on operands of its own, and plan it for them.

    All, where that is no question of moments (``first_seconds``, of its plan and first run); one,
    where the contender has no more.
    """
    duel, truth = measurement.duel, measurement.truth
    place = trial.contender.namespace, trial.contender.device
    most = duel.threads or threads.usable()
    trial.threads = most
    if trial.instance.threads == 1:
        trial.threads = 1
        return
    if first_seconds > thread_count.FIRST:
        return
    a, b = trial.operands(trial.problem, truth.x, truth.w)

    def made() -> Callable[[], Any]:
        state.put_back()  # each instance meets the process as the first one did
        planned = trial.algorithm.prepare(trial.problem, *place)
        planned.load(b)
        return functools.partial(planned.run, a)

    trial.threads = thread_count.best(made, most, _kind(trial))
    if trial.threads != most:  # verified again after the timing, as every one
        state.put_back()
        with threads.given(trial.threads):
            trial.instance = trial.algorithm.prepare(trial.problem, *place)
            trial.load, trial.run, trial.first = _first_run(trial, trial.instance, trial.a, trial.b)


def _with_own_words(known: Provenance, instance: Implementation) -> Provenance:
    """What is known, and what the instance says of itself, as a file will have it.

    Raises TypeError or ValueError on what no file could hold.
    """
    own = json.loads(json.dumps(instance.provenance(), allow_nan=False))
    return Provenance.model_validate({**own, **known.model_dump()})


def _first_run(
    trial: Trial, instance: Implementation, a: Any, b: Any
) -> tuple[Step | None, Step, Any]:
    """Load and run once: the load and the run as they are timed, and the result."""
    # partial: a Python function around each call would add its own 0.1 µs
    load: Step | None = functools.partial(instance.load, b)
    run: Step = functools.partial(instance.run, a)
    instance.load(b)
    y = run()
    if trial.regime.captured:
        place = trial.contender.namespace, trial.contender.device
        try:
            load, run = graphs.capture([functools.partial(instance.load, b), run], *place)
        except UnsupportedProblem as refusal:  # a load that looks at values, perhaps
            instance.load(b)  # what the capture left in the instance has no values
            (run,) = graphs.capture([run], *place)
            load = None
            trial.record.provenance.fresh = str(refusal)
        else:
            load()
        y = run()
    trial.synchronize()
    return load, run, y


def _climb(trial: Trial, limit: float, truth: AnyTruth) -> float:
    """Refuse to start a run that would outlast its limit, by timing smaller problems first.

    Each step is about four times the one before, so that none is much longer than the limit. The
    first is the largest that the declared cost alone shows to be short; none is taken where it
    shows so of the problem itself. How many FLOP a second it does at least is known of a contender
    that this process has timed, within SLACK, and assumed of others.

    What was clearly too slow with a smaller kernel is not tried with a larger one that needs more.

    Returns the seconds that a run is expected to take: at most, where none was taken.

    Raises TooSlow.
    """
    problem, cost = trial.problem, trial.algorithm.cost
    kind = _kind(trial)
    if kind in _refused:
        other, whole = _refused[kind]
        fewer = cost(other).flops < cost(problem).flops and other.terms < problem.terms
        if fewer and whole > CLEAR * limit:
            sides = "×".join(map(str, other.kernel))
            raise TooSlow(
                f"with a kernel of {sides} a run would take about {whole:.2g} s; limit: {limit:g} s"
            )
    pessimistic = 2e8 if trial.contender.device == "cpu" else 1e11  # FLOP/s
    short = limit * max(pessimistic, _slowest.get(trial.name, 0.0) / SLACK)  # FLOP
    if cost(problem).flops <= short:
        return limit * cost(problem).flops / short
    whole = limit
    place = trial.contender.namespace, trial.contender.device
    steps = list(_ladder(problem))
    while len(steps) > 1 and cost(steps[1]).flops <= short:
        del steps[0]
    known = trial.name in _slowest
    for smaller in steps:
        a, b = trial.operands(smaller, *_corners(truth, smaller))
        instance = trial.algorithm.prepare(smaller, *place)
        instance.load(b)
        trial.synchronize()
        for tried in range(TRIES):  # a first run may load libraries, any may be disturbed
            begin = time.perf_counter()
            instance.run(a)
            trial.synchronize()
            seconds = time.perf_counter() - begin
            whole = seconds * cost(problem).flops / cost(smaller).flops
            # The last step is often a short one; and a small problem may be far less efficient.
            within = min(4 * seconds, whole) <= limit and whole <= FAR * limit
            clear = (known or tried) and (
                4 * seconds > CLEAR * limit or whole > CLEAR * FAR * limit
            )
            if within or seconds > limit or clear:
                break
        if not within:
            if kind not in _refused or problem.terms < _refused[kind][0].terms:
                _refused[kind] = problem, whole
            raise TooSlow(f"a run would take about {whole:.2g} s; limit: {limit:g} s")
    return whole


def _corners(truth: AnyTruth, problem: Problem) -> tuple[Any, Any]:
    """The first part of each operand, for a smaller problem."""
    if problem.direction == STEP:
        x, gy = truth.x
        image, gradient = _corner(x, problem.x_shape), _corner(gy, problem.y_shape)
        return (image, gradient), _corner(truth.w, problem.w_shape)
    first, second, _ = problem.shapes
    return _corner(truth.x, first), _corner(truth.w, second)


def _corner(array: Any, shape: Shape) -> Any:
    """The first part of an operand that has this shape; of the batch the first image, where a
    single one has no axis for it."""
    array = array[0] if array.ndim > len(shape) else array
    return array[tuple(map(slice, shape))]


def _kind(trial: Trial) -> Hashable:
    """The contender and all of its problem but the kernel's size."""
    return trial.name, dataclasses.replace(trial.problem, kernel=(1, 1))


def note_rate(trial: Trial, seconds: float) -> None:
    """Remember how many FLOP a second the contender did, where that is its least so far."""
    rate = trial.algorithm.cost(trial.problem).flops / max(seconds, 1e-9)
    _slowest[trial.name] = min(rate, _slowest.get(trial.name, rate))


def _ladder(problem: Problem) -> Iterator[Problem]:
    """Smaller problems of the same kind: the kernel's sides are doubled from 31, then the image's
    from 64, then the batch is quadrupled from 1."""
    kernel: Size = (min(31, problem.kernel[0]), min(31, problem.kernel[1]))
    side, batch = 64, 1
    while True:
        smaller = dataclasses.replace(problem, image=HUGE, kernel=kernel, batch=batch)
        least = max(side, *smaller.extent)  # a valid convolution needs an image of its size
        image = (min(least, problem.image[0]), min(least, problem.image[1]))
        smaller = dataclasses.replace(smaller, image=image)
        if 2 * smaller.flops > problem.flops:
            return
        yield smaller
        if kernel != problem.kernel:
            kernel = (min(2 * kernel[0], problem.kernel[0]), min(2 * kernel[1], problem.kernel[1]))
        elif image != problem.image:
            side = 2 * least
        else:
            batch = min(4 * batch, problem.batch)


def verify_again(trial: Prepared, measurement: Measurement) -> None:
    """The result of one more run, as it stands when the run returns.

    The earlier result is overwritten with NaN and the image negated, so that neither a result that
    was kept nor one that shares memory with it passes; of a step the gradient is doubled too, which
    changes every result. On CUDA both wait in the stream, behind a kernel that holds it, when the
    run is given its work, and the result is copied in the stream right after: work on another
    stream, which does not wait for its input or is not waited for, comes too early or too late. On
    the CPU a thread that goes on after the return is too late.
    """
    truth = measurement.truth
    xp = namespaces.namespace(trial.contender.namespace)
    whole = trial.problem.direction == STEP
    factors: Any = (-1.0, 2.0) if whole else -1.0
    backwards = each(lambda factor: 1 / factor, factors)
    of_results: Any = (-1.0, 0.5, -0.5) if whole else -1.0  # y, gx and gw of both

    def run_on_scaled() -> Any:
        each(put, trial.first, each(lambda _: math.nan, trial.first))
        each(_scale, trial.a, factors)
        return each(lambda one: xp.asarray(one, copy=True), trial.run())

    with measurement.ledger.charge("verification"):
        reason = _modified(trial, truth)
        if reason is None:
            if trial.contender.device != "cpu":  # no module may be loaded first inside the hold
                run_on_scaled()
                each(_scale, trial.a, backwards)
            with trial.stopwatch.hold():
                y = run_on_scaled()
            trial.synchronize()
            bound = trial.algorithm.error_bound(trial.problem)
            reason = truth.verify(each(operator.mul, y, of_results), bound)
    if reason is not None:
        trial.fail("wrong", f"after timing: {reason}")


def _scale(array: Any, factor: float) -> None:
    array *= factor


def _modified(trial: Prepared, truth: AnyTruth) -> str | None:
    """What the contender has done to its inputs, or None."""
    xp = namespaces.namespace(trial.contender.namespace)

    def changed(name: str, now: Any, before: Any) -> str | None:
        return None if bool(xp.all(now == before)) else f"it modified its input {name}"

    fresh = trial.operands(trial.problem, truth.x, truth.w)
    for name, now, before in zip(
        OPERANDS[trial.problem.direction], (trial.a, trial.b), fresh, strict=True
    ):
        found = each(changed, name, now, before)
        for reason in found if isinstance(found, tuple) else (found,):
            if reason is not None:
                return str(reason)
    return None
