"""Toeplitz matrices: their elements, the blocks that they cover, and what their zeros spread."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convkernels import Problem, convolve
from convkernels.algorithms.direct import toeplitz_gemm
from convkernels.discovery import find
from convkernels.toolbox import toeplitz
from support.problems import case, random_case
from support.reference import relative_error

whole = st.integers(1, 6)


@given(outputs=whole, taps=whole, stride=whole, dilation=whole)
def test_a_product_is_the_correlation(outputs: int, taps: int, stride: int, dilation: int) -> None:
    w = np.random.default_rng(0).standard_normal((2, taps))
    matrix = toeplitz.band(w, outputs, stride, dilation, np)
    inputs = toeplitz.reach(outputs, taps, stride, dilation)
    assert matrix.shape == (2, outputs, inputs)
    assert np.count_nonzero(matrix) == 2 * outputs * taps
    x = np.arange(inputs)
    for i in range(outputs):
        expected = sum(w[:, k] * x[i * stride + k * dilation] for k in range(taps))
        assert np.allclose(matrix[:, i] @ x, expected)


@given(size=st.integers(1, 50), block=st.integers(1, 50))
def test_blocks_cover_all_and_are_whole(size: int, block: int) -> None:
    block = min(block, size)
    starts = toeplitz.starts(size, block)
    assert {start + i for start in starts for i in range(block)} == set(range(size))
    assert len(starts) == -(-size // block)


@pytest.mark.parametrize("together", [1, 100, 1 << 30])
def test_blocks_join(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toeplitz_gemm, "ROWS", 4)
    monkeypatch.setattr(toeplitz_gemm, "TOGETHER", together)
    for index in range(60):
        case_ = random_case(index)
        problem = case_.problem
        if problem.dtype == "bfloat16":
            continue
        instance = find("toeplitz-gemm").prepare(problem, "numpy", "cpu")
        instance.load(case_.w)
        error = relative_error(instance.run(case_.x), case_.expected, case_.x, case_.w)
        assert error <= instance.error_bound(problem), problem


def test_many_output_channels_need_no_second_row() -> None:
    """A matrix without zeros multiplies no more than the sum does, padding included."""
    channels = {"in_channels": 8, "out_channels": 32, "mode": "valid"}
    problem = Problem((20, 20), (3, 3), **channels)  # type: ignore[arg-type]
    assert find("toeplitz-gemm").implementation.cost(problem).flops == problem.flops
    image = Problem((64, 64), (3, 3), mode="valid")
    assert find("toeplitz-gemm").implementation.cost(image).flops > 5 * image.flops


def test_what_is_not_finite_spoils_its_block_and_is_told() -> None:
    case_ = case(Problem((100, 90), (5, 5), mode="same"))
    x = case_.x.copy()
    x[50, 40] = np.nan
    with pytest.warns(RuntimeWarning, match="toeplitz-gemm computes many outputs together"):
        y = convolve(x, case_.w, mode="same", algorithm="toeplitz-gemm")
    apart = convolve(x, case_.w, mode="same", algorithm="direct")
    spoilt = np.isnan(y)
    assert np.isnan(apart).sum() == 25
    assert spoilt[np.isnan(apart)].all()
    assert set(np.flatnonzero(spoilt.any(axis=0))) == {38, 39, 40, 41, 42}
    assert spoilt.any(axis=1).sum() <= 3 * toeplitz_gemm.ROWS
