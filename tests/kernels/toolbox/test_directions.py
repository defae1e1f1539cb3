"""Gradients as forward problems: against the definition, autograd and finite differences."""

from __future__ import annotations

import dataclasses
import random

import array_api_compat.numpy as xp
import numpy as np
import pytest

from convcross.measure.accuracy.reference import by_scipy, gradient
from convkernels import Problem
from convkernels.toolbox import directions, layout
from support.problems import FIXED, random_problem

GRADIENTS = ["grad_input", "grad_weight"]
PROBLEMS = [*FIXED.values(), *(random_problem(random.Random(index)) for index in range(300))]
# Outputs that see nothing but padding, all of them in the last.
PROBLEMS += [
    Problem((3, 3), (2, 2), padding=((9, 9), (4, 0)), stride=(3, 2)),
    Problem((1, 1), (1, 1), padding=((2, 0), (2, 0)), stride=(3, 3), op="correlation"),
]


def operands(problem: Problem, direction: str) -> tuple[Problem, np.ndarray, np.ndarray]:
    problem = dataclasses.replace(problem, dtype="float64", direction=direction)
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape) for shape in problem.shapes[:2])
    return problem, a, b


@pytest.mark.parametrize("direction", GRADIENTS)
def test_the_exchanged_problem_has_the_gradient(direction: str) -> None:
    for each in PROBLEMS:
        problem, a, b = operands(each, direction)
        exchange = directions.exchange(problem)
        assert exchange.solved.direction == "forward"
        y = by_scipy(exchange.solved, exchange.image(a, xp), exchange.filters(b, xp))
        found = exchange.result(y, xp)
        assert found.shape == problem.shapes[2], problem
        expected = gradient(problem, a, b)
        scale = 1e-13 * np.linalg.norm(a) * np.linalg.norm(b)
        assert np.abs(found - expected).max() <= scale, problem
        assert np.array_equal(exchange.unresult(found, xp), y), problem


@pytest.mark.parametrize("direction", GRADIENTS)
def test_the_definition_is_the_derivative(direction: str) -> None:
    """By central differences of the forward sum, which is linear in either operand: exactly but for
    rounding, in a random direction."""
    rng = np.random.default_rng(1)
    for each in PROBLEMS:
        problem, gy, other = operands(each, direction)
        forward = directions.forward_of(problem)
        x = rng.standard_normal(problem.x_shape) if direction == "grad_input" else other
        w = other if direction == "grad_input" else rng.standard_normal(problem.w_shape)
        moved, step = rng.standard_normal(problem.shapes[2]), 0.5

        def objective(shift: float) -> float:
            at = shift * moved  # noqa: B023
            both = (x + at, w) if direction == "grad_input" else (x, w + at)  # noqa: B023
            return float(np.sum(gy * by_scipy(forward, *both)))  # noqa: B023

        slope = (objective(step) - objective(-step)) / (2 * step)
        found = float(np.sum(gradient(problem, gy, other) * moved))
        scale = np.linalg.norm(gy) * np.linalg.norm(x) * np.linalg.norm(w)
        scale += np.linalg.norm(gy) * np.linalg.norm(other) * np.linalg.norm(moved)
        assert abs(slope - found) <= 1e-12 * scale, problem


@pytest.mark.parametrize("direction", GRADIENTS)
def test_the_definition_is_what_autograd_finds(direction: str) -> None:
    torch = pytest.importorskip("torch")
    for each in PROBLEMS[:150]:
        problem, gy, other = operands(each, direction)
        forward = directions.forward_of(problem)
        towards_x = direction == "grad_input"
        shapes = (problem.x_shape, problem.w_shape)
        x, w = (torch.zeros(shape, dtype=torch.float64) for shape in shapes)
        x, w = (x, torch.tensor(other)) if towards_x else (torch.tensor(other), w)
        (x if towards_x else w).requires_grad_()
        channels = problem.in_channels, problem.out_channels
        images = x.reshape(problem.batch, channels[0], *problem.image)
        filters = w.reshape(channels[1], channels[0] // problem.groups, *problem.kernel)
        (top, bottom), (left, right) = problem.pads
        mode = "circular" if problem.boundary == "circular" else "constant"
        images = torch.nn.functional.pad(images, (left, right, top, bottom), mode=mode)
        if problem.op == "convolution":
            filters = filters.flip(-2, -1)
        y = torch.nn.functional.conv2d(
            images, filters, None, problem.stride, 0, problem.dilation, problem.groups
        )
        y.reshape(forward.y_shape).backward(torch.tensor(gy))
        found = (x if towards_x else w).grad.numpy()
        expected = gradient(problem, gy, other)
        scale = 1e-13 * np.linalg.norm(gy) * np.linalg.norm(other)
        assert np.abs(found - expected).max() <= scale, problem


def test_a_forward_problem_is_left_as_it_is() -> None:
    problem = Problem((5, 6), (3, 2), batch=2)
    exchange = directions.exchange(problem)
    x = np.arange(60.0).reshape(2, 5, 6)
    assert exchange.solved is problem
    assert exchange.image(x, xp) is x
    assert exchange.filters(x, xp) is x
    assert exchange.result(x, xp) is x
    assert exchange.copied == (0, 0, 0)


def test_unpadded_is_the_adjoint_of_padded() -> None:
    """⟨padded(x), v⟩ = ⟨x, unpadded(v)⟩ for every way of padding."""
    rng = np.random.default_rng(2)
    for problem in PROBLEMS:
        shape = (problem.batch, 1, problem.in_channels)
        x = rng.standard_normal((*shape, *problem.image))
        v = rng.standard_normal((*shape, *layout.grown_size(problem)))
        before = v.copy()
        there = float(np.sum(layout.padded(x, problem, xp) * v))
        back = float(np.sum(x * layout.unpadded(v, problem, xp)))
        assert there == pytest.approx(back, rel=1e-12, abs=1e-9), problem
        assert np.array_equal(v, before)


@pytest.mark.parametrize(
    ("stride", "expected"), [((1, 1), 4 * 25), ((2, 2), 4 * 9), ((3, 1), 4 * 2 * 5)]
)
def test_terms_of_an_images_gradient(stride: tuple[int, int], expected: int) -> None:
    problem = Problem(
        (20, 20), (5, 5), in_channels=2, out_channels=4, stride=stride, direction="grad_input"
    )
    assert problem.terms == expected


def test_every_direction_has_the_same_products() -> None:
    problem = Problem((9, 8), (3, 4), batch=2, in_channels=3, out_channels=2, mode="same")
    flops = {
        dataclasses.replace(problem, direction=direction).flops
        for direction in ("forward", "grad_input", "grad_weight")
    }
    assert flops == {problem.flops}
    gradient_of_w = dataclasses.replace(problem, direction="grad_weight")
    assert gradient_of_w.terms == 2 * 9 * 8
