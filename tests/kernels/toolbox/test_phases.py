"""Gradients with strides and dilations in phases: against the definition, and what it saves."""

from __future__ import annotations

import array_api_compat.numpy as xp
import numpy as np
import pytest

from convcross.measure.accuracy.reference import gradient
from convkernels import Problem
from convkernels.toolbox.phases import phases
from kernels.toolbox.test_directions import GRADIENTS, PROBLEMS, operands

MORE = [
    Problem((19, 16), (5, 4), stride=stride, dilation=dilation, mode="same", in_channels=2)
    for stride in ((2, 3), (4, 1), (6, 2))
    for dilation in ((1, 1), (2, 2), (3, 4))
]


@pytest.mark.parametrize("direction", GRADIENTS)
def test_the_phases_have_the_gradient(direction: str) -> None:
    cut = 0
    for each in [*PROBLEMS, *MORE]:
        problem, a, b = operands(each, direction)
        found = phases(problem)
        if found is None:
            whole = problem.stride == (1, 1)
            if direction == "grad_input":
                assert whole or problem.boundary == "circular"
            else:
                assert whole
                assert problem.dilation == (1, 1)
            continue
        cut += 1
        solved = found.solved
        assert (solved.stride, solved.dilation, solved.direction) == ((1, 1), (1, 1), direction)
        before = a.copy(), b.copy()
        result = found.result(gradient(solved, found.image(a, xp), found.filters(b, xp)), xp)
        assert result.shape == problem.shapes[2], problem
        expected = gradient(problem, a, b)
        scale = 1e-13 * np.linalg.norm(a) * np.linalg.norm(b)
        assert np.abs(result - expected).max() <= scale, problem
        assert np.array_equal(a, before[0])
        assert np.array_equal(b, before[1])
    assert cut > 50


@pytest.mark.parametrize(
    ("kernel", "stride", "times"),
    [(1, 2, 1.0), (3, 2, 16 / 9), (5, 2, 36 / 25), (8, 2, 1.0), (3, 3, 1.0), (7, 4, 64 / 49)],
)
def test_what_is_multiplied(kernel: int, stride: int, times: float) -> None:
    """⌈k/s⌉·s elements a side in the place of k; with zeros in between it were s² times as many."""
    problem = Problem(
        (960, 960), (kernel, kernel), mode="same", stride=(stride, stride), direction="grad_input"
    )
    found = phases(problem)
    assert found is not None
    assert found.solved.flops / problem.flops == pytest.approx(times, rel=0.02)
