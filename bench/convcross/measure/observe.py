"""What else a record says of a timed contender: its floor, what ran, and what a run's energy is."""

from __future__ import annotations

import functools
from typing import Literal

import numpy as np

from convcross.machine import threads
from convcross.machine.floor import floor, impossible
from convcross.machine.telemetry import Gauge, energy
from convcross.measure.algebra import algebra
from convcross.measure.observers import kernels, profiler
from convcross.measure.observers.stages import stages
from convcross.measure.trial import Measurement, Prepared, classify
from convcross.results.schema import Energy, Kernel
from convcross.sweeps.duels import Duel


@functools.cache
def gauge(device: str) -> Gauge:
    """The one gauge of a device: NVML stays open from duel to duel."""
    return Gauge(device, profiler.processes)


def observe(trial: Prepared, measurement: Measurement) -> None:
    """Hold a contender's time to its floor, and record what ran and its energy where asked."""
    record, device, duel = trial.record, trial.contender.device, measurement.duel
    count = (duel.threads or threads.usable()) if device == "cpu" else None
    record.floor_s = floor(
        trial.algorithm, trial.problem, trial.regime.flushed, duel.ceilings.get(device), count
    )
    if impossible(record.ci_high_s, record.floor_s):
        record.flags.append("impossible")
    if device == "cpu":
        record.provenance.denormals = denormals()
    record.provenance.libraries = kernels.libraries(trial.contender.namespace, device)
    with measurement.ledger.charge("preparation"):
        if duel.profiled:
            _profile(trial, duel)
            _try_algebra(trial)
            if not trial.regime.captured:  # a replay names no stage
                place = trial.contender.namespace, device
                record.stage_seconds = stages(trial.run, trial.load, *place)
        if duel.energy:
            measured = energy(trial.run, trial.synchronize, gauge(device))
            record.telemetry.energy = Energy.model_validate(measured)


def denormals() -> Literal["kept", "flushed"]:
    """Whether this thread's arithmetic keeps subnormal numbers: a library that was compiled for
    fast mathematics takes them for zero in every thread that loads it."""
    least = np.array([2.0**-126], dtype=np.float32)  # an array: a constant would be folded
    return "kept" if (0.25 * least)[0] else "flushed"


def _try_algebra(trial: Prepared) -> None:
    """Record the algebra; a contender that fails at it has been timed all the same."""
    contender, record = trial.contender, trial.record
    try:
        place = contender.namespace, contender.device
        record.algebra = algebra(contender.algorithm, *place)
    except Exception as error:
        record.provenance.algebra_untold = classify(error)[1]


def _profile(trial: Prepared, duel: Duel) -> None:
    """Which kernels a run executes; a direct sum that executes an FFT is flagged."""
    record = trial.record
    if trial.contender.device == "cpu":
        profile = kernels.executed(trial.run, "cpu")
    else:
        profile = profiler.executed(duel, trial.name)
    ran = record.provenance
    ran.kernels = [Kernel.model_validate(kernel) for kernel in profile["kernels"]] or None
    ran.streams = profile["streams"] or None
    ran.kernels_untold = profile["reason"] or None
    ran.engine = kernels.engine(profile["kernels"])
    if record.family == "direct" and kernels.ran_fft(profile["kernels"]):
        record.flags.append("ran-fft")
