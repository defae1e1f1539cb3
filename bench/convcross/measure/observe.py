"""What else a record says of a timed contender: its floor, what ran, and what a run's energy is."""

from __future__ import annotations

import functools

from convcross.machine import threads
from convcross.machine.floor import floor, impossible
from convcross.machine.telemetry import Gauge, energy
from convcross.measure.observers import kernels, profiler
from convcross.measure.observers.stages import stages
from convcross.measure.trial import Entry, Ledger
from convcross.sweeps.duels import Duel


@functools.cache
def gauge(device: str) -> Gauge:
    """The one gauge of a device: NVML stays open from duel to duel."""
    return Gauge(device, profiler.processes)


def observe(entry: Entry, duel: Duel, ledger: Ledger) -> None:
    """Hold a contender's time to its floor, and record what ran and its energy where asked."""
    assert entry.run is not None
    record, device = entry.record, entry.contender.device
    count = (duel.threads or threads.usable()) if device == "cpu" else None
    record.floor_s = floor(
        entry.algorithm, entry.problem, record.regime, duel.ceilings.get(device), count
    )
    if impossible(record.ci_high_s, record.floor_s):
        record.flags.append("impossible")
    record.provenance["libraries"] = kernels.libraries(entry.contender.namespace, device)
    with ledger.charge("preparation"):
        if duel.profiled:
            _profile(entry, duel)
            if record.regime != "graph":  # a replay names no stage
                place = entry.contender.namespace, device
                record.stage_seconds = stages(entry.run, entry.load, *place)
        if duel.energy:
            record.telemetry["energy"] = energy(entry.run, entry.synchronize, gauge(device))


def _profile(entry: Entry, duel: Duel) -> None:
    """Which kernels a run executes; a direct sum that executes an FFT is flagged."""
    assert entry.run is not None
    record = entry.record
    if entry.contender.device == "cpu":
        told = kernels.executed(entry.run, "cpu")
    else:
        told = profiler.executed(duel, entry.name)
    names = {"kernels": "kernels", "streams": "streams", "reason": "kernels_untold"}
    record.provenance.update({names[key]: value for key, value in told.items() if value})
    if (engine := kernels.engine(told["kernels"])) is not None:
        record.provenance["engine"] = engine
    if record.family == "direct" and kernels.ran_fft(told["kernels"]):
        record.flags.append("ran-fft")
