"""One duel: every contender prepared, verified, timed in interleaved rounds, verified again.

JSON in, JSON out: it runs in this process, in a worker, or on another machine alike.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import math
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from convcross import accuracy, data, stopwatch, threads
from convcross.duels import Contender, Duel
from convcross.records import Record
from convcross.spec import Limits
from convcross.statistics import Series, interleave, median_interval
from convkernels import Problem, UnsupportedProblem, namespaces
from convkernels.registry import Algorithm, Defaults, find, load_path

SHORTEST = 50e-6  # seconds of a warm sample: shorter runs are timed in batches
# A warm run of less than so many seconds is preceded by an untimed one: else the caches, and the
# cores on which a library's idle threads still spin, are those that a rival left behind.
PRIMED = 20e-3
WARMUP = 0.2  # of the limit in seconds, at most, for each contender
STEADY = 0.02  # relative change of the running median at which a contender is warm
TRIES = 3  # runs of a smaller problem before the whole one is called too slow
PLANS = 5  # new instances planned
MEMORY = 0.5  # of what is free: contenders that need more together are timed in groups
BUCKETS = ("measured", "warmup", "verification", "preparation")


Operands = Callable[[], tuple[accuracy.Floats, accuracy.Floats]]  # makes x and w


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
    """A contender on its way through a duel."""

    contender: Contender
    algorithm: Algorithm
    problem: Problem
    record: Record
    instance: Defaults | None = None
    a: Any = None
    b: Any = None
    first: Any = None  # the verified result, poisoned before the last run
    watch: stopwatch.Stopwatch | None = None
    batch: int = 1
    primed: bool = False

    @property
    def name(self) -> str:
        return str(self.contender)

    def fail(self, status: Any, reason: str) -> None:
        self.record.status, self.record.reason = status, reason
        self.release()

    def release(self) -> None:
        self.instance = self.a = self.b = self.first = self.watch = None

    def on_device(self) -> contextlib.AbstractContextManager[Any]:
        return namespaces.on(self.contender.namespace, self.contender.device)

    def synchronize(self) -> None:
        namespaces.synchronize(self.contender.namespace, self.contender.device)

    def operands(self, problem: Problem, x: Any, w: Any) -> tuple[Any, Any]:
        """Its own copies of x and w."""
        place = self.contender.namespace, self.contender.device, problem.dtype
        return namespaces.from_numpy(x, *place), namespaces.from_numpy(w, *place)

    def bytes(self) -> float:
        """What it holds at once: its operands and result, and the workspace it declares."""
        return 2.0 * self.problem.min_bytes + (self.record.workspace_bytes or 0.0)


def measure(duel_json: dict[str, Any]) -> dict[str, Any]:
    """Measure a duel.

    Parameters
    ----------
    duel_json : the JSON of a ``duels.Duel``

    Returns
    -------
    dict
        "records": JSON of a ``records.Record`` for each contender, in the duel's order;
        "seconds": where the wall time went.
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
    with ledger.charge("preparation"):
        entries = [_entry(duel, problem, name) for name in duel.contenders]
        _import_libraries(entries)
    count = duel.threads or threads.usable()
    with threads.pinned(count):
        try:
            truth = _truth(duel, problem, operands, ledger)
        except (accuracy.ReferenceDisagrees, MemoryError) as error:
            for entry in _alive(entries):
                entry.fail(*classify(error))
        else:
            order = random.Random(f"{duel.seed} {duel.id}")
            for group in _groups(entries):
                _compete(group, duel, truth, order, ledger)
    for entry in entries:
        if entry.contender.device == "cpu":
            entry.record.threads = count
    return {
        "records": [entry.record.model_dump(mode="json") for entry in entries],
        "seconds": ledger.closed(),
    }


