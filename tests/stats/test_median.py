"""Medians, their intervals, and when to stop: on fake actions, without real time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from convcross.stats import median as statistics
from convcross.stats.median import is_settled, median_interval

times = st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=60)


@given(times)
def test_median_interval_holds_the_median(samples: list[float]) -> None:
    middle, low, high = median_interval(samples)
    assert middle == pytest.approx(np.median(samples), rel=1e-15)
    assert min(samples) <= low <= middle <= high <= max(samples)


@pytest.mark.parametrize("count", [1, 2, 5, 6, 8, 9, 12, 27, 40, 91, 400, 1100, 5000])
def test_ranks_are_those_of_the_binomial(count: int) -> None:
    """[x(k), x(n+1-k)] covers with probability 1 - 2 P(B < k), B of n fair coins; k is maximal."""
    rank = statistics._rank(count)
    coins = stats.binom(count, 0.5)
    if rank:
        assert 1 - 2 * coins.cdf(rank - 1) >= statistics.LOOK_CONFIDENCE
    assert 1 - 2 * coins.cdf(rank) < statistics.LOOK_CONFIDENCE
    samples = list(np.random.default_rng(0).permutation(count) + 1.0)
    _, low, high = median_interval(samples)
    assert (low, high) == (max(1, rank), count + 1 - max(1, rank))


@pytest.mark.parametrize("draw", ["exponential", "standard_normal", "standard_cauchy"])
@pytest.mark.parametrize("count", [8, 18, 60])
def test_coverage(draw: str, count: int) -> None:
    median = {"exponential": np.log(2), "standard_normal": 0.0, "standard_cauchy": 0.0}[draw]
    generator = np.random.default_rng(7)
    covered = 0
    for _ in range(2000):
        _, low, high = median_interval(list(getattr(generator, draw)(size=count)))
        covered += low <= median <= high
    coins = stats.binom(count, 0.5)
    expected = 1 - 2 * coins.cdf(statistics._rank(count) - 1)
    assert covered / 2000 == pytest.approx(expected, abs=0.02)
    assert expected >= statistics.LOOK_CONFIDENCE


def test_settled() -> None:
    assert is_settled([1.0] * 7)
    assert not is_settled([1.0] * 6)  # no interval of 98 % has so few
    assert is_settled([1.0] * 20 + [9.0] * 3)  # a median passes over outliers
    assert not is_settled([1.0, 1.03] * 20)
    assert is_settled([1.0, 1.009] * 20)
    assert not is_settled([0.97] * 12 + [1.0] * 18)  # on one side alone
    assert not is_settled([1.0] * 18 + [1.03] * 12)
