"""Errors over several draws of the data."""

from __future__ import annotations

import random
import weakref
from typing import Any

import numpy as np
import pytest

from convcross.measure import data_seeds
from convcross.measure import duel as measuring
from convcross.measure.accuracy import truth as accuracy
from convcross.measure.prepare import prepare
from convcross.measure.trial import Ledger, Measurement, Prepared, guarded
from convcross.results.schema import Header
from convcross.run import resume
from convcross.sweeps import data
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits, Sweep
from convkernels import Problem, namespaces
from convkernels.algorithms.fft.fft import FFT
from convkernels.registry import algorithm

PROBLEM = Problem((24, 20), (3, 5), mode="same")
SOUND = ["direct/numpy@cpu", "fft/torch@cpu"]


def duel(
    contenders: list[str] = SOUND, seed: int = 0, error_seeds: int = 4, problem: Problem = PROBLEM
) -> Duel:
    return Duel(
        id="a-duel",
        problem=problem,
        contenders=contenders,
        image_data="high-dynamic-range",
        kernel_data="normal",
        seed=seed,
        regime=None,
        threads=1,
        limits=Limits(seconds=0.001, samples=5),
        error_seeds=error_seeds,
    )


def prepared(asked: Duel) -> tuple[list[Prepared], Measurement]:
    problem = asked.problem
    truth = accuracy.truth(problem, *data_seeds.operands(asked, problem, asked.seed), asked.seed)
    measurement = Measurement(asked, truth, random.Random(0), Ledger())
    trials = [measuring._trial(asked, problem, name) for name in asked.contenders]
    found = [guarded(trial, "preparation", prepare, measurement) for trial in trials]
    return [trial for trial in found if trial is not None], measurement


def measured(asked: Duel) -> tuple[list[Prepared], accuracy.Truth]:
    trials, measurement = prepared(asked)
    data_seeds.measure_errors(trials, measurement)
    return trials, measurement.truth


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_error_is_that_of_a_duel_of_its_own(dtype: str) -> None:
    problem = Problem((24, 20), (3, 5), mode="same", dtype=dtype)
    alone = [prepared(duel(seed=seed, problem=problem))[0] for seed in (7, 8, 9, 10)]
    for index, trial in enumerate(measured(duel(seed=7, problem=problem))[0]):
        errors = [trials[index].record.error for trials in alone]
        assert trial.record.error == errors[0]
        assert trial.record.error_seeds == [error.rel_l2 for error in errors if error is not None]
        assert len(set(trial.record.error_seeds)) == 4


@pytest.mark.torch
def test_one_seed_is_the_default_and_adds_nothing() -> None:
    assert Duel.model_validate({**duel().model_dump(), "error_seeds": 1}) == duel(error_seeds=1)
    trials, _ = measured(duel(error_seeds=1))
    assert [trial.record.error_seeds for trial in trials] == [[], []]


def test_the_operands_are_those_of_the_duel() -> None:
    x, w = data_seeds.operands(duel(), PROBLEM, 3)
    image = data.image("high-dynamic-range", (24, 20), 3).astype(np.float32)
    assert x.dtype == w.dtype == np.float64
    assert np.array_equal(x, image)
    assert np.array_equal(w, data.kernel("normal", (3, 5), 3).astype(np.float32))


def test_a_contender_ends_as_it_was() -> None:
    for trial in (asked := measured(duel()))[0]:
        for mine, own in ((trial.a, asked[1].x), (trial.b, asked[1].w)):
            assert np.array_equal(namespaces.to_numpy(mine), own)
        bound = trial.algorithm.implementation.error_bound(PROBLEM)
        assert accuracy.verify(trial.run(), bound, asked[1]) is None  # with its own kernel loaded