def _truth(duel: Duel, problem: Problem, operands: Operands, ledger: Ledger) -> accuracy.Truth:
    """The duel's operands and the reference. Raises ReferenceDisagrees and MemoryError."""
    import psutil

    double = dataclasses.replace(problem, dtype="float64")
    need = 4.0 * double.min_bytes + find("fft").implementation.cost(double).workspace
    free = psutil.virtual_memory().available
    if need > free:  # a system that overcommits would kill the process instead
        raise MemoryError(
            f"the reference needs {need / 2**30:.1f} GiB; {free / 2**30:.1f} GiB are free"
        )
    with ledger.charge("preparation"):
        x, w = (
            namespaces.round_to(values, problem.dtype).astype("float64") for values in operands()
        )
    with ledger.charge("verification"):
        return accuracy.truth(problem, x, w, duel.seed)


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
    _guarded(entry, _ask)
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


def _groups(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Contenders that fit in memory together; those that fit not even alone are `oom`."""
    import psutil

    limit = MEMORY * psutil.virtual_memory().available
    group: list[Entry] = []
    held = 0.0
    for entry in (entry for entry in entries if entry.record.status == "ok"):
        need = entry.bytes() if entry.contender.device == "cpu" else 0.0
        if need > 2 * limit:
            entry.fail("oom", f"needs {need / 2**30:.1f} GiB; {2 * limit / 2**30:.1f} GiB are free")
            continue
        if group and held + need > limit:
            yield group
            group, held = [], 0.0
        group.append(entry)
        held += need
    if group:
        yield group


def _compete(
    group: list[Entry], duel: Duel, truth: accuracy.Truth, order: random.Random, ledger: Ledger
) -> None:
    for entry in group:
        _guarded(entry, _prepare, duel, truth, ledger)
    for entry in _alive(group):
        _guarded(entry, _warm_up, duel.limits, ledger)
    _time_run(_alive(group), duel, order, ledger)
    _time_fresh(_alive(group), duel, order, ledger)
    for entry in _alive(group):
        _guarded(entry, _time_plan, duel.limits.seconds, ledger)
    for entry in _alive(group):
        _guarded(entry, _verify_again, truth, ledger)
    for entry in group:
        entry.release()


def _alive(group: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in group if entry.record.status == "ok"]


def _guarded(entry: Entry, action: Callable[..., None], *arguments: Any) -> None:
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


# ---- preparing and verifying -----------------------------------------------------------------


class TooSlow(RuntimeError):
    """A run would outlast its limit."""


def _prepare(entry: Entry, duel: Duel, truth: accuracy.Truth, ledger: Ledger) -> None:
    contender, problem = entry.contender, entry.problem
    with ledger.charge("preparation"):
        _climb(entry, duel.limits.run_seconds, truth)
        entry.a, entry.b = entry.operands(problem, truth.x, truth.w)
        entry.watch = stopwatch.stopwatch(
            contender.namespace, contender.device, entry.record.regime
        )
        begin = time.perf_counter()
        entry.instance = entry.algorithm.prepare(problem, contender.namespace, contender.device)
        entry.synchronize()
        entry.record.provenance["first_plan_s"] = time.perf_counter() - begin
        entry.instance.load(entry.b)
        entry.first = entry.instance.run(entry.a)
        entry.synchronize()
        said = json.dumps(entry.instance.provenance(), allow_nan=False)  # what no file could hold
        entry.record.provenance.update(json.loads(said))
    with ledger.charge("verification"):
        dtype = namespaces.dtype_name(entry.first)
        if dtype != problem.dtype:
            entry.fail("wrong", f"dtype {dtype}; expected {problem.dtype}")
            return
        y = namespaces.to_numpy(entry.first)
        bound = entry.algorithm.implementation.error_bound(problem)
        reason = accuracy.verify(y, bound, truth)
        entry.record.provenance["reference"] = truth.certificate
        if reason is not None:
            entry.fail("wrong", reason)
            return
        entry.record.error = accuracy.errors(y, truth)


def _climb(entry: Entry, limit: float, truth: accuracy.Truth) -> None:
    """Refuse to start a run that would outlast its limit, by timing smaller problems first.

    The image's sides are doubled from 64, then the batch from 1: each step is at most about four
    times the one before, so that no step is much longer than the limit, and none is taken where
    the declared cost alone shows that the problem is short.

    Raises TooSlow.
    """
    problem, cost = entry.problem, entry.algorithm.implementation.cost
    pessimistic = 2e8 if entry.contender.device == "cpu" else 1e11  # FLOP/s
    if cost(problem).flops <= pessimistic * limit:
        return
    for smaller in _ladder(problem):
        x, w = truth.x, truth.w
        if not problem.is_image or problem.batch > 1:
            x = x[: smaller.batch]
        a, b = entry.operands(
            smaller, x[..., : smaller.image[0], : smaller.image[1]].reshape(smaller.x_shape), w
        )
        place = entry.contender.namespace, entry.contender.device
        instance = entry.algorithm.prepare(smaller, *place)
        instance.load(b)
        entry.synchronize()
        for _ in range(TRIES):  # a first run may load libraries and plan
            begin = time.perf_counter()
            instance.run(a)
            entry.synchronize()
            seconds = time.perf_counter() - begin
            whole = seconds * cost(problem).flops / cost(smaller).flops
            if min(4 * seconds, whole) <= limit:  # the last step is often a short one
                break
        else:
            raise TooSlow(f"a run would take about {whole:.2g} s; limit: {limit:g} s")


def _ladder(problem: Problem) -> Iterator[Problem]:
    """Smaller problems of the same kind, each about four times the one before."""
    least = max(64, *problem.extent)
    side, batch = least, 1
    while side < max(problem.image) or batch < problem.batch:
        image = (min(side, problem.image[0]), min(side, problem.image[1]))
        yield dataclasses.replace(problem, image=image, batch=batch)
        if side < max(problem.image):
            side *= 2
        else:
            batch = min(4 * batch, problem.batch)


def _verify_again(entry: Entry, truth: accuracy.Truth, ledger: Ledger) -> None:
    """The result of one more run: of the negated image, the earlier result overwritten with NaN.

    So neither a result that was kept nor one that shares memory with it passes.
    """
    assert entry.instance is not None
    with ledger.charge("verification"):
        entry.first[...] = math.nan
        entry.a *= -1
        y = entry.instance.run(entry.a)
        entry.synchronize()
        bound = entry.algorithm.implementation.error_bound(entry.problem)
        reason = accuracy.verify(-namespaces.to_numpy(y), bound, truth)
    if reason is not None:
        entry.fail("wrong", f"after timing: {reason}")


# ---- timing ----------------------------------------------------------------------------------


def _warm_up(entry: Entry, limits: Limits, ledger: Ledger) -> None:
    """Run until the running median has settled, or WARMUP of the limit is spent.

    Raises TooSlow.
    """
    assert entry.instance is not None
    assert entry.watch is not None
    run, a = entry.instance.run, entry.a
    flush = entry.record.regime == "flushed"
    times: list[float] = []
    with ledger.charge("warmup"):
        begin = time.perf_counter()  # flushes count too: they may outlast the runs a thousandfold
        while len(times) < 2 or time.perf_counter() - begin < WARMUP * limits.seconds:
            times += entry.watch.time([lambda: run(a)], flush=flush)
            if times[0] > limits.run_seconds:  # its cost did not tell, or _climb would have
                raise TooSlow(f"a run takes {times[0]:.2g} s; limit: {limits.run_seconds:g} s")
            half = len(times) // 2
            if half >= 3:
                early, late = (median_interval(part)[0] for part in (times[:half], times[half:]))
                if abs(late - early) <= STEADY * late:
                    break
    if entry.record.regime == "warm":
        entry.batch = max(1, math.ceil(SHORTEST / max(min(times), 1e-9)))
        entry.primed = min(times) < PRIMED


def _time_run(group: list[Entry], duel: Duel, order: random.Random, ledger: Ledger) -> None:
    def sampler(entry: Entry) -> Callable[[], list[float]]:
        assert entry.instance is not None
        assert entry.watch is not None
        run, a, batch, watch = entry.instance.run, entry.a, entry.batch, entry.watch
        flush = entry.record.regime == "flushed"

        def runs() -> Any:
            for _ in range(batch - 1):
                run(a)
            return run(a)

        def sample() -> list[float]:
            if entry.primed:
                run(a)
            return [watch.time([runs], flush=flush)[0] / batch]

        return sample

    for entry, series in _rounds(group, sampler, duel, 1.0, order, ledger):
        entry.record.phase_seconds["run"] = series[0].samples
        entry.record.rounds = series[0].rounds
        entry.record.settled = series[0].settled
        entry.record.provenance["batch"] = entry.batch
        middle, low, high = median_interval(series[0].samples)
        entry.record.median_s, entry.record.ci_low_s, entry.record.ci_high_s = middle, low, high


def _time_fresh(group: list[Entry], duel: Duel, order: random.Random, ledger: Ledger) -> None:
    """load + run as one sample, and the load's part of it."""

    def sampler(entry: Entry) -> Callable[[], list[float]]:
        assert entry.instance is not None
        assert entry.watch is not None
        instance, a, b, watch = entry.instance, entry.a, entry.b, entry.watch
        flush = entry.record.regime == "flushed"

        def sample() -> list[float]:
            if entry.primed:
                instance.run(a)
            load, run = watch.time([lambda: instance.load(b), lambda: instance.run(a)], flush=flush)
            return [load + run, load]

        return sample

    for entry, (fresh, load) in _rounds(group, sampler, duel, 0.5, order, ledger):
        entry.record.phase_seconds["fresh"] = fresh.samples
        entry.record.phase_seconds["load"] = load.samples
        entry.record.fresh_rounds = fresh.rounds


def _rounds(
    group: list[Entry],
    sampler: Callable[[Entry], Callable[[], list[float]]],
    duel: Duel,
    share: float,
    order: random.Random,
    ledger: Ledger,
) -> Iterator[tuple[Entry, list[Series]]]:
    """Interleave the samplers of a group; the first number of each sample decides when to stop.

    A contender that fails on the way is recorded so and leaves the rounds.
    """
    extra: dict[str, Series] = {entry.name: Series() for entry in group}

    def action(entry: Entry) -> Callable[[], tuple[float, float] | None]:
        take = sampler(entry)

        def sample() -> tuple[float, float]:
            begin = time.perf_counter()
            with entry.on_device():
                times = take()
            wall = time.perf_counter() - begin
            inside = times[0] * (entry.batch if len(times) == 1 else 1)
            ledger.seconds["measured"] += inside
            ledger.seconds["warmup"] += wall - inside
            extra[entry.name].samples += times[1:]
            return times[0], inside

        def guarded() -> tuple[float, float] | None:
            try:
                return sample()
            except Exception as error:
                entry.fail(*classify(error))
                return None

        return guarded

    found = interleave(
        {entry.name: action(entry) for entry in group},
        seconds=share * duel.limits.seconds,
        samples=duel.limits.samples,
        order=order,
    )
    for entry in _alive(group):
        yield entry, [found[entry.name], extra[entry.name]]


def _time_plan(entry: Entry, seconds: float, ledger: Ledger) -> None:
    """New instances, planned: at least one, and PLANS while they stay within the limit."""
    place = entry.contender.namespace, entry.contender.device
    times: list[float] = []
    with ledger.charge("preparation"):
        while not times or (len(times) < PLANS and sum(times) < 10 * seconds):
            begin = time.perf_counter()
            entry.algorithm.prepare(entry.problem, *place)
            entry.synchronize()
            times.append(time.perf_counter() - begin)
    entry.record.phase_seconds["plan"] = times
    entry.record.telemetry["load_average"] = os.getloadavg()[0]
