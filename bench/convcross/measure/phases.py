"""The three phases of a contender timed: run, load and run, and plan.

Warm means warmed by itself: but in regime flushed, each sample is preceded by an untimed run. Else
the caches, the freed pages and the cores on which a library's idle threads still spin would be
those that the rival before it left behind; a 2048² FFT took half as long again (47 ms instead of
31).
"""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

from convcross.measure.prepare import note_rate
from convcross.measure.process import progress_page
from convcross.measure.trial import Entry, Ledger, TooSlow, alive, step_of
from convcross.stats.median import CLOCKS, Sample, Series, interleave, median_interval
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits

# Seconds of a warm run, for the host's clock and for CUDA's events. Shorter ones are timed in
# batches of BATCH times that, so that what surrounds a sample (0.2 µs, and 1 µs) is little.
SHORTEST = {"cpu": 50e-6, "cuda": 20e-6}
BATCH = 4
WARMUP = 0.2  # of the limit in seconds, at most, for each contender
STEADY = 0.02  # relative change of the running median at which a contender is warm
PLANS = 5  # new instances planned


def warm_up(entry: Entry, limits: Limits, ledger: Ledger) -> None:
    """Run until the running median has settled, or WARMUP of the limit is spent.

    Raises TooSlow.
    """
    assert entry.run is not None
    assert entry.watch is not None
    flush, longest = entry.record.regime == "flushed", limits.longest_run(entry.contender.device)
    times: list[float] = []
    with ledger.charge("warmup"):
        begin = time.perf_counter()  # flushes count too: they may outlast the runs a thousandfold
        while len(times) < 2 or time.perf_counter() - begin < WARMUP * limits.seconds:
            times += entry.watch.time([entry.run], flush=flush)
            if times[0] > longest:  # its cost did not tell, or _climb would have
                raise TooSlow(f"a run takes {times[0]:.2g} s; limit: {longest:g} s")
            half = len(times) // 2
            if half >= 3:
                early, late = (median_interval(part)[0] for part in (times[:half], times[half:]))
                if abs(late - early) <= STEADY * late:
                    break
    note_rate(entry, min(times))
    if entry.record.regime in ("warm", "graph"):
        shortest = SHORTEST[entry.contender.device.partition(":")[0]]
        if min(times) < shortest:
            entry.batch = math.ceil(BATCH * shortest / max(min(times), 1e-9))


def time_run(
    group: list[Entry], duel: Duel, order: random.Random, ledger: Ledger, first: int = 0
) -> None:
    """Time the runs of a group; the first round has the number ``first``."""

    def sampler(entry: Entry) -> Callable[[], list[float]]:
        run, watch, batch = entry.run, entry.watch, entry.batch
        assert run is not None
        assert watch is not None
        flush = entry.record.regime == "flushed"

        def runs() -> Any:
            for _ in itertools.repeat(None, batch - 1):
                run()
            return run()

        step = run if batch == 1 else runs

        def sample() -> list[float]:
            if not flush:
                run()
            return [watch.time([step], flush=flush)[0] / batch]

        watch.reset_clock()
        return sample

    for entry, series in _rounds("timed runs", group, sampler, duel, 1.0, order, ledger, first):
        assert entry.watch is not None
        record = entry.record
        record.phase_seconds["run"] = series[0].samples
        record.rounds = series[0].rounds
        record.settled = series[0].settled
        record.provenance["batch"] = entry.batch
        record.median_s, record.ci_low_s, record.ci_high_s = median_interval(series[0].samples)
        if record.device != "cpu" and record.regime != "wall":
            record.telemetry["launches_hidden"] = entry.watch.held
            record.telemetry["sm_hz"] = entry.watch.pooled_sm_hz()
            record.telemetry["rounds_again"] = series[0].again
    _flag_power_limited(alive(group))


def _flag_power_limited(group: list[Entry]) -> None:
    """Those that ran at a lower clock than a rival, although uneven rounds were measured again."""
    clocks = {entry.name: entry.record.telemetry.get("sm_hz") for entry in group}
    fastest = max((clock for clock in clocks.values() if clock is not None), default=0.0)
    for entry in group:
        clock = clocks[entry.name]
        if clock is not None and (1 + CLOCKS) * clock < fastest:
            entry.record.flags.append("power-limited")


def time_fresh(
    group: list[Entry], duel: Duel, order: random.Random, ledger: Ledger, first: int = 0
) -> None:
    """load + run as one sample, and the load's part of it."""

    def sampler(entry: Entry) -> Callable[[], list[float]]:
        load, run, watch = entry.load, entry.run, entry.watch
        assert load is not None
        assert run is not None
        assert watch is not None
        flush = entry.record.regime == "flushed"

        def sample() -> list[float]:
            if not flush:
                run()
            loaded, ran = watch.time([load, run], flush=flush)
            return [loaded + ran, loaded]

        return sample

    group = [entry for entry in group if entry.load is not None]
    for entry, (fresh, load) in _rounds(
        "timed loads", group, sampler, duel, 0.5, order, ledger, first
    ):
        entry.record.phase_seconds["fresh"] = fresh.samples
        entry.record.phase_seconds["load"] = load.samples
        entry.record.fresh_rounds = fresh.rounds


def _rounds(
    step: str,
    group: list[Entry],
    sampler: Callable[[Entry], Callable[[], list[float]]],
    duel: Duel,
    share: float,
    order: random.Random,
    ledger: Ledger,
    first: int = 0,
) -> Iterator[tuple[Entry, list[Series]]]:
    """Interleave the samplers of a group; the first number of each sample decides when to stop.

    A contender that fails on the way is recorded so and leaves the rounds.
    """
    extra: dict[str, Series] = {entry.name: Series() for entry in group}

    def action(entry: Entry) -> Callable[[], Sample | None]:
        take = sampler(entry)

        def sample() -> Sample:
            assert entry.watch is not None
            begin = time.perf_counter()
            with entry.on_device():
                times = take()
            wall = time.perf_counter() - begin
            inside = times[0] * (entry.batch if len(times) == 1 else 1)
            ledger.seconds["measured"] += inside
            ledger.seconds["warmup"] += wall - inside
            extra[entry.name].samples += times[1:]
            return Sample(times[0], inside, entry.watch.sm_hz if len(times) == 1 else None)

        def guarded() -> Sample | None:
            with step_of(entry, step):
                return sample()
            return None  # it failed

        return guarded

    found = interleave(
        {entry.name: action(entry) for entry in group},
        seconds=share * duel.limits.seconds,
        samples=duel.limits.samples,
        order=order,
        first=first,
    )
    for entry in alive(group):
        yield entry, [found[entry.name], extra[entry.name]]


def time_plan(entry: Entry, seconds: float, ledger: Ledger) -> None:
    """New instances, planned: at least one, and PLANS while they stay within the limit."""
    place = entry.contender.namespace, entry.contender.device
    times: list[float] = []
    with ledger.charge("measured"):
        while not times or (len(times) < PLANS and sum(times) < 10 * seconds):
            progress_page.begin(entry.name, "planning")
            begin = time.perf_counter()
            entry.algorithm.prepare(entry.problem, *place)
            entry.synchronize()
            times.append(time.perf_counter() - begin)
    entry.record.phase_seconds["plan"] = times
