"""Every registered algorithm, on every namespace, against SciPy in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from convcross.measure.accuracy.reference import by_scipy
from convkernels import Problem, UnsupportedProblem, namespaces
from convkernels.algorithms.direct import direct
from convkernels.algorithms.im2col import im2col_gemm
from convkernels.discovery import algorithms
from convkernels.problem import DIRECTIONS, ROUNDOFF, STEP
from support import behaviour
from support.contenders import Contender, contenders
from support.problems import FIXED, case, of_rank, random_case
from support.reference import relative_error

RANDOM_PROBLEMS, STRICT_PROBLEMS = 500, 100


@pytest.fixture(params=contenders())
def contender(request: pytest.FixtureRequest) -> Contender:
    request.param.skip_unless_here()
    return request.param


def test_agrees_with_scipy_on_random_problems(contender: Contender) -> None:
    behaviour.agrees_on_random_problems(contender, RANDOM_PROBLEMS, STRICT_PROBLEMS)


def test_agrees_with_scipy_on_fixed_problems(contender: Contender) -> None:
    behaviour.agrees_on_fixed_problems(contender)


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


def test_runs_repeat_and_share_no_memory(contender: Contender) -> None:
    behaviour.repeats_and_shares_no_memory(contender)


def test_a_result_outlives_the_next_run(contender: Contender) -> None:
    for case_ in behaviour.solvable(contender):
        instance = contender.prepare(case_.problem)
        y = contender.solve(instance, case_.x, case_.w)
        first = contender.values(y)
        instance.run(contender.array(-case_.x, case_.problem.dtype))
        assert np.array_equal(contender.values(y), first), case_.problem


def test_a_second_load_replaces_the_filter(contender: Contender) -> None:
    behaviour.forgets_what_was_loaded(contender)


@pytest.mark.parametrize("layout", behaviour.STRIDED)
def test_strided_operands(contender: Contender, layout: str) -> None:
    behaviour.takes_strided_operands(contender, layout)


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
