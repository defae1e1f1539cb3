"""Cells of a curve that differ, all at one confidence: the level and the bound, simulated."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from convcross.stats import simultaneous
from convcross.stats.bootstrap import resampled_median
from proofs.simultaneous import LEVEL, level


def test_the_bound_is_students_and_shared_by_all_cells() -> None:
    (one,) = simultaneous.critical(np.array([100.0]), 1, 0.05)
    assert one == pytest.approx(stats.t.isf(0.025, 14))
    many = simultaneous.critical(np.array([3.0, 5.0, 8.0, 100.0]), 63, 0.05)
    assert (np.diff(many) < 0).all()  # fewer samples have to stand out farther
    assert (stats.t.sf(many[-1], 14) * 2 * 63) == pytest.approx(0.05, rel=0.05)


def test_signs() -> None:
    estimates = np.array([0.5, -0.5, 0.5, 0.1, 0.0])
    spread = np.array([0.01, 0.01, 1.0, 0.0, 0.0])  # the last two have none, as bytes
    replicates = estimates[:, None] + spread[:, None] * np.linspace(-2, 2, 101)
    found = simultaneous.signs(estimates, replicates, np.full(5, 20.0), cells=5, error=0.05)
    assert found.tolist() == [1, -1, 0, 1, 0]


@pytest.mark.parametrize("count", [3, 4, 5, 8, 20, 62])
def test_the_tail_of_medians_of_normal_values_is_bounded(count: int) -> None:
    """The degrees of freedom: c is passed by one in a hundred at most where it says so."""
    rng = np.random.default_rng(count)
    values = rng.standard_normal((4000, count))
    estimates = np.median(values, axis=1)
    replicates = np.stack([resampled_median(row, 200, rng) for row in values])
    found = simultaneous.signs(
        estimates, replicates, np.full(4000, float(count)), cells=1, error=0.01
    )
    assert np.count_nonzero(found) <= 0.01 * 4000 + 2 * np.sqrt(40)


@pytest.mark.parametrize("kernels", [8, 63])
def test_curves_without_a_difference_get_no_verdict(kernels: int) -> None:
    found = level(kernels, 60)
    assert found.false - 2 * found.error <= LEVEL
