"""The designed sample: its kinds, its ranges, and that it fills them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from convcross.advice import design
from convkernels import Problem
from convkernels.toolbox.directions import GRADIENTS


def some(count: int, **options: object) -> list[Problem]:
    return list(itertools.islice(design.problems(0, **options), count))  # type: ignore[arg-type]


def test_a_seed_is_a_sample() -> None:
    assert some(40) == some(40)
    others = list(itertools.islice(design.problems(1), 40))
    assert len(set(some(40)) & set(others)) <= 2


def test_every_kind_takes_its_turn() -> None:
    problems = some(70)
    images = [one for one in problems if one.is_image]
    layers = [one for one in problems if not one.is_image and one.groups == 1]
    depthwise = [one for one in problems if one.groups > 1]
    assert (len(images), len(layers), len(depthwise)) == (40, 20, 10)
    assert any(one.batch > 1 for one in images)
    threes = sum(one.kernel == (3, 3) for one in layers)
    assert 8 <= threes <= 16
    assert {one.mode for one in problems} == {"same", "valid", "full"}
    doubles = sum(one.dtype == "float64" for one in problems)
    assert 3 <= doubles <= 20


def test_images_fill_the_octaves_of_both_sizes() -> None:
    problems = some(128, kinds=[design.image])
    sides = np.log2([one.image[0] for one in problems])
    kernels = np.log2([one.kernel[0] for one in problems])
    assert min(sides) <= 6.2
    assert max(sides) >= 10.8
    assert min(kernels) == 0
    assert max(kernels) >= 6.5
    counts, _ = np.histogram(sides, bins=5, range=(6, 11))
    assert counts.min() >= 15  # of 25.6 in each
    assert all(kernel % 2 for one in problems for kernel in one.kernel)


def test_gradients_are_of_layers_and_take_their_turns() -> None:
    problems = some(270, kinds=design.EVERY)
    assert [one for one in problems if one.direction == "forward"] == some(210)
    for direction in GRADIENTS:
        gradients = [one for one in problems if one.direction == direction]
        assert len(gradients) == 30
        assert not any(one.is_image for one in gradients)
        assert sum(one.groups > 1 for one in gradients) == 10
        assert sum(one.batch > 1 for one in gradients) > 20


@pytest.mark.parametrize("make", dict.fromkeys(design.EVERY))
def test_problems_are_of_a_size_that_a_call_of_a_moment_takes(make: design.Make) -> None:
    for one in some(64, kinds=[make]):
        assert math.prod(one.x_shape) <= 1.2 * design.LARGEST
        assert one.is_image or one.flops <= 2 * design.SUMS
        assert one.kernel[0] <= one.image[0]
