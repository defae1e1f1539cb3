"""Kernels of low rank: their factors, what is refused, what two passes cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcross.sweeps import data
from convkernels import Problem, UnsupportedProblem, namespaces
from convkernels.problem import DTYPES, MODES, ROUNDOFF
from convkernels.toolbox import rank


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["gaussian", "box"])
def test_separable_kernels_are_taken_as_stored(kind: str, dtype: str) -> None:
    for shape in ((1, 1), (1, 7), (7, 1), (3, 3), (31, 15), (2, 3, 5, 4), (129, 129)):
        w = namespaces.round_to(data.kernel(kind, shape, 0), dtype).astype(np.float64)
        column, row = rank.factors(w, dtype, np)
        assert column.shape == (*shape[:-2], 1, shape[-2])
        assert row.shape == (*shape[:-2], 1, shape[-1])
        left = np.linalg.norm(np.swapaxes(column, -1, -2) * row - w)
        assert left <= rank.limit(shape[-2:], dtype) * np.linalg.norm(w)
        assert np.allclose(np.linalg.norm(column, axis=-1), np.linalg.norm(row, axis=-1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_random_products_are_taken_as_stored(dtype: str) -> None:
    rng = np.random.default_rng(0)
    for n in (2, 3, 9, 31, 65):
        for _ in range(20):
            w = np.outer(rng.standard_normal(n), rng.standard_normal(n + 1)) / n
            rank.factors(namespaces.round_to(w, dtype).astype(np.float64), dtype, np)


@given(
    st.integers(1, 8), st.tuples(st.integers(1, 20), st.integers(1, 20)), st.sampled_from(DTYPES)
)
@settings(max_examples=60)
def test_kernels_of_a_rank_are_the_sum_of_as_many_products(
    rank_: int, size: tuple[int, int], dtype: str
) -> None:
    rng = np.random.default_rng((rank_, *size))
    most = min(rank_, *size)
    left, right = rng.standard_normal((2, size[0], most)), rng.standard_normal((2, most, size[1]))
    w = namespaces.round_to(left @ right, dtype).astype(np.float64)
    columns, rows = rank.factors(w, dtype, np, rank_)
    assert columns.shape == (2, most, size[0])
    assert rows.shape == (2, most, size[1])
    left_over = np.linalg.norm(np.swapaxes(columns, -1, -2) @ rows - w)
    assert left_over <= rank.limit(size, dtype) * np.linalg.norm(w)


def test_the_rank_that_is_told_is_the_highest_of_all_kernels() -> None:
    w = np.stack([np.diag([1.0, 1, 0, 0, 0]), np.diag([2.0, 2, 2, 1e-3, 0]), np.zeros((5, 5))])
    with pytest.raises(
        UnsupportedProblem, match=r"numerical rank 4; allowed: 2 \(past it are 1 of"
    ):
        rank.factors(w, "float32", np, rank=2)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_limit_lies_where_it_is_said(dtype: str) -> None:
    limit = rank.limit((3, 3), dtype)
    assert limit < 20 * ROUNDOFF[dtype]
    rank.factors(np.diag([1.0, 0.9 * limit, 0.0]), dtype, np)
    told = rf"rank 2; allowed: 1 \(past it are {1.1 * limit:.2g} of the first"
    with pytest.raises(UnsupportedProblem, match=told):
        rank.factors(np.diag([1.0, 1.1 * limit, 0.0]), dtype, np)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_is_past_the_rank_counts_together(dtype: str) -> None:
    limit = rank.limit((4, 4), dtype)
    rank.factors(np.diag([1.0, 1.0, 0.6 * limit, 0.6 * limit]), dtype, np, rank=2)
    with pytest.raises(UnsupportedProblem, match="numerical rank 3; allowed: 2"):
        rank.factors(np.diag([1.0, 1.0, 0.8 * limit, 0.8 * limit]), dtype, np, rank=2)


def test_one_kernel_of_higher_rank_among_others_is_refused() -> None:
    w = np.ones((2, 3, 4, 5))
    rank.factors(w, "float64", np)
    w[1, 2, 0, 0] = 0.0
    with pytest.raises(UnsupportedProblem, match="numerical rank 2; allowed: 1"):
        rank.factors(w, "float64", np)
    rank.factors(w, "float64", np, rank=2)


def test_nothing_and_the_very_small_are_of_rank_1() -> None:
    column, row = rank.factors(np.zeros((3, 4)), "float32", np)
    assert not column.any()
    assert not row.any()
    column, row = rank.factors(np.full((3, 4), 1e-300), "float64", np)
    assert np.allclose(np.outer(column, row), 1e-300, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_kernel_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(UnsupportedProblem, match="not finite"):
        rank.factors(np.array([[1.0, value], [1.0, 1.0]]), "float32", np)


@pytest.mark.parametrize("mode", MODES)
def test_flops_are_those_of_two_passes(mode: str) -> None:
    (height, width), (kh, kw) = image, kernel = (20, 30), (5, 3)
    problem = Problem(image, kernel, batch=2, in_channels=3, out_channels=4, mode=mode)
    ones = {}  # products that meet the image, of one row or column
    for size, extent, name in ((width, kw, "across"), (height, kh, "down")):
        taps = np.convolve(np.ones(size), np.ones(extent), mode=mode)
        ones[name] = 2 * taps.sum()
    expected = height * ones["across"] + problem.output[1] * ones["down"]
    assert rank.flops(problem) == 2 * 3 * 4 * expected
    assert rank.flops(problem) < problem.flops
