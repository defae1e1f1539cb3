"""Errors over several draws of the data: one image and one kernel tell little of an error's size.

Times are taken on the duel's own draw alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from convcross.measure.accuracy import arrays, step_truth
from convcross.measure.accuracy import truth as accuracy
from convcross.measure.accuracy.step_truth import AnyTruth
from convcross.measure.trial import Measurement, Prepared, alive, classify, guarded
from convcross.sweeps import data
from convcross.sweeps.duels import Duel
from convkernels import Problem


def operands(duel: Duel, problem: Problem, seed: int) -> tuple[Any, accuracy.Floats]:
    """The operands of the duel's kinds of data, as float64 values that the storage type holds."""
    drawn = data.operands(problem, (duel.image_data, duel.kernel_data), seed)
    return step_truth.rounded(problem, *drawn)


def measure_errors(trials: Iterable[Prepared], measurement: Measurement) -> None:
    """Append the error of prepared contenders on each further seed of the duel to their records.

    What is timed later is what runs here: the contender's own image and kernel are overwritten,
    and as they were again at the end. A result that is not right on another seed is wrong. Where
    memory does not suffice for another truth, the record tells so in its provenance
    (``error_seeds``) and has fewer.
    """
    duel, truth = measurement.duel, measurement.truth
    group = alive(trials)
    if duel.error_seeds == 1 or not group:
        return
    problem = truth.problem
    for trial in group:
        assert trial.record.error is not None
        trial.record.error_seeds = [trial.record.error.rel_l2]
    with measurement.ledger.charge("verification"):
        for seed in range(duel.seed + 1, duel.seed + duel.error_seeds):
            try:
                accuracy.require_memory(problem, truth.place)
                x, w = operands(duel, problem, seed)
                other = step_truth.truth(problem, x, w, seed, place=truth.place)
            except (RuntimeError, MemoryError) as error:
                _without(alive(group), seed, error)
                break
            for trial in alive(group):
                guarded(trial, "other seeds", _append_error, other, seed)
            del other  # before the next one is made
        for trial in alive(group):
            guarded(trial, "other seeds", _put_back, truth)


def _append_error(trial: Prepared, truth: AnyTruth, seed: int) -> None:
    _overwrite(trial, truth)
    if trial.load is not None:
        trial.load()
        y = trial.run()
    else:  # the captured run reads what its instance loaded: another one loads this kernel
        place = trial.contender.namespace, trial.contender.device
        instance = trial.algorithm.prepare(trial.problem, *place)
        instance.load(trial.b)
        y = instance.run(trial.a)
    trial.synchronize()
    bound = trial.algorithm.error_bound(trial.problem)
    if (reason := truth.verify(y, bound)) is not None:
        trial.fail("wrong", f"seed {seed}: {reason}")
        return
    trial.record.error_seeds.append(truth.errors(y).rel_l2)


def _put_back(trial: Prepared, truth: AnyTruth) -> None:
    _overwrite(trial, truth)
    if trial.load is not None:
        trial.load()
    trial.synchronize()


def _overwrite(trial: Prepared, truth: AnyTruth) -> None:
    a, b = trial.operands(trial.problem, truth.x, truth.w)
    arrays.each(arrays.put, trial.a, a)
    arrays.put(trial.b, b)


def _without(group: list[Prepared], seed: int, error: Exception) -> None:
    """No truth of this seed: short of memory, or one that exact sums deny."""
    status, reason = classify(error)
    for trial in group:
        if status == "oom":
            trial.record.provenance.error_seeds = f"seed {seed}: {reason}"
        else:
            trial.fail(status, f"seed {seed}: {reason}")
