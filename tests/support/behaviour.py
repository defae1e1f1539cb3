"""What every contender does in every direction: it agrees, repeats itself, and leaves alone what is
not its own."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from convkernels import UnsupportedProblem, namespaces
from support.acceptance import FEW, REFUSES, SLOW, accepted
from support.contenders import STRICT, Contender
from support.problems import FIXED, Case, case, random_case
from support.reference import relative_error


def agrees_on_random_problems(
    contender: Contender, most: int, strict: int, direction: str = "forward"
) -> None:
    """Of a stream of six times as many, for those that refuse many.

    Parameters
    ----------
    most, strict : problems that it must solve; under array-api-strict, which tells no more than
        which functions are called
    """
    name = contender.algorithm.name
    wanted = strict if contender.namespace == STRICT else min(most, SLOW.get(name, most))
    solved = 0
    for index in range(6 * most):
        solved += accepted(contender, random_case(index, contender.rank, direction))
        if solved == wanted:
            break
    assert solved, f"{contender} took none of {6 * most} problems"
    if name in REFUSES and name not in FEW:
        assert solved == wanted


@functools.cache
def fixed(rank: int | None, direction: str = "forward") -> list[Case]:
    """One of every kind, with kernels of this rank."""
    problems = (dataclasses.replace(problem, direction=direction) for problem in FIXED.values())
    return [case(problem, rank=rank) for problem in problems]


def agrees_on_fixed_problems(contender: Contender, direction: str = "forward") -> None:
    assert sum(accepted(contender, each) for each in fixed(contender.rank, direction)) > 0


def solvable(contender: Contender, direction: str = "forward") -> list[Case]:
    """Those of the fixed problems that it takes."""
    found = []
    for each in fixed(contender.rank, direction):
        try:
            contender.prepare(each.problem)
        except UnsupportedProblem:
            continue
        found.append(each)
    assert found, f"{contender} takes none of the fixed problems"
    return found


def repeats_and_shares_no_memory(contender: Contender, direction: str = "forward") -> None:
    """Operands are left alone, and a result is the caller's: spoiling it spoils nothing."""
    for each in solvable(contender, direction):
        problem = each.problem
        instance = contender.prepare(problem)
        a, b = (contender.array(v.copy(), problem.dtype) for v in (each.x, each.w))
        instance.load(b)
        result = instance.run(a)
        first = contender.values(result)
        result[...] = math.nan
        assert np.array_equal(contender.values(instance.run(a)), first), problem
        assert np.array_equal(contender.values(a), each.x), problem
        assert np.array_equal(contender.values(b), each.w), problem


def forgets_what_was_loaded(contender: Contender, direction: str = "forward") -> None:
    """A second load replaces the first."""
    for each in solvable(contender, direction):
        problem = each.problem
        instance = contender.prepare(problem)
        other = namespaces.round_to(case(problem, 1, contender.rank).w, problem.dtype)
        contender.solve(instance, each.x, other)
        again = contender.values(contender.solve(instance, each.x, each.w))
        fresh = contender.solve(contender.prepare(problem), each.x, each.w)
        assert np.array_equal(again, contender.values(fresh)), problem


# A view of the wanted shape into an array of NaN, for each way of lying in memory.
STRIDED: dict[str, Callable[[Callable[..., Any], tuple[int, ...]], Any]] = {
    "every second": lambda nans, s: nans(*s[:-2], 2 * s[-2], 2 * s[-1])[..., ::2, ::2],
    "transposed": lambda nans, s: nans(*s[:-2], s[-1], s[-2]).swapaxes(-1, -2),
    "reversed": lambda nans, s: nans(*s)[..., ::-1, ::-1],
    "inside": lambda nans, s: nans(*s[:-2], s[-2] + 2, s[-1] + 3)[..., 1:-1, 1:-2],
}


def takes_strided_operands(contender: Contender, layout: str, direction: str = "forward") -> None:
    """Both operands lie as STRIDED has it."""
    if contender.namespace == STRICT:
        pytest.skip("array-api-strict wraps NumPy arrays, whose layouts are tested as such")
    if contender.namespace == "torch" and layout == "reversed":
        pytest.skip("torch has no negative strides")
    for each in solvable(contender, direction):
        problem = each.problem

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
            instance.load(strided(each.w))
            result = contender.values(instance.run(strided(each.x)))
        error = relative_error(result, each.expected, each.x, each.w)
        assert error <= contender.algorithm.error_bound(problem), problem
