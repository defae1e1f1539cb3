"""Box kernels by running sums: strips that join, no digit lost, kernels that are refused."""

from __future__ import annotations

import numpy as np
import pytest

from convkernels import Problem, UnsupportedProblem
from convkernels.algorithms.separable import integral
from convkernels.discovery import find
from convkernels.problem import ROUNDOFF
from support.problems import random_case
from support.reference import relative_error


def solve(problem: Problem, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    instance = find("integral").prepare(problem, "numpy", "cpu")
    instance.load(w)
    return instance.run(x)


def box_sums(x: np.ndarray, n: int) -> np.ndarray:
    """Sums of n × n pixels in extended precision, without a table."""
    x = x.astype(np.longdouble)
    height, width = (size - n + 1 for size in x.shape)
    rows = sum(x[i : i + height] for i in range(n))
    return sum(rows[:, j : j + width] for j in range(n))


def by_table(x: np.ndarray, n: int) -> np.ndarray:
    """The table of the whole image, in the image's own type."""
    table = np.zeros((x.shape[0] + 1, x.shape[1] + 1), x.dtype)
    table[1:, 1:] = x.cumsum(axis=0, dtype=x.dtype).cumsum(axis=1, dtype=x.dtype)
    return table[n:, n:] - table[:-n, n:] - table[n:, :-n] + table[:-n, :-n]


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_strips_of_rows_join(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    several = 0
    for index in range(80):
        case_ = random_case(index, 0)
        problem = case_.problem
        if problem.dtype == "bfloat16" or problem.dilation != (1, 1):
            continue
        row = problem.batch * problem.in_channels * (problem.image[1] + sum(problem.pads[1]))
        monkeypatch.setattr(integral, "STRIP", rows * row * problem.stride[0])
        several += (
            len(integral._strip and find("integral").prepare(problem, "numpy", "cpu").strips) > 2
        )
        error = relative_error(solve(problem, case_.x, case_.w), case_.expected, case_.x, case_.w)
        assert error <= integral.Integral.error_bound(problem), problem
    assert several > 10


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 3, 31])
@pytest.mark.parametrize("kind", ["uniform", "far from zero", "spot", "growing"])
def test_no_digit_is_lost_where_a_plain_table_loses_many(kind: str, n: int, dtype: str) -> None:
    """A table in the image's own type is past the bound; ours is within it."""
    random = np.random.default_rng(n)
    x = random.uniform(0, 1, (700, 900))
    if kind == "far from zero":
        x += 100
    if kind == "spot":
        x[5, 7] = 1e4
    if kind == "growing":
        x *= np.geomspace(1, 1e6, 900)
    x = x.astype(dtype)
    problem = Problem(x.shape, (n, n), mode="valid", dtype=dtype)
    w, sums = np.ones((n, n), dtype), box_sums(x, n)
    scale = max(np.linalg.norm(sums), np.linalg.norm(x.astype(float)) * n)
    error, plain = (
        float(np.linalg.norm((y - sums).astype(float))) / scale
        for y in (solve(problem, x, w), by_table(x, n))
    )
    bound = integral.Integral.error_bound(problem)
    assert error <= bound
    assert plain > bound
    assert bound < 8 * ROUNDOFF[dtype]


def test_a_dark_image_of_a_batch_keeps_its_digits() -> None:
    """Image by image, which no norm of all tells: each plane is parted by its own largest."""
    x = np.random.default_rng(0).uniform(1, 2, (2, 20, 6000))
    x[0] *= 1e12
    problem = Problem((20, 6000), (3, 3), batch=2, mode="valid", dtype="float64")
    for image, sums in zip(x, solve(problem, x, np.ones((3, 3))), strict=True):
        exact = box_sums(image, 3)
        assert np.abs(sums - exact).max() <= 4 * ROUNDOFF["float64"] * exact.max()


def test_the_parts_of_float64_are_exact() -> None:
    problem = Problem((64, 4096), (63, 63), mode="same", dtype="float64")
    x = np.random.default_rng(0).standard_normal((64, 4096))
    instance = find("integral").prepare(problem, "numpy", "cpu")
    sigma = integral._splitter(problem) * np.abs(x).max()
    high, low = instance._parted(x, sigma)  # type: ignore[attr-defined]
    assert np.array_equal(high + low, x)
    # All sums of high are whole multiples of its last bit, and below 2⁵³ of them.
    last = np.spacing(sigma) / 2
    assert np.array_equal(high / last, np.round(high / last))
    assert (np.abs(x).max() * 65 * (4096 + 62)) / last < 2.0**53
    assert np.abs(low).max() <= 1.1 * ROUNDOFF["float64"] * sigma


@pytest.mark.parametrize("mode", ["same", "valid", "full"])
def test_the_cost_does_not_depend_on_the_kernel(mode: str) -> None:
    """But for the size of the padded image and of the result: a tenth at most, 3 % to each side."""
    small, large = (
        integral.Integral.cost(Problem((2048, 2048), (n, n), mode=mode)) for n in (3, 63)
    )
    assert large.flops == pytest.approx(small.flops, rel=0.1)
    assert large.bytes == pytest.approx(small.bytes, rel=0.1)


@pytest.mark.parametrize(
    ("w", "told"),
    [
        ([[1, 1], [1, 1.5]], "kernel is not constant: its values spread over 0.33 of the largest"),
        ([[1, -1], [1, 1]], "kernel is not constant: its values spread over 2 of the largest"),
        ([[1, 1], [1, np.nextafter(1, 2)]], "spread over 2.2e-16 of the largest; allowed: 0"),
        ([[1, np.nan], [1, 1]], "kernel is not finite"),
        ([[np.inf, np.inf], [np.inf, np.inf]], "kernel is not finite"),
    ],
)
def test_what_is_not_constant_is_refused(w: list[list[float]], told: str) -> None:
    instance = find("integral").prepare(Problem((8, 8), (2, 2), dtype="float64"), "numpy", "cpu")
    with pytest.raises(UnsupportedProblem, match=told):
        instance.load(np.array(w))


def test_zero_and_negative_boxes_are_boxes() -> None:
    problem = Problem((8, 8), (2, 2), dtype="float64", mode="valid")
    x = np.arange(64.0).reshape(8, 8)
    assert not solve(problem, x, np.zeros((2, 2))).any()
    assert np.array_equal(solve(problem, x, np.full((2, 2), -0.5)), -0.5 * box_sums(x, 2))


def test_each_pair_of_channels_has_a_constant_of_its_own() -> None:
    problem = Problem((9, 8), (3, 2), in_channels=2, out_channels=3, mode="same", dtype="float64")
    constants = np.arange(1.0, 7).reshape(3, 2, 1, 1)
    x = np.random.default_rng(0).standard_normal((1, 2, 9, 8))
    y = solve(problem, x, np.broadcast_to(constants, (3, 2, 3, 2)))
    one = Problem((9, 8), (3, 2), mode="same", dtype="float64")
    boxes = [solve(one, plane, np.ones((3, 2))) for plane in x[0]]
    expected = np.einsum("kc,chw->khw", constants[..., 0, 0], boxes)
    assert np.allclose(y[0], expected, rtol=1e-14, atol=1e-14)


def test_dilation_is_refused() -> None:
    reason = find("integral").refuses(Problem((8, 8), (2, 2), dilation=2), "numpy", "cpu")  # type: ignore[arg-type]
    assert reason == "a summed-area table has no dilation"
