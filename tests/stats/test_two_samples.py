"""Two samples: Mann–Whitney's p, the least that can be, and what many of them say together."""

from __future__ import annotations

import math

import numpy as np
import pytest

from convcross.analysis.compare.cells import ALPHA
from convcross.stats.percentile import across, interval, signs
from convcross.stats.two_samples import adjusted, least_p, mann_whitney
from proofs.comparisons import EACH, FOUND, SLOWED, called, false


@pytest.mark.parametrize(("a", "b"), [(3, 3), (8, 8), (5, 12)])
def test_the_least_p_is_that_of_two_orders_of_all(a: int, b: int) -> None:
    assert least_p(a, b) == pytest.approx(2 / math.comb(a + b, a))


def test_equal_samples_do_not_differ() -> None:
    assert mann_whitney(np.arange(9.0), np.arange(9.0)) == pytest.approx(1.0)


def test_adjusted_is_benjamini_and_hochbergs() -> None:
    assert adjusted([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.04, 0.04])
    assert adjusted([]) == []


def test_equal_cells_are_said_to_differ_as_seldom_as_promised() -> None:
    assert false(10, 150) <= ALPHA + 3 * math.sqrt(ALPHA / 150)


@pytest.mark.parametrize("kind", ["shared", "own"])
def test_launches_of_the_same_code_do_not_differ_and_slower_ones_do(kind: str) -> None:
    """The short version of ``make proofs``."""
    assert max(called(kind, 0.02, 3, 200)) <= EACH + 0.01
    assert called(kind, 0.01, 3, 60, SLOWED)[0] >= FOUND - 0.1


def test_percentiles() -> None:
    replicates = np.arange(-10.0, 990.0)[None]  # eleven of a thousand at or below zero
    assert across(1000) == 24
    assert signs(replicates).tolist() == [1]
    assert signs(-replicates).tolist() == [-1]
    assert signs(replicates - 20).tolist() == [0]
    assert interval(replicates[0]) == pytest.approx((14.975, 964.025))
