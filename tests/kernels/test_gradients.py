"""Every registered algorithm in each gradient that it declares, against float64's definition."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from convkernels import Problem, UnsupportedProblem, namespaces
from convkernels.algorithms.fft.fft_gemm import GemmFFT
from convkernels.discovery import algorithms
from convkernels.toolbox.directions import GRADIENTS
from support.acceptance import FEW, REFUSES, SLOW, accepted
from support.contenders import STRICT, Contender, contenders
from support.problems import FIXED, Case, case, random_case
from support.reference import relative_error

RANDOM_PROBLEMS, STRICT_PROBLEMS = 150, 50
STREAM = 6 * RANDOM_PROBLEMS

# What is not forward of each, by the issue that asked for it; others may have gradients too.
WANTED = {
    **dict.fromkeys(("direct", "im2col-gemm", "torch-conv2d"), ("grad_input", "grad_weight")),
    "torch-conv2d-channels-last": ("grad_input", "grad_weight"),
    **dict.fromkeys(
        ("fft", "fft-exact", "fft-float64", "fft-packed", "fft-power-of-two"),
        ("grad_input", "grad_weight"),
    ),
    **dict.fromkeys(("overlap-add", "overlap-save"), ("grad_input", "grad_weight")),
    **dict.fromkeys(("fft-ducc", "fft-fftw", "fft-mkl"), ("grad_input", "grad_weight")),
    "fft-gemm": ("grad_input", "grad_weight"),
}


def declared() -> list[object]:
    """(contender, direction) of every gradient, as pytest's parameters."""
    return [
        pytest.param(*parameter.values, way, id=f"{parameter.id}-{way}", marks=parameter.marks)
        for parameter in contenders()
        for way in parameter.values[0].algorithm.directions
        if way in GRADIENTS
    ]


gradients = pytest.mark.parametrize(("contender", "direction"), declared())


def fixed(direction: str, rank: int | None) -> list[Case]:
    problems = FIXED.values()
    return [case(dataclasses.replace(p, direction=direction), rank=rank) for p in problems]


def solvable(contender: Contender, direction: str) -> list[Case]:
    found = []
    for case_ in fixed(direction, contender.rank):
        try:
            contender.prepare(case_.problem)
        except UnsupportedProblem:
            continue
        found.append(case_)
    assert found, f"{contender} takes none of the fixed problems"
    return found


def test_the_directions_that_were_asked_for() -> None:
    for name, ways in WANTED.items():
        assert algorithms()[name].directions[:3] == ("forward", *ways)


@gradients
def test_random_problems(contender: Contender, direction: str) -> None:
    contender.skip_unless_here()
    name = contender.algorithm.name
    wanted = min(RANDOM_PROBLEMS, SLOW.get(name, RANDOM_PROBLEMS))
    if contender.namespace == STRICT:
        wanted = STRICT_PROBLEMS
    solved = 0
    for index in range(STREAM):
        solved += accepted(contender, random_case(index, contender.rank, direction))
        if solved == wanted:
            break
    assert solved, f"{contender} took none of {STREAM} problems"
    if name in REFUSES and name not in FEW:
        assert solved == wanted


@gradients
def test_fixed_problems(contender: Contender, direction: str) -> None:
    contender.skip_unless_here()
    cases = fixed(direction, contender.rank)
    assert sum(accepted(contender, case_) for case_ in cases) > 0


@gradients
def test_runs_repeat_and_share_no_memory(contender: Contender, direction: str) -> None:
    """Operands are left alone, and a result is the caller's: spoiling it spoils nothing."""
    contender.skip_unless_here()
    for case_ in solvable(contender, direction):
        problem = case_.problem
        instance = contender.prepare(problem)
        a, b = (contender.array(v.copy(), problem.dtype) for v in (case_.x, case_.w))
        instance.load(b)
        result = instance.run(a)
        first = contender.values(result)
        result[...] = math.nan
        assert np.array_equal(contender.values(instance.run(a)), first), problem
        assert np.array_equal(contender.values(a), case_.x), problem
        assert np.array_equal(contender.values(b), case_.w), problem


