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
from convcross.machine.contention import Watch
from convcross.measure.accuracy import truth as accuracy
from convcross.measure.accuracy.arrays import Place
from convcross.measure.data_seeds import measure_errors
from convcross.measure.observe import gauge, observe
from convcross.measure.phases import time_fresh, time_plan, time_run, warm_up
from convcross.measure.prepare import prepare, verify_again
from convcross.measure.process import progress_page, stray_work
from convcross.measure.trial import Entry, Ledger, alive, classify, guarded, spoil
from convcross.results.schema import Record
from convcross.sweeps import data
from convcross.sweeps.duels import Contender, Duel
from convkernels import Problem, UnsupportedProblem, namespaces
from convkernels.discovery import load_path

MEMORY = 0.5  # of what is free: contenders that need more together are timed in groups
ROUNDS = 1000  # more than a group has: rounds of two groups are never paired

Operands = Callable[[], tuple[accuracy.Floats, accuracy.Floats]]  # makes x and w


def measure(duel_json: dict[str, Any]) -> dict[str, Any]:
    """Measure a duel.

    In a process that another one watches (``beacon``), raises ``entry.Spoiled`` where a contender
    has made it useless for the others.

    Parameters
    ----------
    duel_json : the JSON of a ``duels.Duel``

    Returns
    -------
    dict
        "records": JSON of a ``records.Record`` for each contender, in the duel's order;
        "seconds": where the wall time went; "neighbours": what else used the cores meanwhile.
    """
    ledger = Ledger()
    duel = Duel.model_validate(duel_json)
    for path in duel.algorithm_paths:
        load_path(path)
    problem = Problem.from_json(duel.problem)
    return _measure(
        duel,
        problem,
        lambda: (
            data.image(duel.image_data, problem.x_shape, duel.seed),
            data.kernel(duel.kernel_data, problem.w_shape, duel.seed),
        ),
        ledger,
    )


def measure_on(duel: Duel, x: accuracy.Floats, w: accuracy.Floats) -> dict[str, Any]:
    """Measure a duel on an image and a kernel at hand, of its problem's shapes.

    They are rounded to the problem's dtype. Returns what ``measure`` does.
    """
    return _measure(duel, Problem.from_json(duel.problem), lambda: (x, w), Ledger())


def _measure(duel: Duel, problem: Problem, operands: Operands, ledger: Ledger) -> dict[str, Any]:
    watch = Watch()
    progress_page.begin_duel(duel.contenders)
    with ledger.charge("preparation"):
        entries = [_entry(duel, problem, name) for name in duel.contenders]
        _import_libraries(entries)
    count = duel.threads or threads.usable()
    with threads.pinned(count):
        if alive(entries):
            try:
                truth = _truth(duel, problem, entries, operands, ledger)
            except (RuntimeError, MemoryError) as error:
                for entry in alive(entries):
                    entry.fail(*classify(error))
            else:
                _in_groups(entries, duel, problem, truth, ledger)
    for entry in entries:
        if entry.contender.device == "cpu":
            entry.record.threads = count
    return {
        "records": [entry.record.model_dump(mode="json") for entry in entries],
        "seconds": ledger.closed(),
        "neighbours": watch.shares(),
    }


def _truth(
    duel: Duel, problem: Problem, entries: list[Entry], operands: Operands, ledger: Ledger
) -> accuracy.Truth:
    """The duel's operands and the reference: on the first card that a contender is on, else in
    NumPy.

    Raises ReferenceDisagrees, and where memory runs out MemoryError or torch's RuntimeError.
    """
    place = _place(entries)
    accuracy.require_memory(problem, place)
    with ledger.charge("preparation"):
        x, w = (
            namespaces.round_to(values, problem.dtype).astype("float64") for values in operands()
        )
    with ledger.charge("verification"), namespaces.on(*place):
        return accuracy.truth(problem, x, w, duel.seed, place=place)


def _place(entries: list[Entry]) -> Place:
    cards = [entry.contender.device for entry in alive(entries) if entry.contender.device != "cpu"]
    if not cards:
        return "numpy", "cpu"
    return "torch" if cards[0] in namespaces.devices("torch") else "cupy", cards[0]


def _entry(duel: Duel, problem: Problem, name: str) -> Entry:
    contender = Contender.parse(name)
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
        regime=duel.regime or ("warm" if contender.device == "cpu" else "flushed"),
        status="ok",
        started_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
    )
    entry = Entry(contender, algorithm, problem, record)
    if name in duel.given_up:
        entry.fail(*duel.given_up[name])
    else:
        guarded(entry, "answers", _ask)
    return entry


