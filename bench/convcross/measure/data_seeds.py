"""Errors over several draws of the data: one image and one kernel tell little of an error's size.

Times are taken on the duel's own draw alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from convcross.measure.accuracy import truth as accuracy
from convcross.measure.trial import Entry, Ledger, alive, classify, guarded
from convcross.sweeps import data
from convcross.sweeps.duels import Duel
from convkernels import Problem, namespaces


def operands(duel: Duel, problem: Problem, seed: int) -> tuple[accuracy.Floats, accuracy.Floats]:
    """x and w of the duel's kinds of data, as float64 values that the storage type holds."""
    drawn = (
        data.image(duel.image_data, problem.x_shape, seed),
        data.kernel(duel.kernel_data, problem.w_shape, seed),
    )
    x, w = (namespaces.round_to(values, problem.dtype).astype("float64") for values in drawn)
    return x, w


def measure_errors(
    entries: Iterable[Entry], duel: Duel, truth: accuracy.Truth, ledger: Ledger
) -> None:
    """Append the error of prepared contenders on each further seed of the duel to their records.

    What is timed later is what runs here: the contender's own image and kernel are overwritten,
    and as they were again at the end. A result that is not right on another seed is wrong. Where
    memory does not suffice for another truth, the record tells so in its provenance
    ("error_seeds") and has fewer.
    """
    group = alive(entries)
    if duel.error_seeds == 1 or not group:
        return
    problem = truth.problem
    for entry in group:
        assert entry.record.error is not None
        entry.record.error_seeds = [entry.record.error.rel_l2]
    with ledger.charge("verification"):
        for seed in range(duel.seed + 1, duel.seed + duel.error_seeds):
            try:
                accuracy.require_memory(problem, truth.place)
                x, w = operands(duel, problem, seed)
                other = accuracy.truth(problem, x, w, seed, place=truth.place)
            except (RuntimeError, MemoryError) as error:
                _without(alive(group), seed, error)
                break
            for entry in alive(group):
                guarded(entry, "other seeds", _append_error, other, seed)
            del other  # before the next one is made
        for entry in alive(group):
            guarded(entry, "other seeds", _put_back, truth)


def _append_error(entry: Entry, truth: accuracy.Truth, seed: int) -> None:
    assert entry.run is not None
    _overwrite(entry, truth)
    if entry.load is not None:
        entry.load()
        y = entry.run()
    else:  # the captured run reads what its instance loaded: another one loads this kernel
        place = entry.contender.namespace, entry.contender.device
        instance = entry.algorithm.prepare(entry.problem, *place)
        instance.load(entry.b)
        y = instance.run(entry.a)
    entry.synchronize()
    bound = entry.algorithm.implementation.error_bound(entry.problem)
    if (reason := accuracy.verify(y, bound, truth)) is not None:
        entry.fail("wrong", f"seed {seed}: {reason}")
        return
    entry.record.error_seeds.append(accuracy.errors(y, truth).rel_l2)


def _put_back(entry: Entry, truth: accuracy.Truth) -> None:
    _overwrite(entry, truth)
    if entry.load is not None:
        entry.load()
    entry.synchronize()


def _overwrite(entry: Entry, truth: accuracy.Truth) -> None:
    entry.a[...], entry.b[...] = entry.operands(entry.problem, truth.x, truth.w)


def _without(group: list[Entry], seed: int, error: Exception) -> None:
    """No truth of this seed: short of memory, or one that exact sums deny."""
    status, reason = classify(error)
    for entry in group:
        if status == "oom":
            entry.record.provenance["error_seeds"] = f"seed {seed}: {reason}"
        else:
            entry.fail(status, f"seed {seed}: {reason}")