@gradients
def test_a_second_load_replaces_the_first(contender: Contender, direction: str) -> None:
    contender.skip_unless_here()
    for case_ in solvable(contender, direction):
        problem = case_.problem
        instance = contender.prepare(problem)
        rank = contender.rank
        other = namespaces.round_to(case(problem, 1, rank).w, problem.dtype)
        contender.solve(instance, case_.x, other)
        again = contender.values(contender.solve(instance, case_.x, case_.w))
        fresh = contender.solve(contender.prepare(problem), case_.x, case_.w)
        assert np.array_equal(again, contender.values(fresh)), problem


@gradients
def test_strided_operands(contender: Contender, direction: str) -> None:
    """Views into arrays of NaN: every second row and column."""
    contender.skip_unless_here()
    if contender.namespace == STRICT:
        pytest.skip("array-api-strict wraps NumPy arrays, whose layouts are tested as such")
    for case_ in solvable(contender, direction):
        problem = case_.problem

        def strided(values: np.ndarray, dtype: str = problem.dtype) -> object:
            shape = (*values.shape[:-2], 2 * values.shape[-2], 2 * values.shape[-1])
            nans = namespaces.round_to(np.full(shape, np.nan), dtype)
            view = contender.array(nans, dtype)[..., ::2, ::2]
            view[...] = contender.array(values, dtype)
            return view

        instance = contender.prepare(problem)
        with namespaces.on(contender.namespace, contender.device):
            instance.load(strided(case_.w))
            result = contender.values(instance.run(strided(case_.x)))
        error = relative_error(result, case_.expected, case_.x, case_.w)
        assert error <= contender.algorithm.error_bound(problem), problem


@pytest.mark.parametrize("name", ["direct", "im2col-gemm", "fft", "overlap-save"])
def test_a_dtype_that_the_library_lacks_is_refused(name: str) -> None:
    algorithm = algorithms()[name]
    problem = Problem((9, 9), (3, 3), direction="grad_weight", dtype="bfloat16")
    assert algorithm.refuses(problem, "numpy", "cpu") == "numpy has no bfloat16"


def test_a_refusal_of_an_exchanged_problem_says_what_it_is() -> None:
    algorithm = algorithms()["winograd-2x2-3x3"]
    problem = Problem((9, 9), (5, 5), direction="grad_input")
    reason = algorithm.refuses(problem, "numpy", "cpu")
    assert reason == (
        "takes kernels of 3×3 only; this is 5×5 (as a forward problem: 13×13 with 5×5)"
    )


def test_a_record_says_how_a_gradient_was_solved() -> None:
    problem = Problem((8, 8), (3, 3), mode="same", stride=(2, 2), direction="grad_weight")
    instance = algorithms()["fft"].prepare(problem, "numpy", "cpu")
    assert instance.provenance()["solved_as"] == "7×7 with 8×8"
    assert "padded" in instance.provenance()


def test_a_pass_of_fft_gemm_costs_its_product_and_three_transforms() -> None:
    fields: dict[str, Any] = {"batch": 2, "in_channels": 8, "out_channels": 24, "mode": "same"}
    algorithm = algorithms()["fft-gemm"]
    loaded = {"forward": "w", "grad_input": "w", "grad_weight": "x"}
    for direction, operand in loaded.items():
        problem = Problem((20, 20), (5, 5), direction=direction, **fields)
        tiling = GemmFFT.tiling(problem)
        transforms = {which: tiling.transform_flops(which) for which in "xwy"}
        found = algorithm.cost(problem)
        assert found.once_flops == transforms[operand]
        whole = tiling.product_flops + sum(transforms.values())
        assert found.flops + found.once_flops == pytest.approx(whole)
