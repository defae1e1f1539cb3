"""What else a record says of a timed contender: its floor, what ran, and what a run's energy is."""

from __future__ import annotations

import functools

from convcross.machine import threads
from convcross.machine.floor import floor, impossible
from convcross.machine.telemetry import Gauge, energy
from convcross.measure.observers import kernels, profiler
from convcross.measure.observers.stages import stages
from convcross.measure.trial import Ledger, Trial
from convcross.sweeps.duels import Duel


@functools.cache
def gauge(device: str) -> Gauge:
    """The one gauge of a device: NVML stays open from duel to duel."""
    return Gauge(device, profiler.processes)


def observe(trial: Trial, duel: Duel, ledger: Ledger) -> None:
    """Hold a contender's time to its floor, and record what ran and its energy where asked."""
    assert trial.run is not None
    record, device = trial.record, trial.contender.device
    count = (duel.threads or threads.usable()) if device == "cpu" else None
    record.floor_s = floor(
        trial.algorithm, trial.problem, record.regime, duel.ceilings.get(device), count
    )
    if impossible(record.ci_high_s, record.floor_s):
        record.flags.append("impossible")
    record.provenance["libraries"] = kernels.libraries(trial.contender.namespace, device)
    with ledger.charge("preparation"):
        if duel.profiled:
            _profile(trial, duel)
            if record.regime != "graph":  # a replay names no stage
                place = trial.contender.namespace, device
                record.stage_seconds = stages(trial.run, trial.load, *place)
        if duel.energy:
            record.telemetry["energy"] = energy(trial.run, trial.synchronize, gauge(device))


def _profile(trial: Trial, duel: Duel) -> None:
    """Which kernels a run executes; a direct sum that executes an FFT is flagged."""
    assert trial.run is not None
    record = trial.record
    if trial.contender.device == "cpu":
        profile = kernels.executed(trial.run, "cpu")
    else:
        profile = profiler.executed(duel, trial.name)
    names = {"kernels": "kernels", "streams": "streams", "reason": "kernels_untold"}
    record.provenance.update({names[key]: value for key, value in profile.items() if value})
    if (engine := kernels.engine(profile["kernels"])) is not None:
        record.provenance["engine"] = engine
    if record.family == "direct" and kernels.ran_fft(profile["kernels"]):
        record.flags.append("ran-fft")
