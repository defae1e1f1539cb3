"""One duel: every contender prepared, verified, timed in interleaved rounds, verified again.

JSON in, JSON out: it runs in this process, in a worker, or on another machine alike.
"""

from __future__ import annotations

import collections
import datetime
import math
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from convcross.machine import memory, threads
from convcross.machine.contention import ContentionWatch
from convcross.measure import cold_libraries
from convcross.measure.accuracy import step_truth
from convcross.measure.accuracy import truth as accuracy
from convcross.measure.accuracy.arrays import Place
from convcross.measure.accuracy.step_truth import AnyTruth
from convcross.measure.data_seeds import measure_errors
from convcross.measure.observe import gauge, observe
from convcross.measure.phases import leave_out, time_fresh, time_plan, time_run, warm_up
from convcross.measure.prepare import prepare, verify_again
from convcross.measure.process import progress_page, stray_work
from convcross.measure.trial import (
    Ledger,
    Measurement,
    Prepared,
    Trial,
    alive,
    classify,
    give_up_process,
    guarded,
)
from convcross.results.schema import DuelResult, Record, Telemetry
from convcross.sweeps import data, regimes
from convcross.sweeps.contenders import Contender
from convcross.sweeps.duels import Duel
from convkernels import Problem, UnsupportedProblem, namespaces, optional
from convkernels.discovery import load_path

MEMORY = 0.5  # of what is free: contenders that need more together are timed in groups
GROUP_STRIDE = 1000  # more than a group has: rounds of two groups are never paired

Operands = Callable[[], tuple[Any, accuracy.Floats]]  # makes x and w; of a step (x, gy) and w


def measure(duel: Duel) -> DuelResult:
    """Measure a duel.

    In a process that another one watches (``progress_page``), raises ``trial.ProcessCorrupted``
    where a contender has made it useless for the others.

    Whoever measures needs its JSON alone: ``algorithm_paths`` are loaded here.
    """
    ledger = Ledger(duel.budget)
    for path in duel.algorithm_paths:
        load_path(path)
    problem = duel.problem
    return _measure(
        duel,
        lambda: data.operands(problem, (duel.image_data, duel.kernel_data), duel.seed),
        ledger,
    )


def measure_on(duel: Duel, x: accuracy.Floats, w: accuracy.Floats) -> DuelResult:
    """Measure a duel on an image and a kernel at hand, of its problem's shapes.

    They are rounded to the problem's dtype. Returns what ``measure`` does.
    """
    return _measure(duel, lambda: (x, w), Ledger(duel.budget))


def _measure(duel: Duel, operands: Operands, ledger: Ledger) -> DuelResult:
    problem = duel.problem
    watch = ContentionWatch()
    progress_page.begin_duel(duel.contenders)
    with ledger.charge("preparation"):
        for contender in duel.contenders:
            if contender.device != "cpu":
                cold_libraries.load(contender.namespace, contender.device)
        trials = [_trial(duel, problem, contender) for contender in duel.contenders]
        _import_libraries(trials)
    count = duel.threads or threads.usable()
    with threads.pinned(count):
        if alive(trials):
            try:
                ledger.require(accuracy.expected_seconds(problem))
                truth = _truth(duel, problem, trials, operands, ledger)
            except (RuntimeError, MemoryError) as error:
                for trial in alive(trials):
                    trial.fail(*classify(error))
            else:
                _in_groups(trials, duel, problem, truth, ledger)
    for trial in trials:
        if trial.contender.device == "cpu":
            trial.record.threads = count
    return DuelResult(
        records=[trial.record for trial in trials],
        seconds=ledger.closed(),
        neighbours=watch.shares(),
        cut=ledger.left() < 0 or any(trial.record.status == "left-out" for trial in trials),
    )


def _truth(
    duel: Duel, problem: Problem, trials: list[Trial], operands: Operands, ledger: Ledger
) -> AnyTruth:
    """The duel's operands and the reference: on the first card that a contender is on, else in
    NumPy.

    Raises ReferenceDisagrees, and where memory runs out MemoryError or torch's RuntimeError.
    """
    place = _place(trials)
    accuracy.require_memory(problem, place)
    with ledger.charge("preparation"):
        x, w = step_truth.rounded(problem, *operands())
    with ledger.charge("verification"), namespaces.on(*place):
        certified = duel.launch == 1
        return step_truth.truth(problem, x, w, duel.seed, place=place, certified=certified)


def _place(trials: list[Trial]) -> Place:
    cards = [trial.contender.device for trial in alive(trials) if trial.contender.device != "cpu"]
    if not cards:
        return "numpy", "cpu"
    return "torch" if cards[0] in namespaces.devices("torch") else "cupy", cards[0]


def _trial(duel: Duel, problem: Problem, contender: Contender) -> Trial:
    algorithm = contender.found
    record = Record(
        duel=duel.id,
        problem=duel.problem,
        algorithm=algorithm.name,
        namespace=contender.namespace,
        device=contender.device,
        family=algorithm.family,
        arithmetic=algorithm.arithmetic,
        image_data=duel.image_data,
        kernel_data=duel.kernel_data,
        seed=duel.seed,
        launch=duel.launch,
        regime=duel.regime or regimes.default(contender.device),
        status="ok",
        started_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
    )
    record.provenance.scaled = duel.scaled
    trial = Trial(contender, algorithm, problem, record)
    if contender in duel.given_up:
        trial.fail(*duel.given_up[contender])
    else:
        guarded(trial, "answers", _ask)
    return trial


