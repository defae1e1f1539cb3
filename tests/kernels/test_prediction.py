"""Cost models: what they predict, far from their samples too, and the JSON that keeps them."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from convkernels import Cost, Problem
from convkernels.prediction import FEATURES, TERMS, CostModel, features, terms
from support.problems import problems


def cost(problem: Problem) -> Cost:
    return Cost(problem.flops, problem.min_bytes)


def image(side: int, kernel: int, **more: Any) -> Problem:
    return Problem((side, side), (kernel, kernel), mode="same", **more)


SAMPLED = [image(side, kernel) for side in (64, 256, 1024) for kernel in (3, 9, 31)]
COEFFICIENTS = {"call": 1e-6, "flops": 1e-10, "bytes": 1e-10}


def model(**changed: Any) -> CostModel:
    """Of a contender that is 20 % slower than its base at every sample."""
    whole = CostModel(
        coefficients=tuple(COEFFICIENTS.get(name, 0.0) for name in TERMS),
        signal=0.3,
        noise=0.02,
        scales=(2.0,) * len(FEATURES),
        slopes=(0.1,) * len(FEATURES),
        reach=2.0,
        samples=tuple(map(features, SAMPLED)),
        residuals=(math.log(1.2),) * len(SAMPLED),
        excess=(0.0,) * len(SAMPLED),
    )
    whole = dataclasses.replace(whole, **changed)
    return dataclasses.replace(whole, weights=whole.solve())


def base(problem: Problem) -> float:
    return 1e-6 + 1e-10 * problem.flops + 1e-10 * problem.min_bytes


def width(found: CostModel, problem: Problem) -> float:
    seconds, low, high = found.predict(problem, cost(problem))
    assert low < seconds < high
    return high / low


def test_what_differs_between_problems_has_a_feature() -> None:
    plain = image(64, 5, in_channels=4, out_channels=4)
    for changed in (
        {"image": (64, 65)},
        {"kernel": (5, 7)},
        {"batch": 2},
        {"in_channels": 8},
        {"out_channels": 8},
        {"groups": 2},
        {"mode": "valid"},
        {"stride": (2, 2)},
        {"dilation": (2, 2)},
        {"dtype": "float64"},
        {"boundary": "circular"},
        {"direction": "grad_input"},
        {"direction": "grad_weight"},
    ):
        assert features(dataclasses.replace(plain, **changed)) != features(plain), changed


def test_terms_and_features_are_as_many_as_their_names() -> None:
    assert len(terms(SAMPLED[0], cost(SAMPLED[0]))) == len(TERMS)
    assert len(features(SAMPLED[0])) == len(FEATURES)


def test_at_a_sample_it_follows_the_sample() -> None:
    for problem in SAMPLED:
        assert model().predict(problem, cost(problem)).seconds == pytest.approx(
            1.2 * base(problem), rel=0.02
        )


def test_a_disturbed_sample_counts_for_less() -> None:
    residuals = (0.0,) * 4 + (1.0,) + (0.0,) * 4
    problem = SAMPLED[4]
    believed = model(residuals=residuals).predict(problem, cost(problem)).seconds
    disturbed = model(residuals=residuals, excess=(0.0,) * 4 + (9.0,) + (0.0,) * 4)
    assert disturbed.predict(problem, cost(problem)).seconds < 1.2 * base(problem) < believed


def test_far_from_the_samples_it_returns_to_the_base_and_is_less_sure() -> None:
    near, far = image(200, 9), image(200, 9, batch=64, in_channels=64, out_channels=64)
    seconds = model(slopes=(0.0,) * len(FEATURES)).predict(far, cost(far)).seconds
    assert seconds == pytest.approx(base(far), rel=0.1)
    assert width(model(), far) > 2 * width(model(), near)


def test_more_of_one_size_is_less_sure() -> None:
    widths = [width(model(), image(256, 9, batch=2**power)) for power in range(0, 12, 2)]
    assert widths == sorted(widths)


def test_many_at_once_are_as_one_by_one() -> None:
    asked = [*SAMPLED, image(100, 7, batch=4, dtype="float64"), image(2000, 127)]
    many = model().predict_many(asked, [cost(problem) for problem in asked])
    each = [model().predict(problem, cost(problem)) for problem in asked]
    np.testing.assert_allclose(many, np.array(each), rtol=1e-9)
    assert model().predict_many([], []).shape == (0, 3)


@given(problems)
def test_of_any_problem_it_is_a_positive_number(problem: Problem) -> None:
    seconds, low, high = model().predict(problem, cost(problem))
    assert 0 < low < seconds < high < math.inf


@pytest.mark.parametrize("flops", [0.0, 1e18, 1e300])
def test_of_any_cost_it_is_a_positive_number(flops: float) -> None:
    problem = image(64, 5, batch=1000000, in_channels=1000, out_channels=1000)
    seconds, low, high = model().predict(problem, Cost(flops, 0.0))
    assert 0 < low < seconds < high < math.inf


def test_json_keeps_it() -> None:
    assert CostModel.from_json(json.loads(json.dumps(model().to_json()))) == model()


DAMAGE: list[tuple[str, Any]] = [
    ("coefficients", [1.0]),
    ("coefficients", [-1.0] * len(TERMS)),
    ("coefficients", "1" * len(TERMS)),
    ("signal", None),
    ("noise", 0.0),
    ("noise", math.nan),
    ("reach", "2"),
    ("reach", True),
    ("scales", [0.0] * len(FEATURES)),
    ("slopes", [math.inf] * len(FEATURES)),
    ("samples", []),
    ("samples", 7),
    ("samples", [[1.0]] * len(SAMPLED)),
    ("samples", [None] * len(SAMPLED)),
    ("residuals", [0.0]),
    ("excess", [-1.0] * len(SAMPLED)),
    ("terms", ["call"]),
    ("features", None),
]


@pytest.mark.parametrize(("key", "value"), DAMAGE, ids=lambda value: str(value)[:20])
def test_damage_is_refused_by_its_key(key: str, value: Any) -> None:
    data = json.loads(json.dumps(model().to_json()))
    with pytest.raises(ValueError, match=rf"^{key} .*; allowed: "):
        CostModel.from_json(data | {key: value})
    del data[key]
    with pytest.raises(ValueError, match=rf"^{key} is None; allowed: "):
        CostModel.from_json(data)


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match="cost model is a list; allowed: an object"):
        CostModel.from_json([])  # type: ignore[arg-type]
