"""Every registered algorithm, on every namespace, against SciPy in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from convcross.measure.accuracy.reference import by_scipy
from convkernels import Problem, UnsupportedProblem, namespaces
from convkernels.algorithms.direct import direct
from convkernels.algorithms.im2col import im2col_gemm
from convkernels.discovery import algorithms
from convkernels.problem import DIRECTIONS, ROUNDOFF, STEP
from support.acceptance import FEW, REFUSES, SLOW, accepted
from support.contenders import STRICT, Contender, contenders
from support.problems import FIXED, Case, case, of_rank, random_case
from support.reference import relative_error

RANDOM_PROBLEMS = 500
STRICT_PROBLEMS = 100  # what array-api-strict tells is which functions are called
STREAM = 6 * RANDOM_PROBLEMS  # problems offered, for those that refuse many


@pytest.fixture(params=contenders())
def contender(request: pytest.FixtureRequest) -> Contender:
    request.param.skip_unless_here()
    return request.param


def test_agrees_with_scipy_on_random_problems(contender: Contender) -> None:
    solved, wanted = 0, SLOW.get(contender.algorithm.name, RANDOM_PROBLEMS)
    if contender.namespace == STRICT:
        wanted = STRICT_PROBLEMS
    for index in range(STREAM):
        solved += accepted(contender, random_case(index, contender.rank))
        if solved == wanted:
            break
    assert solved, f"{contender} took none of {STREAM} problems"
    if contender.algorithm.name in REFUSES and contender.algorithm.name not in FEW:
        assert solved == wanted


def test_agrees_with_scipy_on_fixed_problems(contender: Contender) -> None:
    cases = [case(problem, rank=contender.rank) for problem in FIXED.values()]
    assert sum(accepted(contender, case_) for case_ in cases) > 0


def test_the_random_problems_have_everything() -> None:
    seen = [random_case(index).problem for index in range(RANDOM_PROBLEMS)]
    for key, least in (("op", 2), ("mode", 4), ("boundary", 2), ("dtype", 4), ("groups", 3)):
        assert len({getattr(problem, key) for problem in seen}) == least, key
    kinds: list[Callable[[Problem], bool]] = [
        lambda p: p.batch > 1 and p.in_channels > 1,
        lambda p: p.in_channels // p.groups > 1 and p.groups > 1 and p.out_channels > p.groups,
        lambda p: p.mode == "same" and any(size % 2 == 0 for size in p.kernel),
        lambda p: p.kernel[0] > p.image[0] and p.kernel[1] < p.image[1],
        lambda p: p.stride[0] > 1 and p.dilation[1] > 1,
        lambda p: p.padding is not None and p.padding[0][0] >= p.extent[0],
        lambda p: p.boundary == "circular" and p.extent == p.image,
    ]
    for number, kind in enumerate(kinds):
        assert sum(map(kind, seen)) >= 3, number


@pytest.mark.parametrize("name", algorithms())
def test_directions_that_are_not_declared_are_refused(name: str) -> None:
    algorithm = algorithms()[name]
    every = {*DIRECTIONS, STEP}
    assert set(algorithm.directions) <= every
    device = "cpu" if algorithm.runs_on("cpu") else "cuda:0"
    for direction in every - set(algorithm.directions):
        problem = Problem((8, 8), (3, 3), direction=direction)
        for namespace in algorithm.namespaces:
            reason = algorithm.refuses(problem, namespace, device)
            assert reason == f"no direction {direction}"


def test_a_separable_contender_refuses_kernels_of_higher_rank(contender: Contender) -> None:
    """In ``load``, the first place that sees values; with what it found, in a number."""
    rank = contender.rank
    if rank is None:
        pytest.skip("takes kernels of any rank")
    told = r"numerical rank \d+; allowed: \d \(past it are .*\d of the first"
    if rank == 0:
        told = r"not constant: its values spread over .*\d of the largest; allowed: 0"
    refused = 0
    for problem in FIXED.values():
        case_ = case(problem)
        try:
            instance = contender.prepare(problem)
        except UnsupportedProblem:
            continue
        if min(problem.kernel) <= rank or problem.kernel == (1, 1):
            contender.solve(instance, case_.x, case_.w)
            continue
        with pytest.raises(UnsupportedProblem, match=told):
            contender.solve(instance, case_.x, case_.w)
        refused += 1
    assert refused


# ---- state: operands, results and filters do not leak ----------------------------------------


def solvable(contender: Contender) -> list[Case]:
    found = []
    for problem in FIXED.values():
        try:
            contender.prepare(problem)
        except UnsupportedProblem:
            continue
        found.append(case(problem, rank=contender.rank))
    assert found, f"{contender} takes none of the fixed problems"
    return found


def test_runs_repeat_and_share_no_memory(contender: Contender) -> None:
    """Operands are left alone, and a result is the caller's: spoiling it spoils nothing."""
    for case_ in solvable(contender):
        problem = case_.problem
        instance = contender.prepare(problem)
        a, b = (contender.array(v.copy(), problem.dtype) for v in (case_.x, case_.w))
        instance.load(b)
        y = instance.run(a)
        first = contender.values(y)
        y[...] = math.nan
        assert np.array_equal(contender.values(instance.run(a)), first), problem
        assert np.array_equal(contender.values(a), case_.x), problem
        assert np.array_equal(contender.values(b), case_.w), problem


