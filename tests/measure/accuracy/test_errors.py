"""Errors of verified results: by hand, in ULP of each type, and finite on all data."""

from __future__ import annotations

import numpy as np
import pytest

from convcross.measure.accuracy import truth as accuracy
from convcross.sweeps import data
from convkernels import Problem, namespaces
from convkernels.problem import DTYPES, ROUNDOFF
from support.problems import case


def hand_made(y: list[float], dtype: str) -> accuracy.Truth:
    values = np.array([y])
    problem = Problem((1, len(y)), (1, 1), dtype=dtype)
    return accuracy.Truth(
        problem, values, np.ones((1, 1)), values, 2 * np.abs(values), 1.0, 0.0, {}
    )


def test_errors_by_hand() -> None:
    """r = (3, 4), y = (3.5, 4), |x|*|w| = (6, 8); a float16 in [2, 4) has neighbours 2⁻⁹ away."""
    found = accuracy.errors(np.array([[3.5, 4.0]]), hand_made([3.0, 4.0], "float16"))
    assert found.rel_l2 == pytest.approx(0.5 / 5)
    assert found.max_rel == pytest.approx(0.5 / 4)
    assert found.componentwise == pytest.approx(0.5 / 6)
    assert found.ulp_median == pytest.approx(0.5 * 0.5 * 2**9)
    assert found.ulp_p999 == pytest.approx(0.999 * 0.5 * 2**9)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_ulp_is_the_distance_to_the_next_number(dtype: str) -> None:
    limits = np.finfo(dtype)
    values = [1.0, 1.5, 2.0, 3.999, 1e-3, 100.0, float(limits.tiny), float(limits.tiny) / 8]
    stored = np.array([values], dtype)
    assert np.array_equal(
        accuracy._ulp(stored.astype(float), dtype), np.spacing(stored).astype(float)
    )
    following = np.nextafter(stored, np.array(np.inf, dtype)).astype(float)
    found = accuracy.errors(following, hand_made(stored[0].astype(float).tolist(), dtype))
    assert (found.ulp_median, found.ulp_p999) == (1.0, 1.0)


def test_ulp_of_bfloat16() -> None:
    """8 significant bits: neighbours of 1 are 2⁻⁷ above and 2⁻⁸ below."""
    assert accuracy._ulp(np.array([1.0, 1.99, 2.0, 0.99]), "bfloat16").tolist() == [
        2.0**-7,
        2.0**-7,
        2.0**-6,
        2.0**-8,
    ]
    rounded = namespaces.round_to(np.linspace(1, 2, 1000, endpoint=False), "bfloat16")
    assert np.diff(np.unique(rounded)).tolist() == [2.0**-7] * 128


@pytest.mark.parametrize("dtype", DTYPES)
def test_roundoff_is_half_an_ulp_of_one(dtype: str) -> None:
    assert accuracy._ulp(np.array([1.0]), dtype)[0] == 2 * ROUNDOFF[dtype]


def test_errors_of_an_answer_that_is_zero_are_finite() -> None:
    given_ = case(Problem((8, 8), (3, 3), mode="same"))
    nothing = accuracy.truth(given_.problem, np.zeros((8, 8)), given_.w.astype(float), 0)
    assert accuracy.verify(np.zeros((8, 8)), 1e-6, nothing) is None
    assert set(accuracy.errors(np.zeros((8, 8)), nothing).model_dump().values()) == {0.0}
    assert accuracy.verify(np.full((8, 8), 1e-30), 1e-6, nothing) is not None


@pytest.mark.parametrize("kind", data.IMAGES)
def test_errors_are_finite_on_all_data(kind: str) -> None:
    """Most outputs of impulses are exactly 0, and their |x|*|w| too."""
    problem = Problem((64, 64), (5, 5), mode="same")
    x, w = data.image(kind, (64, 64), 0), data.kernel("normal", (5, 5), 0)
    known = accuracy.truth(problem, x, w, 0)
    noise = 1e-8 * known.norm / 64 * np.random.default_rng(0).standard_normal((64, 64))
    found = accuracy.errors(known.y + noise, known)
    assert np.isfinite(list(found.model_dump().values())).all()
    assert found.rel_l2 > 1e-9
    assert found.componentwise < 1e12
