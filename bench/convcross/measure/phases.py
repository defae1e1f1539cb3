"""The three phases of a contender timed: run, load and run, and plan.

Warm means warmed by itself: but in regime flushed, each sample is preceded by an untimed run. Else
the caches, the freed pages and the cores on which a library's idle threads still spin would be
those that the rival before it left behind; a 2048² FFT took half as long again (47 ms instead of
31).
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from convcross.measure.prepare import note_rate
from convcross.measure.process import progress_page
from convcross.measure.timing import waits
from convcross.measure.timing.clock import Stopwatch
from convcross.measure.timing.sampling import CLOCKS, LEAST, Sample, Series, interleave
from convcross.measure.trial import Measurement, Prepared, TooSlow, alive, step_of
from convcross.results.schema import Record
from convcross.stats.median import median_interval, quantile

# Seconds of a warm run, for the host's clock and for CUDA's events. Shorter ones are timed in
# batches of BATCH times that, so that what surrounds a sample (0.2 µs, and 1 to 2 µs) is little. A
# batch on a card has no more launches than a held stream takes, as each is 1.5 µs of the device.
SHORTEST = {"cpu": 50e-6, "cuda": 100e-6}
BATCH = 4
WARMUP = 0.2  # of the limit in seconds, at most, for each contender
STEADY = 0.02  # relative change of the running median at which a contender is warm
PLANS = 5  # new instances planned
TOLD = 0.25  # of the samples that did not wait for a core, at least, to tell a median


def warm_up(trial: Prepared, measurement: Measurement) -> None:
    """Run until the running median has settled, or WARMUP of the limit is spent.

    Raises TooSlow.
    """
    limits = measurement.duel.limits
    flush, longest = trial.regime.flushed, limits.longest_run(trial.contender.device)
    times: list[float] = []
    with measurement.ledger.charge("warmup"):
        before = waits.accounts()
        begin = time.perf_counter()  # flushes count too: they may outlast the runs a thousandfold
        while len(times) < 2 or time.perf_counter() - begin < WARMUP * limits.seconds:
            times += trial.stopwatch.time([trial.run], flush=flush)
            measurement.ledger.require()
            if times[0] > longest:  # its cost did not tell, or _climb would have
                raise TooSlow(f"a run takes {times[0]:.2g} s; limit: {longest:g} s")
            half = len(times) // 2
            if half >= 3:
                early, late = (median_interval(part)[0] for part in (times[:half], times[half:]))
                if abs(late - early) <= STEADY * late:
                    break
        trial.stopwatch.watch(waits.working(before, waits.accounts()))
    trial.run_seconds = min(times)
    note_rate(trial, min(times))
    if trial.regime.batched:
        trial.batch = batch(min(times), trial.contender.device)


def batch(run: float, device: str) -> int:
    """How many runs of so many seconds are timed as one sample."""
    shortest = SHORTEST[device.partition(":")[0]]
    return 1 if run >= shortest else math.ceil(BATCH * shortest / max(run, 1e-9))


def leave_out(group: list[Prepared], measurement: Measurement) -> None:
    """Of warm contenders, the fastest that fit in the budget together stay: all take turns, and
    none has a time before each has had several."""
    left = measurement.ledger.left()
    runs = 2 * math.ceil(LEAST / measurement.duel.launches) + 1  # each sample's own, and the last
    for trial in sorted(group, key=lambda trial: trial.run_seconds):
        need = runs * trial.run_seconds
        if need > left:
            trial.fail(
                "left-out", f"its turns would take {need:.2g} s; {max(0.0, left):.2g} s left"
            )
        else:
            left -= need


def time_run(group: list[Prepared], measurement: Measurement) -> None:
    """Time the runs of a group."""

    def sampler(trial: Prepared) -> Callable[[], list[float]]:
        run, stopwatch, batch = trial.run, trial.stopwatch, trial.batch
        flush = trial.regime.flushed

        def runs() -> Any:
            for _ in itertools.repeat(None, batch - 1):
                run()
            return run()

        step = run if batch == 1 else runs

        def sample() -> list[float]:
            if not flush:
                run()
            return [stopwatch.time([step], flush=flush)[0] / batch]

        stopwatch.reset_clock()
        return sample

    for trial, series in _rounds("timed runs", group, sampler, 1.0, measurement):
        record = trial.record
        record.phase_seconds["run"] = series.samples
        record.rounds, record.preempted = series.rounds, series.preempted
        record.settled = series.settled
        record.provenance.batch = trial.batch
        samples = series.samples if "preempted" in record.flags else series.undisturbed()
        record.median_s, record.ci_low_s, record.ci_high_s = median_interval(samples)
        record.p95_s = quantile(samples)
        if record.device != "cpu" and not trial.regime.host_clock:
            record.telemetry.rounds_again = series.again
            _tell_of_card(record, trial.stopwatch)
    _flag_power_limited(alive(group))


def _tell_of_card(record: Record, stopwatch: Stopwatch) -> None:
    """What a card's stopwatch says of its samples, beside their times."""
    record.telemetry.launches_hidden = stopwatch.held
    record.telemetry.sm_hz = stopwatch.pooled_sm_hz()
    if stopwatch.launch_bound:
        record.flags = sorted({*record.flags, "launch-bound"})