def test_a_result_outlives_the_next_run(contender: Contender) -> None:
    for case_ in solvable(contender):
        instance = contender.prepare(case_.problem)
        y = contender.solve(instance, case_.x, case_.w)
        first = contender.values(y)
        instance.run(contender.array(-case_.x, case_.problem.dtype))
        assert np.array_equal(contender.values(y), first), case_.problem


def test_a_second_load_replaces_the_filter(contender: Contender) -> None:
    for case_ in solvable(contender):
        problem = case_.problem
        instance = contender.prepare(problem)
        other = namespaces.round_to(case(problem, 1, contender.rank).w, problem.dtype)
        contender.solve(instance, case_.x, other)
        again = contender.values(contender.solve(instance, case_.x, case_.w))
        fresh = contender.solve(contender.prepare(problem), case_.x, case_.w)
        assert np.array_equal(again, contender.values(fresh)), problem


# A view of the wanted shape into an array of NaN, for each way of lying in memory.
STRIDED: dict[str, Callable[[Callable[..., Any], tuple[int, ...]], Any]] = {
    "every second": lambda nans, s: nans(*s[:-2], 2 * s[-2], 2 * s[-1])[..., ::2, ::2],
    "transposed": lambda nans, s: nans(*s[:-2], s[-1], s[-2]).swapaxes(-1, -2),
    "reversed": lambda nans, s: nans(*s)[..., ::-1, ::-1],
    "inside": lambda nans, s: nans(*s[:-2], s[-2] + 2, s[-1] + 3)[..., 1:-1, 1:-2],
}


@pytest.mark.parametrize("layout", STRIDED)
def test_strided_operands(contender: Contender, layout: str) -> None:
    if contender.namespace == STRICT:
        pytest.skip("array-api-strict wraps NumPy arrays, whose layouts are tested as such")
    if contender.namespace == "torch" and layout == "reversed":
        pytest.skip("torch has no negative strides")
    for case_ in solvable(contender):
        problem = case_.problem

        def strided(values: np.ndarray, dtype: str = problem.dtype) -> Any:
            view = STRIDED[layout](
                lambda *shape: contender.array(
                    namespaces.round_to(np.full(shape, np.nan), dtype), dtype
                ),
                values.shape,
            )
            view[...] = contender.array(values, dtype)
            return view

        instance = contender.prepare(problem)
        with namespaces.on(contender.namespace, contender.device):
            instance.load(strided(case_.w))
            y = contender.values(instance.run(strided(case_.x)))
        error = relative_error(y, case_.expected, case_.x, case_.w)
        assert error <= instance.error_bound(problem), problem


# ---- strips, and 16-bit storage --------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("name", ["direct", "im2col-gemm"])
def test_strips_of_rows_join(name: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images larger than the strip are solved in parts; small limits make every image one."""
    for index in range(60):
        case_ = random_case(index)
        problem = case_.problem
        if problem.dtype == "bfloat16":
            continue
        row = problem.batch * problem.out_channels * problem.output[1]
        monkeypatch.setattr(direct, "STRIP", rows * row)
        row = problem.batch * problem.groups * problem.terms * problem.output[1]
        item = 8 if problem.dtype == "float64" else 4
        monkeypatch.setattr(im2col_gemm, "LIMIT", rows * row * item)
        instance = algorithms()[name].prepare(problem, "numpy", "cpu")
        assert (instance.strip if name == "direct" else instance.rows) == min(
            rows, problem.output[0]
        )
        instance.load(case_.w)
        error = relative_error(instance.run(case_.x), case_.expected, case_.x, case_.w)
        assert error <= instance.error_bound(problem), problem


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_storage_is_summed_in_float32(contender: Contender, dtype: str) -> None:
    """Only the last rounding is to 16 bits: sums of 961 terms of one sign show any other."""
    problem = Problem((40, 40), (31, 31), mode="valid", dtype=dtype)
    rng = np.random.default_rng(0)
    x, w = (rng.uniform(0, 1, shape) for shape in (problem.x_shape, problem.w_shape))
    w = of_rank(w, contender.rank)
    x, w = (namespaces.round_to(values, dtype) for values in (x, w))
    try:
        instance = contender.prepare(problem)
    except UnsupportedProblem as refusal:
        pytest.skip(str(refusal))
    expected = by_scipy(problem, x, w)
    y = contender.values(contender.solve(instance, x, w))

    def error(y: np.ndarray) -> float:
        return float(np.linalg.norm(y - expected) / np.linalg.norm(expected))

    halves = np.zeros_like(expected)
    for row, column in np.ndindex(31, 31):
        tap = x[row : row + 10, column : column + 10] * w[30 - row, 30 - column]
        halves = namespaces.round_to(halves + namespaces.round_to(tap, dtype), dtype)
    assert error(halves.astype(float)) > 4 * ROUNDOFF[dtype]
    assert error(y.astype(float)) <= 1.01 * ROUNDOFF[dtype]