def _ask(trial: Trial) -> None:
    """What a contender says of the problem before it runs."""
    contender, algorithm = trial.contender, trial.algorithm
    reason = algorithm.refuses(trial.problem, contender.namespace, contender.device)
    if reason is not None:
        raise UnsupportedProblem(reason)
    cost = algorithm.cost(trial.problem)
    workspace = float(cost.workspace)
    if not 0 <= workspace < math.inf:
        raise ValueError(f"cost's workspace is {workspace}; allowed: bytes >= 0")
    record = trial.record
    record.workspace_bytes = workspace
    record.declared_flops, record.declared_bytes = map(_sound, (cost.flops, cost.bytes))
    record.declared_once_flops = _sound(cost.once_flops)


def _sound(declared: float) -> float | None:
    """A number that an algorithm declares, where it is one."""
    return float(declared) if 0 <= float(declared) < math.inf else None


def _import_libraries(trials: Iterable[Trial]) -> None:
    """Before threads are pinned: a library loaded later would not be."""
    for trial in trials:
        if trial.record.status == "ok":
            namespaces.namespace(trial.contender.namespace)
    if optional.missing("cv2", "") is None:
        optional.load("cv2")


def _in_groups(
    trials: list[Trial],
    duel: Duel,
    problem: Problem,
    truth: AnyTruth,
    ledger: Ledger,
) -> None:
    """Time groups that fit in memory, one after the other.

    The contender that needs the least memory is in the first, and runs along in each other one as
    their common pacer: how much faster or slower it ran there is recorded with each record.
    """
    order = random.Random(f"{duel.seed} {duel.id}")
    pacer: Trial | None = None
    for number, group in enumerate(_groups(trials)):
        guest = None
        if number == 0:
            pacer = group[0]
        elif pacer is not None and pacer.record.status == "ok":
            guest = _trial(duel, problem, pacer.contender)
        measurement = Measurement(duel, truth, order, ledger, number * GROUP_STRIDE)
        _compete([*group, *([guest] if guest else [])], measurement)
        memory.release()
        for trial in group if number else ():
            trial.record.telemetry.group = number
            if guest and pacer and guest.record.median_s and pacer.record.median_s:
                trial.record.telemetry.pacer = pacer.name
                ratio = guest.record.median_s / pacer.record.median_s
                trial.record.telemetry.pacer_ratio = ratio


def _groups(trials: Iterable[Trial]) -> Iterator[list[Trial]]:
    """Contenders that fit in memory together, with the pacer in the first group and room for it in
    the others; those that fit not even alone are `oom`."""
    ok = alive(trials)
    places = {trial.contender.device: trial.contender.namespace for trial in ok}
    limits = {
        device: MEMORY * namespaces.free_bytes(name, device) for device, name in places.items()
    }
    for trial in ok:
        need, limit = trial.bytes(), limits[trial.contender.device]
        if need > 2 * limit:
            trial.fail("oom", f"needs {need / 2**30:.1f} GiB; {2 * limit / 2**30:.1f} GiB are free")
    ok = alive(ok)
    if not ok:
        return
    pacer = min(ok, key=Trial.bytes)
    group = [pacer]
    held = collections.defaultdict(float, {pacer.contender.device: pacer.bytes()})
    for trial in ok:
        device = trial.contender.device
        if trial is pacer:
            continue
        if group and held[device] + trial.bytes() > limits[device]:
            yield group
            group = []
            held = collections.defaultdict(float, {pacer.contender.device: pacer.bytes()})
        group.append(trial)
        held[device] += trial.bytes()
    yield group


def _compete(group: list[Trial], measurement: Measurement) -> None:
    found: dict[str, Prepared] = {}
    left = {}
    if measurement.duel.budget is not None:  # where not all may fit, first those that need little
        group = sorted(group, key=lambda trial: trial.record.declared_flops or math.inf)
    for trial in group:
        others = stray_work.running()
        prepared = guarded(trial, "preparation", prepare, measurement)
        if prepared is not None:
            found[trial.name] = prepared
        left[trial.name] = stray_work.running() - others
    for trial in group:
        if (reason := stray_work.busy(left[trial.name])) is not None:
            give_up_process(found.get(trial.name, trial), reason)
    ready = list(found.values())
    measure_errors(ready, measurement)
    for prepared in alive(ready):
        guarded(prepared, "warm-up", warm_up, measurement)
    leave_out(alive(ready), measurement)
    devices = {prepared.contender.device for prepared in alive(ready)}
    gauges = {device: gauge(device) for device in devices}
    before = {device: used.read() for device, used in gauges.items()}
    time_run(alive(ready), measurement)
    time_fresh(alive(ready), measurement)
    since = {device: used.since(before[device]) for device, used in gauges.items()}
    for prepared in alive(ready):
        told = Telemetry.model_validate(since[prepared.contender.device])
        record = prepared.record
        record.telemetry = record.telemetry.model_copy(update=told.known())
    for step, action in (("planning", time_plan), ("last run", verify_again), ("profile", observe)):
        for prepared in alive(ready):
            if action is verify_again or measurement.ledger.left() > 0:
                guarded(prepared, step, action, measurement)
    for prepared in ready:
        prepared.release()
