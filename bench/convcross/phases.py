"""The three phases of a contender timed: run, load and run, and plan.

Warm means warmed by itself: each warm sample is preceded by an untimed run. Else the caches, the
freed pages and the cores on which a library's idle threads still spin would be those that the
rival before it left behind; a 2048² FFT took half as long again (47 ms instead of 31).
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

from convcross.duels import Duel
from convcross.entry import Entry, Ledger, TooSlow, alive, classify
from convcross.spec import Limits
from convcross.statistics import Series, interleave, median_interval

SHORTEST = 50e-6  # seconds of a warm sample: shorter runs are timed in batches
WARMUP = 0.2  # of the limit in seconds, at most, for each contender
STEADY = 0.02  # relative change of the running median at which a contender is warm
PLANS = 5  # new instances planned


def warm_up(entry: Entry, limits: Limits, ledger: Ledger) -> None:
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


def time_run(group: list[Entry], duel: Duel, order: random.Random, ledger: Ledger) -> None:
    def sampler(entry: Entry) -> Callable[[], list[float]]:
        assert entry.instance is not None
        assert entry.watch is not None
        run, a, batch, watch = entry.instance.run, entry.a, entry.batch, entry.watch
        flush, warm = (entry.record.regime == regime for regime in ("flushed", "warm"))

        def runs() -> Any:
            for _ in range(batch - 1):
                run(a)
            return run(a)

        def sample() -> list[float]:
            if warm:
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


def time_fresh(group: list[Entry], duel: Duel, order: random.Random, ledger: Ledger) -> None:
    """load + run as one sample, and the load's part of it."""

    def sampler(entry: Entry) -> Callable[[], list[float]]:
        assert entry.instance is not None
        assert entry.watch is not None
        instance, a, b, watch = entry.instance, entry.a, entry.b, entry.watch
        flush, warm = (entry.record.regime == regime for regime in ("flushed", "warm"))

        def sample() -> list[float]:
            if warm:
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
    for entry in alive(group):
        yield entry, [found[entry.name], extra[entry.name]]


def time_plan(entry: Entry, seconds: float, ledger: Ledger) -> None:
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
