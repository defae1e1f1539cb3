"""Levels of launches: their spread, and the interval of their median."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcross.stats import launches
from convcross.stats.bootstrap import Samples, in_rounds, join, levels, log_ratio
from proofs.launches import COVERED, trials


def test_the_spread_is_pooled_over_cells() -> None:
    spread = launches.pooled([[1.0, 2.0, 3.0], [5.0, 5.0, 8.0], [7.0]])
    assert spread.deviation == pytest.approx(math.sqrt((2.0 + 6.0) / 4))
    assert spread.launches == 3
    alone = launches.pooled([[1.0], [2.0]])
    assert (alone.deviation, alone.launches) == (0.0, 1)


@pytest.mark.parametrize("count", [3, 5])
def test_cells_that_share_their_levels_count_as_one(count: int) -> None:
    rng = np.random.default_rng(0)
    shared = rng.standard_normal(count)
    same = launches.pooled(shared + np.arange(25)[:, None])
    assert (same.cells, same.freedom) == (pytest.approx(1), pytest.approx(count - 1))
    assert launches.pooled(rng.standard_normal((400, count))).cells > 200
    half = [launches.pooled(rng.standard_normal((2, count))[[0, 1] * 9]).cells for _ in range(99)]
    assert 1.2 < float(np.median(half)) < 4  # two that differ, nine times each
    assert launches.pooled(rng.standard_normal((9, 2))).freedom == 1


def test_the_interval_is_a_t_interval() -> None:
    """Of three launches t = 4.303, and a median is 1.16 times less sure than a mean."""
    spread = launches.pooled([[-0.01, 0.0, 0.01]])
    reach = spread.reach(np.array([-0.01, 0.0, 0.01]))
    assert reach == pytest.approx(4.303 * 1.160 * 0.01 / math.sqrt(3), rel=1e-3)
    values = launches.replicates(0.0, reach / spread.quantile, spread.freedom, 4000)
    assert np.quantile(values, 0.975) == pytest.approx(reach, rel=0.02)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=6))
def test_no_level_lies_outside(levels: list[float]) -> None:
    values = np.array(levels)
    spread = launches.pooled([values, np.zeros(len(values))])
    assert np.abs(values - np.median(values)).max() <= spread.reach(values) * (1 + 1e-9)


@pytest.mark.parametrize("cells", [1, 25, 63])
def test_more_cells_together_need_a_larger_difference(cells: int) -> None:
    few, many = (launches.Spread(0.01, count, 99) for count in (3, 20))
    for spread in (few, many):
        assert launches.critical(spread, cells, 0.05) >= spread.quantile * (1 - 1e-9)
        assert launches.critical(spread, cells + 1, 0.05) > launches.critical(spread, cells, 0.05)
    assert launches.critical(few, cells, 0.05) >= launches.critical(many, cells, 0.05)
    shared = launches.Spread(0.01, 3)
    assert launches.critical(shared, cells, 0.05) == pytest.approx(shared.quantile)


def test_a_ratio_is_the_median_over_launches_of_paired_rounds() -> None:
    rng = np.random.default_rng(0)
    rounds, of = np.arange(30), np.repeat([1, 2, 3], 10)
    shared = np.exp(rng.standard_normal(30))  # a round slows both down
    level = np.repeat([1.0, 2.0, 1.1], 10)
    a, b = in_rounds(shared * level, rounds, of), in_rounds(shared, rounds, of)
    found = log_ratio(a, b, 100, rng)
    assert found.levels == pytest.approx(np.log([1.0, 2.0, 1.1]))
    assert found.point == pytest.approx(np.log(1.1))
    halves = join([a.fold(1), a.fold(2, without=True).fold(1, without=True)])
    assert sorted(halves.by_launch) == [1, 3]


@pytest.mark.parametrize("kind", ["both", "bimodal"])
def test_planted_launches_are_covered(kind: str) -> None:
    """The short version of ``make proofs``: of 160 trials, three standard errors are 6 %."""
    found = trials(kind, 0.05, 3, 160)
    assert min(found.medians, found.ratios, found.n_star) >= COVERED - 0.06
    assert found.extreme <= 0.03


def test_contenders_that_share_one_launch_have_no_folds() -> None:
    """Of two launches one contender has lost the first: there is no other one to choose by."""
    rng = np.random.default_rng(0)
    whole = np.log(1e-3) + 0.01 * rng.standard_normal(16)
    rounds, launches = np.arange(16), np.repeat([1, 2], 8)
    samples = [
        Samples((whole,), rounds, False, launches=(launches,)),
        Samples((whole[8:],), rounds[8:], False, launches=(launches[8:],)),
    ]
    together, outside = levels(samples)
    assert len(together) == 2
    assert outside == {}