def _ask(entry: Entry) -> None:
    """What a contender says of the problem before it runs."""
    contender, algorithm = entry.contender, entry.algorithm
    reason = algorithm.refuses(entry.problem, contender.namespace, contender.device)
    if reason is not None:
        raise UnsupportedProblem(reason)
    workspace = float(algorithm.implementation.cost(entry.problem).workspace)
    if not 0 <= workspace < math.inf:
        raise ValueError(f"cost's workspace is {workspace}; allowed: bytes >= 0")
    entry.record.workspace_bytes = workspace


def _import_libraries(entries: Iterable[Entry]) -> None:
    """Before threads are pinned: a library loaded later would not be."""
    for entry in entries:
        if entry.record.status == "ok":
            namespaces.namespace(entry.contender.namespace)
    if namespaces.installed("cv2"):
        import cv2  # noqa: F401


def _in_groups(
    entries: list[Entry],
    duel: Duel,
    problem: Problem,
    truth: accuracy.Truth,
    ledger: Ledger,
) -> None:
    """Time groups that fit in memory, one after the other.

    The contender that needs the least memory is in the first, and runs along in each other one as
    their common pacer: how much faster or slower it ran there is recorded with each record.
    """
    order = random.Random(f"{duel.seed} {duel.id}")
    pacer: Entry | None = None
    for number, group in enumerate(_groups(entries)):
        guest = None
        if number == 0:
            pacer = group[0]
        elif pacer is not None and pacer.record.status == "ok":
            guest = _entry(duel, problem, pacer.name)
        _compete([*group, *([guest] if guest else [])], duel, truth, order, ledger, number * ROUNDS)
        memory.release()
        for entry in group if number else ():
            entry.record.telemetry["group"] = number
            if guest and pacer and guest.record.median_s and pacer.record.median_s:
                entry.record.telemetry["pacer"] = pacer.name
                ratio = guest.record.median_s / pacer.record.median_s
                entry.record.telemetry["pacer_ratio"] = ratio


def _groups(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Contenders that fit in memory together, with the pacer in the first group and room for it in
    the others; those that fit not even alone are `oom`."""
    ok = alive(entries)
    places = {entry.contender.device: entry.contender.namespace for entry in ok}
    limits = {device: MEMORY * memory.free(name, device) for device, name in places.items()}
    for entry in ok:
        need, limit = entry.bytes(), limits[entry.contender.device]
        if need > 2 * limit:
            entry.fail("oom", f"needs {need / 2**30:.1f} GiB; {2 * limit / 2**30:.1f} GiB are free")
    ok = alive(ok)
    if not ok:
        return
    pacer = min(ok, key=Entry.bytes)
    group = [pacer]
    held = collections.defaultdict(float, {pacer.contender.device: pacer.bytes()})
    for entry in ok:
        device = entry.contender.device
        if entry is pacer:
            continue
        if group and held[device] + entry.bytes() > limits[device]:
            yield group
            group = []
            held = collections.defaultdict(float, {pacer.contender.device: pacer.bytes()})
        group.append(entry)
        held[device] += entry.bytes()
    yield group


def _compete(
    group: list[Entry],
    duel: Duel,
    truth: accuracy.Truth,
    order: random.Random,
    ledger: Ledger,
    first: int,
) -> None:
    left = {}
    for entry in group:
        others = stray_work.running()
        guarded(entry, "preparation", prepare, duel, truth, ledger)
        left[entry.name] = stray_work.running() - others
    for entry in group:
        if (told := stray_work.busy(left[entry.name])) is not None:
            spoil(entry, told)
    measure_errors(group, duel, truth, ledger)
    for entry in alive(group):
        guarded(entry, "warm-up", warm_up, duel.limits, ledger)
    gauges = {entry.contender.device: gauge(entry.contender.device) for entry in alive(group)}
    before = {device: one.read() for device, one in gauges.items()}
    time_run(alive(group), duel, order, ledger, first)
    time_fresh(alive(group), duel, order, ledger, first)
    since = {device: one.since(before[device]) for device, one in gauges.items()}
    for entry in alive(group):
        entry.record.telemetry.update(since[entry.contender.device])
    for entry in alive(group):
        guarded(entry, "planning", time_plan, duel.limits.seconds, ledger)
    for entry in alive(group):
        guarded(entry, "last run", verify_again, truth, ledger)
    for entry in alive(group):
        guarded(entry, "profile", observe, duel, ledger)
    for entry in group:
        entry.release()
