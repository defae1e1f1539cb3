"""Problem: what it refuses and says, its shapes, its counts, and JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from scipy import signal

from convcross.measure.accuracy.reference import by_scipy
from convkernels import Problem, UnsupportedProblem
from convkernels.problem import MODES, OPS
from support.problems import FIXED, problems


def test_defaults_are_a_single_full_convolution() -> None:
    problem = Problem((5, 6), (2, 3))
    assert dataclasses.asdict(problem) == {
        "image": (5, 6),
        "kernel": (2, 3),
        "batch": 1,
        "in_channels": 1,
        "out_channels": 1,
        "groups": 1,
        "op": "convolution",
        "mode": "full",
        "padding": None,
        "stride": (1, 1),
        "dilation": (1, 1),
        "boundary": "zero",
        "dtype": "float32",
        "direction": "forward",
    }


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"image": (0, 4)}, "image is (0, 4)", ">= 1"),
    ({"image": (4,)}, "image is (4,)", "a pair of whole numbers >= 1"),
    ({"image": "44"}, "image is '44'", "a pair"),
    ({"image": (4.0, 4)}, "image is (4.0, 4)", "whole numbers"),
    ({"kernel": (-1, 3)}, "kernel is (-1, 3)", ">= 1"),
    ({"kernel": (True, 3)}, "kernel is (True, 3)", "whole numbers"),
    ({"batch": 0}, "batch is 0", ">= 1"),
    ({"batch": 1.5}, "batch is 1.5", "whole number"),
    ({"in_channels": -2}, "in_channels is -2", ">= 1"),
    ({"out_channels": 0}, "out_channels is 0", ">= 1"),
    ({"groups": 0}, "groups is 0", ">= 1"),
    ({"in_channels": 3, "out_channels": 2, "groups": 2}, "in_channels is 3", "multiples of groups"),
    ({"in_channels": 2, "out_channels": 3, "groups": 2}, "out_channels is 3", "multiples of group"),
    ({"op": "cross"}, "op is 'cross'", "convolution, correlation"),
    ({"op": ["convolution"]}, "op is ['convolution']", "convolution, correlation"),
    ({"mode": "vaild"}, "mode is 'vaild'", "full, same, valid"),
    ({"padding": 1}, "padding is 1", "((top, bottom), (left, right))"),
    ({"padding": ((1, 1),)}, "padding is ((1, 1),)", "((top, bottom), (left, right))"),
    ({"padding": ((1, -1), (0, 0))}, "padding is ((1, -1), (0, 0))", ">= 0"),
    ({"stride": 0}, "stride is 0", ">= 1"),
    ({"stride": (1, 2, 3)}, "stride is (1, 2, 3)", "a pair"),
    ({"dilation": (1, 0)}, "dilation is (1, 0)", ">= 1"),
    ({"boundary": "wrap"}, "boundary is 'wrap'", "zero, circular"),
    ({"dtype": "int8"}, "dtype is 'int8'", "float64, float32, float16, bfloat16"),
    ({"direction": "back"}, "direction is 'back'", "forward, grad_input, grad_weight"),
    ({"mode": "valid", "kernel": (9, 2)}, "kernel is [9, 2]", "up to [8, 8]"),
    ({"mode": "valid", "kernel": (2, 9)}, "kernel is [2, 9]", "up to [8, 8]"),
    (
        {"mode": "valid", "kernel": (4, 4), "dilation": 3},
        "kernel is [4, 4] (dilated: [10, 10])",
        "up to [8, 8]",
    ),
    (
        {"padding": ((1, 0), (0, 0)), "kernel": (10, 2)},
        "kernel is [10, 2]",
        "with this padding: up to [9, 8]",
    ),
    ({"boundary": "circular", "kernel": (9, 1)}, "kernel is [9, 1]", "boundary circular"),
    ({"boundary": "circular", "mode": "valid"}, "mode is 'valid'", "full, same"),
    (
        {"boundary": "circular", "padding": ((1, 1), (1, 1))},
        "padding is ((1, 1), (1, 1))",
        "allowed with circular: none",
    ),
]


@pytest.mark.parametrize(("change", "value", "allowed"), BAD, ids=[bad[1] for bad in BAD])
def test_errors_name_the_value_and_what_is_allowed(
    change: dict[str, Any], value: str, allowed: str
) -> None:
    with pytest.raises(ValueError, match="allowed") as error:
        Problem(**{"image": (8, 8), "kernel": (3, 3)} | change)
    said, _, what_is_allowed = str(error.value).partition("allowed")
    assert value in said
    assert allowed in "allowed" + what_is_allowed


def test_padding_takes_the_place_of_mode() -> None:
    problem = Problem((8, 8), (3, 3), padding=((1, 2), (3, 4)))
    assert problem.mode is None
    assert problem.output == (9, 13)
    for mode in ("full", "same", "valid"):
        with pytest.raises(ValueError, match=f"mode is '{mode}' and padding is given; allowed"):
            Problem((8, 8), (3, 3), mode=mode, padding=((1, 2), (3, 4)))


def test_frozen_hashable_and_equal_by_value() -> None:
    problem = Problem((8, 8), (3, 3), stride=2)
    assert problem == Problem([8, 8], [3, 3], stride=[2, 2])
    assert len({problem, Problem((8, 8), (3, 3), stride=(2, 2)), Problem((8, 8), (3, 3))}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        problem.batch = 2  # type: ignore[misc]


@given(problems)
def test_json_round_trip(problem: Problem) -> None:
    text = json.dumps(problem.to_json())
    again = Problem.from_json(json.loads(text))
    assert again == problem
    assert hash(again) == hash(problem)
    assert list(problem.to_json()) == [field.name for field in dataclasses.fields(Problem)]


def test_json_with_an_unknown_or_a_missing_key() -> None:
    with pytest.raises(ValueError, match=r"problem key is 'kernal'; allowed: image, kernel, batch"):
        Problem.from_json({"image": [4, 4], "kernal": [3, 3]})
    with pytest.raises(ValueError, match="problem has no 'kernel'"):
        Problem.from_json({"image": [4, 4]})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 5), (4, 6)])
def test_output_sizes_are_scipys(op: str, mode: str, kernel: tuple[int, int]) -> None:
    function = signal.convolve2d if op == "convolution" else signal.correlate2d
    expected = function(np.ones((7, 9)), np.ones(kernel), mode=mode).shape
    assert Problem((7, 9), kernel, op=op, mode=mode).output == expected


@given(problems)
def test_flops_count_the_products_inside_the_image(problem: Problem) -> None:
    """Of ones with ones, each output is the number of its products."""
    products = by_scipy(problem, np.ones(problem.x_shape), np.ones(problem.w_shape))
    assert products.shape == problem.y_shape
    assert problem.flops == 2 * products.sum()
    assert products.max() <= problem.terms


@given(problems)
def test_minimum_bytes_read_and_write_each_array_once(problem: Problem) -> None:
    item = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}[problem.dtype]
    shapes = (problem.x_shape, problem.w_shape, problem.y_shape)
    assert problem.min_bytes == item * sum(math.prod(shape) for shape in shapes)


@given(problems)
def test_directions_exchange_operands_and_result(problem: Problem) -> None:
    x, w, y = problem.x_shape, problem.w_shape, problem.y_shape
    assert problem.shapes == (x, w, y)
    assert dataclasses.replace(problem, direction="grad_input").shapes == (y, w, x)
    assert dataclasses.replace(problem, direction="grad_weight").shapes == (y, x, w)


def test_shapes_of_images_and_of_channels() -> None:
    image = FIXED["pointwise"]
    assert (image.x_shape, image.w_shape, image.y_shape) == ((6, 9), (1, 1), (6, 9))
    batch = FIXED["batch"]
    assert (batch.x_shape, batch.w_shape, batch.y_shape) == ((3, 9, 10), (3, 3), (3, 7, 8))
    groups = FIXED["groups"]
    assert groups.x_shape == (2, 4, 8, 9)
    assert groups.w_shape == (6, 2, 3, 3)
    assert groups.y_shape == (2, 6, 10, 11)


def test_a_refusal_is_a_not_implemented_error() -> None:
    assert issubclass(UnsupportedProblem, NotImplementedError)
