"""Fits recover planted costs, from few samples and beside a neighbour that disturbs some."""

from __future__ import annotations

import math

import numpy as np
import pytest

from convcross.advice.fit import fit
from convkernels import Cost, Problem
from convkernels.prediction import CostModel


def grid(sides: list[int], kernels: list[int]) -> list[Problem]:
    return [Problem((side, side), (n, n), mode="same") for side in sides for n in kernels]


def cost(problem: Problem) -> Cost:
    return Cost(problem.flops, problem.min_bytes)


def seconds(problem: Problem) -> float:
    return 2e-6 + 1e-10 * problem.flops + 5e-10 * problem.min_bytes


def fitted(problems: list[Problem], times: list[float], warm: CostModel | None = None) -> CostModel:
    return fit(problems, [cost(problem) for problem in problems], times, warm=warm)


TRAINED = grid([64, 256, 1024], [3, 9, 31])


def test_a_planted_cost_is_recovered_between_samples() -> None:
    model = fitted(TRAINED, [seconds(problem) for problem in TRAINED])
    for problem in grid([100, 400, 800], [5, 15, 21]):
        found = model.predict(problem, cost(problem))
        assert found.seconds == pytest.approx(seconds(problem), rel=0.02)
        assert found.low < seconds(problem) < found.high


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
        fitted(TRAINED[:problems], times)


def test_a_warm_fit_keeps_the_hyperparameters() -> None:
    rng = np.random.default_rng(0)
    times = [seconds(problem) * math.exp(0.05 * rng.standard_normal()) for problem in TRAINED]
    first = fitted(TRAINED[:6], times[:6])
    second = fitted(TRAINED, times, warm=first)
    for name in ("signal", "noise", "scales"):
        assert getattr(second, name) == pytest.approx(getattr(first, name))
    assert len(second.samples) == len(TRAINED)
