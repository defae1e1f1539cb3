"""Separable passes: strips that join, ranks that are refused, what is kept when one is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convkernels import Problem, UnsupportedProblem, convolve
from convkernels.algorithms.separable import _low_rank
from convkernels.discovery import find
from support.contenders import RANKS
from support.problems import case, random_case
from support.reference import relative_error

NAMES = {"separable": 1, "low-rank-2": 2, "low-rank-4": 4, "low-rank-8": 8}


def solve(name: str, problem: Problem, x: Any, w: Any) -> Any:
    instance = find(name).prepare(problem, "numpy", "cpu")
    instance.load(w)
    return instance.run(x)


@pytest.mark.parametrize("block", [1, 4])
def test_strips_of_rows_join(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A strip goes on from what the one above has passed over; the last may begin inside it."""
    monkeypatch.setattr(_low_rank, "BLOCK", block)
    monkeypatch.setattr(_low_rank, "LIMIT", 1500)
    several = 0
    for index in range(80):
        case_ = random_case(index, 2)
        problem = case_.problem
        if problem.dtype == "bfloat16":
            continue
        several += len(_low_rank._strips(problem, 2)) > 2
        y = solve("low-rank-2", problem, case_.x, case_.w)
        error = relative_error(y, case_.expected, case_.x, case_.w)
        assert error <= find("low-rank-2").implementation.error_bound(problem), problem
    assert several > 10


@pytest.mark.parametrize("name", NAMES)
@given(
    n=st.integers(9, 40), seed=st.integers(0, 1000), dtype=st.sampled_from(["float32", "float64"])
)
@settings(max_examples=10)
def test_every_rank_up_to_its_own_is_taken_and_none_above(
    name: str, n: int, seed: int, dtype: str
) -> None:
    most = NAMES[name]
    for rank in (1, most, most + 1):
        problem = Problem((50, 70), (n, n), mode="same", dtype=dtype)
        case_ = case(problem, seed, rank)
        if rank > most:
            told = rf"numerical rank {rank}; allowed: {most} \(past it are"
            with pytest.raises(UnsupportedProblem, match=told):
                solve(name, problem, case_.x, case_.w)
            continue
        error = relative_error(
            solve(name, problem, case_.x, case_.w), case_.expected, case_.x, case_.w
        )
        assert error <= find(name).implementation.error_bound(problem)


def test_the_ranks_are_those_of_their_names() -> None:
    for name, rank in NAMES.items():
        assert rank == find(name).implementation.RANK  # type: ignore[attr-defined]
        assert RANKS.get(name, 1) == rank


def test_a_filter_is_kept_when_the_next_is_refused() -> None:
    problem = Problem((9, 9), (3, 3), dtype="float64")
    instance = find("separable").prepare(problem, "numpy", "cpu")
    case_ = case(problem, rank=1)
    instance.load(case_.w)
    with pytest.raises(UnsupportedProblem, match="numerical rank 3; allowed: 1"):
        instance.load(np.eye(3))
    assert relative_error(instance.run(case_.x), case_.expected, case_.x, case_.w) < 1e-15


@pytest.mark.parametrize("name", [*NAMES, "integral"])
def test_gradients_are_refused(name: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x, w = torch.ones(8, 8, requires_grad=True), torch.ones(3, 3)
    with pytest.raises(UnsupportedProblem, match=f"{name}: no gradient passes through it"):
        convolve(x, w, algorithm=name)


def test_passes_cost_less_than_the_sum() -> None:
    problem = Problem((2048, 2048), (31, 31), mode="same")
    costs = [find(name).implementation.cost(problem).flops for name in NAMES]
    assert costs[0] < problem.flops / 7
    for rank, cost in zip(NAMES.values(), costs, strict=True):
        assert cost == pytest.approx(rank * costs[0], rel=0.02)