@pytest.fixture
def planted(clean_registry: None) -> None:
    """Contenders that are right on the first draw."""
    about: dict[str, Any] = {
        "family": "fft",
        "namespaces": ["numpy"],
        "arithmetic": "ieee",
        "source": "a test",
    }

    @algorithm(name="keeps-first", **about)
    class KeepsFirst(FFT):
        loaded = False

        def load(self, b: Any) -> None:
            if not self.loaded:
                super().load(b)
            self.loaded = True

    @algorithm(name="raises-later", **about)
    class RaisesLater(FFT):
        loads = 0

        def load(self, b: Any) -> None:
            self.loads += 1
            if self.loads == 3:
                raise ValueError("the third kernel")
            super().load(b)


def test_wrong_on_another_seed_is_wrong(planted: None) -> None:
    names = ["keeps-first/numpy@cpu", "raises-later/numpy@cpu", "fft/numpy@cpu"]
    trials, _ = measured(duel(names, seed=5))
    wrong, failed, sound = (trial.record for trial in trials)
    assert wrong.status == "wrong"
    assert (wrong.reason or "").startswith("seed 6: relative L2 error ")
    assert len(wrong.error_seeds) == 1
    assert (failed.status, failed.reason) == ("error", "ValueError: the third kernel")
    assert (sound.status, len(sound.error_seeds)) == ("ok", 4)


def test_a_captured_run_whose_load_is_not(planted: None) -> None:
    """The instance it was captured of is left alone: what it holds may not move."""
    asked = duel(["fft/numpy@cpu"])
    trials, measurement = prepared(asked)
    (eager,), (again,) = measured(asked)[0], trials
    held = vars(again.instance).copy()
    again.load = None
    again.run = lambda: pytest.fail("a replay with the kernel of another seed")
    data_seeds.measure_errors(trials, measurement)
    assert again.record.status == "ok"
    assert again.record.error_seeds == eager.record.error_seeds
    assert all(value is held[name] for name, value in vars(again.instance).items())


def test_one_truth_of_another_seed_is_alive_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    trials, measurement = prepared(duel())
    made: list[Any] = []
    make = accuracy.truth

    def watched(*arguments: Any, **options: Any) -> accuracy.Truth:
        assert [reference() for reference in made] == [None] * len(made)
        other = make(*arguments, **options)
        assert other.place == measurement.truth.place
        made.append(weakref.ref(other))
        return other

    monkeypatch.setattr(accuracy, "truth", watched)
    data_seeds.measure_errors(trials, measurement)
    assert len(made) == 3


def test_memory_that_does_not_suffice_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    trials, measurement = prepared(duel(seed=1))
    left = iter([1e12, 1e12, 16.0])
    monkeypatch.setattr(accuracy.namespaces, "free_bytes", lambda *place: next(left))
    data_seeds.measure_errors(trials, measurement)
    for record in (trial.record for trial in trials):
        assert (record.status, len(record.error_seeds)) == ("ok", 3)
        told = record.provenance.error_seeds
        assert told.startswith("seed 4: MemoryError: the reference needs ")
        assert told.endswith("GiB; 0.0 GiB are free")


def test_a_reference_that_exact_sums_deny_fails_the_duel(monkeypatch: pytest.MonkeyPatch) -> None:
    trials, measurement = prepared(duel())

    def denied(*arguments: Any, **options: Any) -> accuracy.Truth:
        raise accuracy.ReferenceDisagrees("off")

    monkeypatch.setattr(accuracy, "truth", denied)
    data_seeds.measure_errors(trials, measurement)
    for trial in trials:
        assert trial.record.status == "error"
        assert trial.record.reason == "seed 1: ReferenceDisagrees: off"


def test_a_file_from_before_goes_on_unless_seeds_are_asked_for() -> None:
    """A header that an earlier version wrote has no such key: it is at its default."""

    def header(**keys: Any) -> Header:
        sweep = Sweep(name="test", sizes=[16], kernels=[3], **keys).model_dump(mode="json")
        return Header(
            machine={"name": "here"}, software={}, sweep=sweep, contenders=[], started_at=""
        )

    earlier = header()
    del earlier.sweep["error_seeds"]
    assert list(resume.differences(earlier, header())) == []
    assert list(resume.differences(earlier, header(error_seeds=5))) == [("error_seeds", 1, 5)]