def _flag_power_limited(group: list[Prepared]) -> None:
    """Those that ran at a lower clock than a rival, although uneven rounds were measured again."""
    clocks = {trial.name: trial.record.telemetry.sm_hz for trial in group}
    fastest = max((clock for clock in clocks.values() if clock is not None), default=0.0)
    for trial in group:
        clock = clocks[trial.name]
        if clock is not None and (1 + CLOCKS) * clock < fastest:
            trial.record.flags.append("power-limited")


def time_fresh(group: list[Prepared], measurement: Measurement) -> None:
    """load + run as one sample, and the load's part of it."""

    def sampler(trial: Prepared) -> Callable[[], list[float]]:
        load, run, stopwatch = trial.load, trial.run, trial.stopwatch
        assert load is not None  # of those in the group
        flush = trial.regime.flushed

        def sample() -> list[float]:
            if not flush:
                run()
            loaded, ran = stopwatch.time([load, run], flush=flush)
            return [loaded + ran, loaded]

        return sample

    left, few = measurement.ledger.left(), math.ceil(LEAST / measurement.duel.launches)
    group = [
        trial
        for trial in group
        if trial.load is not None and 2 * few * (trial.record.median_s or 0.0) < left
    ]
    for trial, series in _rounds("timed loads", group, sampler, 0.5, measurement):
        record = trial.record
        record.phase_seconds["fresh"], record.phase_seconds["load"] = series.samples, series.parts
        record.fresh_rounds, record.fresh_preempted = series.rounds, series.preempted


def _rounds(
    step: str,
    group: list[Prepared],
    sampler: Callable[[Prepared], Callable[[], list[float]]],
    share: float,
    measurement: Measurement,
) -> Iterator[tuple[Prepared, Series]]:
    """Interleave the samplers of a group; the first number of each sample decides when to stop, and
    a second is that of a part of it.

    A contender that fails on the way is recorded so and leaves the rounds.
    """
    ledger, limits = measurement.ledger, measurement.duel.limits
    seconds = ledger.seconds
    least = math.ceil(LEAST / measurement.duel.launches)

    def action(trial: Prepared) -> Callable[[], Sample | None]:
        take = sampler(trial)

        def sample() -> Sample:
            begin = time.perf_counter()
            with trial.in_place():
                times = take()
            wall = time.perf_counter() - begin
            inside = times[0] * (trial.batch if len(times) == 1 else 1)
            seconds["measured"] += inside
            seconds["warmup"] += wall - inside
            clock = trial.stopwatch.sm_hz if len(times) == 1 else None
            return Sample(times[0], inside, clock, trial.stopwatch.preempted, sum(times[1:]))

        def guarded() -> Sample | None:
            with step_of(trial, step):
                if trial.record.median_s is None:  # who is timed has all that it needs
                    ledger.require()
                return sample()
            return None  # it failed

        return guarded

    found = interleave(
        {trial.name: action(trial) for trial in group},
        seconds=share * limits.seconds,
        samples=limits.samples,
        order=measurement.order,
        first=measurement.first,
        least=least,
        late=lambda: ledger.left() < 0,
    )
    for trial in alive(group):
        series = found[trial.name]
        if len(series.undisturbed()) < max(least, TOLD * len(series.samples)):
            trial.record.flags = sorted({*trial.record.flags, "preempted"})
        yield trial, series


def time_plan(trial: Prepared, measurement: Measurement) -> None:
    """New instances, planned: at least one, and PLANS over all launches while they stay within the
    limit."""
    place = trial.contender.namespace, trial.contender.device
    count = math.ceil(PLANS / measurement.duel.launches)
    most = 10 * measurement.duel.limits.seconds
    times: list[float] = []
    with measurement.ledger.charge("measured"):
        while not times or (len(times) < count and sum(times) < most):
            progress_page.begin(trial.name, "planning")
            begin = time.perf_counter()
            trial.algorithm.prepare(trial.problem, *place)
            trial.synchronize()
            times.append(time.perf_counter() - begin)
    trial.record.phase_seconds["plan"] = times
