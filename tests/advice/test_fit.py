"""Fits recover planted costs, from few samples and beside a neighbour that disturbs some."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from convcross.advice import fit as fitting
from convcross.advice.fit import fit
from convkernels import Problem
from convkernels.prediction import FEATURES, OFFSET, CostModel
from proofs import prediction as proof
from support.planted_costs import PLANTED, Planted, drawn

SMOOTH = PLANTED[0]


def grid(sides: list[int], kernels: list[int]) -> list[Problem]:
    return [Problem((side, side), (n, n), mode="same") for side in sides for n in kernels]


SHOWN = grid([64, 256, 1024], [3, 9, 31])


def fitted(
    problems: list[Problem],
    times: list[float],
    warm: CostModel | None = None,
    planted: Planted = SMOOTH,
) -> CostModel:
    return fit(problems, [planted.cost(problem) for problem in problems], times, warm=warm)


def exact(problems: list[Problem]) -> list[float]:
    return [SMOOTH.seconds(problem) for problem in problems]


def test_a_planted_cost_is_recovered_between_samples() -> None:
    model = fitted(SHOWN, exact(SHOWN))
    for problem in grid([100, 400, 800], [5, 15, 21]):
        found = model.predict(problem, SMOOTH.cost(problem))
        assert found.seconds == pytest.approx(SMOOTH.seconds(problem), rel=0.02)
        assert found.low < SMOOTH.seconds(problem) < found.high


def test_a_planted_cost_is_recovered_beyond_the_samples() -> None:
    model = fitted(SHOWN, exact(SHOWN))
    (far,) = grid([4096], [63])
    assert model.predict(far, SMOOTH.cost(far)).seconds == pytest.approx(
        SMOOTH.seconds(far), rel=0.1
    )


def test_larger_images_take_longer() -> None:
    rng = np.random.default_rng(1)
    model = fitted(SHOWN, SMOOTH.measured(SHOWN, rng, disturbed=0.0))
    asked = grid(list(range(64, 1025, 32)), [9])
    seconds = model.predict_many(asked, [SMOOTH.cost(problem) for problem in asked])[:, 0]
    assert (np.diff(seconds) > 0).all()


def test_one_disturbed_sample_does_not_lead() -> None:
    """It is three times as slow; a prediction right there stays near the truth."""
    shown = grid([64, 128, 256, 512, 1024], [3, 7, 15, 31])
    times = exact(shown)
    times[9] *= 3
    found = fitted(shown, times).predict(shown[9], SMOOTH.cost(shown[9]))
    assert found.seconds == pytest.approx(SMOOTH.seconds(shown[9]), rel=0.1)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_intervals_cover_what_a_planted_contender_takes(planted: Planted) -> None:
    found = proof.held_out(planted, samples=30, trials=4)
    assert proof.covered(found) >= proof.LEAST_COVERED


@pytest.mark.parametrize(
    ("name", "median"),
    [("smooth", 0.07), ("tiles, declared", 0.07), ("powers of two, declared", 0.08)],
)
def test_what_is_declared_is_predicted_to_within_the_noise(name: str, median: float) -> None:
    (planted,) = (one for one in PLANTED if one.name == name)
    found = proof.held_out(planted, samples=40, trials=4)
    assert np.median([abs(error) for error, _ in found]) < median


def test_a_size_that_never_varied_is_not_believed() -> None:
    model = fitted(SHOWN, exact(SHOWN))
    near = Problem((256, 256), (9, 9), mode="same")
    far = Problem((256, 256), (9, 9), mode="same", batch=32)
    widths = [
        high / low for _, low, high in (model.predict(p, SMOOTH.cost(p)) for p in (near, far))
    ]
    assert widths[1] > 1.5 * widths[0]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(1e-9, 1e4), min_size=3, max_size=12),
    st.integers(0, 1000),
)
def test_any_times_make_a_model_that_predicts(times: list[float], seed: int) -> None:
    shown = drawn(np.random.default_rng(seed), len(times))
    model = fitted(shown, times)
    asked = drawn(np.random.default_rng(seed + 1), 8)
    found = model.predict_many(asked, [SMOOTH.cost(problem) for problem in asked])
    assert np.isfinite(found).all()
    assert (found[:, 1] > 0).all()
    assert (np.diff(found[:, [1, 0, 2]], axis=1) >= 0).all()
    assert CostModel.from_json(model.to_json()) == model


def test_samples_that_are_all_of_one_problem() -> None:
    model = fitted(SHOWN[:1] * 4, [1.0, 1.1, 0.9, 1.0])
    assert model.predict(SHOWN[0], SMOOTH.cost(SHOWN[0])).seconds == pytest.approx(1.0, rel=0.1)


def test_a_warm_fit_keeps_the_hyperparameters() -> None:
    times = SMOOTH.measured(SHOWN, np.random.default_rng(0))
    first = fitted(SHOWN[:6], times[:6])
    second = fitted(SHOWN, times, warm=first)
    for name in ("signal", "noise", "scales"):
        assert getattr(second, name) == pytest.approx(getattr(first, name))
    assert len(second.samples) == len(SHOWN)


def test_the_gradient_is_that_of_the_density() -> None:
    """By differences; and the density is that of scipy's normal distribution, less the prior's."""
    shown = drawn(np.random.default_rng(3), 20)
    times = SMOOTH.measured(shown, np.random.default_rng(4))
    sample = fitting._sample(shown, [SMOOTH.cost(problem) for problem in shown], times)
    process = fitting._Process(sample, fitting._base(sample), None)
    process.weigh()
    theta = process.prior + np.random.default_rng(5).normal(0, 0.5, len(process.prior))
    loss, gradient = process._loss(theta)
    by_differences = optimize.approx_fprime(theta, lambda at: process._loss(at)[0], 1e-6)
    np.testing.assert_allclose(gradient, by_differences, rtol=1e-3, atol=1e-3)
    away = (theta - process.prior) / fitting.WEAK
    normal = stats.multivariate_normal(cov=process._parts(theta)[0])
    constant = len(times) / 2 * math.log(2 * math.pi)
    assert loss == pytest.approx(away @ away / 2 - normal.logpdf(process.residuals) - constant)


def test_left_out_is_what_a_fit_without_the_sample_predicts() -> None:
    """The closed form, against a model of the others with the same hyperparameters."""
    shown = drawn(np.random.default_rng(6), 12)
    times = SMOOTH.measured(shown, np.random.default_rng(7), disturbed=0.0)
    sample = fitting._sample(shown, [SMOOTH.cost(problem) for problem in shown], times)
    process = fitting._Process(sample, fitting._base(sample), None)
    process.lines = process.lines * 0 + OFFSET**2  # their middle would move with the sample
    model = dataclasses.replace(process.model(np.empty(0)), slopes=(0.0,) * len(FEATURES))
    for number, score in enumerate(process.left_out()):
        kept = [place for place in range(len(shown)) if place != number]
        others = dataclasses.replace(
            model,
            samples=tuple(model.samples[place] for place in kept),
            residuals=tuple(model.residuals[place] for place in kept),
            excess=(0.0,) * len(kept),
        )
        others = dataclasses.replace(others, weights=others.solve())
        mean, deviation = others.process(sample.at[number])
        assert score == pytest.approx((model.residuals[number] - mean) / deviation, rel=1e-6)


@pytest.mark.parametrize(
    ("problems", "times", "words"),
    [
        (2, [1.0, 1.0], "measurements are 2; allowed: 3 or more"),
        (3, [1.0, 1.0], "3 problems, 3 costs and 2 seconds; allowed: as many of each"),
        (3, [1.0, 0.0, 1.0], "seconds has 0.0; allowed: positive numbers"),
        (3, [1.0, math.nan, 1.0], "seconds has nan; allowed: positive numbers"),
    ],
)
def test_refused(problems: int, times: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fitted(SHOWN[:problems], times)
