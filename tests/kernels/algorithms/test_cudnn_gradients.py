"""cuDNN's backward algorithms by number, against a stand-in of its signatures."""

from __future__ import annotations

import ctypes
import dataclasses
import random

import numpy as np
import pytest

from convkernels import Problem, UnsupportedProblem
from convkernels.discovery import find
from support.cudnn import STREAM, calls, planned, solved
from support.problems import FIXED, case, random_problem
from support.reference import relative_error

pytest.importorskip("torch", reason="torch is not installed")

# cudnnConvolutionBwdDataAlgo_t and cudnnConvolutionBwdFilterAlgo_t of each.
NUMBERS = {
    ("cudnn-atomic-gemm", "grad_input"): 0,
    ("cudnn-atomic-gemm", "grad_weight"): 0,
    ("cudnn-implicit-gemm", "grad_input"): 1,
    ("cudnn-implicit-gemm", "grad_weight"): 1,
    ("cudnn-implicit-precomp-gemm", "grad_weight"): 3,
    ("cudnn-fft", "grad_input"): 2,
    ("cudnn-fft", "grad_weight"): 2,
    ("cudnn-fft-tiling", "grad_input"): 3,
    ("cudnn-fft-tiling", "grad_weight"): 6,
    ("cudnn-winograd-nonfused", "grad_input"): 5,
    ("cudnn-winograd-nonfused", "grad_weight"): 5,
}
LAYER = Problem(
    (10, 9), (3, 3), batch=2, in_channels=4, out_channels=6, groups=2, mode="same", op="correlation"
)
WORDS = {"grad_input": "Data", "grad_weight": "Filter"}

each = pytest.mark.parametrize(("name", "direction"), NUMBERS)


@each
@pytest.mark.usefixtures("fake")
def test_agrees_with_the_definition(name: str, direction: str) -> None:
    problems = [*FIXED.values(), LAYER]
    problems += [random_problem(random.Random(index)) for index in range(150)]
    taken = 0
    for index, forward in enumerate(problems):
        if forward.dtype not in ("float32", "float64"):
            continue
        problem = dataclasses.replace(forward, direction=direction)
        case_ = case(problem, index)
        try:
            instance = planned(name, problem)
        except UnsupportedProblem:
            continue
        found = solved(instance, case_.x, case_.w)
        assert found.shape == problem.shapes[2]
        error = relative_error(found, case_.expected, case_.x, case_.w)
        assert error <= instance.error_bound(problem), problem
        taken += 1
    assert taken >= 3


@each
def test_the_calls_in_their_order(name: str, direction: str, fake: ctypes.CDLL) -> None:
    number, word = NUMBERS[name, direction], WORDS[direction]
    problem = dataclasses.replace(LAYER, direction=direction)
    instance = planned(name, problem)
    plan = calls(fake)
    described = [call for call in plan if not call.startswith(("Create", "SetStream"))]
    assert described == [
        "SetTensor 0 0 2 4 10 9",
        "SetFilter 0 0 6 2 3 3",
        "SetTensor 0 0 2 6 10 9",
        "SetConvolution 1 1 1 1 1 1 1 0",
        "SetGroups 2",
        "SetMath 3",
        f"Get{word}Workspace {number}",
    ]
    case_ = case(problem)
    solved(instance, case_.x, case_.w)
    assert calls(fake)[len(plan) :] == [
        f"SetStream {STREAM:#x}",
        f"Backward{word} {number} {1000 + number} 1 0 {STREAM:#x}",
    ]
    assert instance.provenance()["algorithm_number"] == number


@pytest.mark.parametrize("direction", WORDS)
def test_a_mode_that_it_lacks_is_made_up_for(direction: str, fake: ctypes.CDLL) -> None:
    """Mode 0 refused: a filter is flipped before, a filter's gradient after."""
    number = NUMBERS["cudnn-fft-tiling", direction]
    fake.fake_status(f"{number} 0".encode(), 3000)
    problem = Problem((12, 11), (4, 3), mode="full", direction=direction)
    case_ = case(problem)
    instance = planned("cudnn-fft-tiling", problem)
    assert instance.provenance()["kernel"] == "flipped before"
    found = solved(instance, case_.x, case_.w)
    assert relative_error(found, case_.expected, case_.x, case_.w) < 1e-6


@pytest.mark.parametrize("direction", WORDS)
def test_what_it_does_not_take_names_the_call(direction: str, fake: ctypes.CDLL) -> None:
    fake.fake_status(f"Get{WORDS[direction]}Workspace".encode(), 3000)
    reason = (
        rf"^cuDNN's algorithm 2 of Backward{WORDS[direction]} does not take it: .*NOT_SUPPORTED"
    )
    with pytest.raises(UnsupportedProblem, match=reason):
        planned("cudnn-fft", dataclasses.replace(LAYER, direction=direction))


def test_what_the_manual_excludes_is_excluded_in_every_direction() -> None:
    for direction in WORDS:
        problem = Problem((20, 25), (3, 3), stride=(1, 2), direction=direction)
        reason = find("cudnn-fft").refuses(problem, "torch", "cuda:0")
        assert reason == "cuDNN's FFT has no stride"


def test_there_is_no_forward_pass_of_atomic_sums() -> None:
    found = find("cudnn-atomic-gemm")
    assert found.refuses(LAYER, "torch", "cuda:0") == "no direction forward"


@pytest.mark.usefixtures("fake")
def test_operands_and_results_are_the_callers() -> None:
    problem = dataclasses.replace(LAYER, direction="grad_weight")
    case_ = case(problem)
    instance = planned("cudnn-implicit-gemm", problem)
    first = solved(instance, case_.x, case_.w)
    kept = first.copy()
    solved(instance, -case_.x, case_.w)
    assert np.array_equal(first, kept)
