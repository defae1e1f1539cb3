"""The ladder of smaller problems that is climbed before a long one is run."""

import itertools
import math

import pytest

from convcross.measure.prepare import _ladder
from convkernels import Problem

PROBLEMS = {
    "image": Problem((8192, 8192), (255, 255), mode="same"),
    "full": Problem((1000, 700), (64, 33), mode="full"),
    "valid": Problem((300, 200), (100, 40), mode="valid"),
    "circular": Problem((512, 512), (127, 127), boundary="circular"),
    "dilated": Problem((512, 512), (31, 31), dilation=(4, 4), mode="valid"),
    "padded": Problem((512, 512), (63, 63), padding=((9, 9), (9, 9))),
    "layer": Problem((13, 13), (3, 3), batch=128, in_channels=384, out_channels=384, mode="same"),
}


def work(problem: Problem) -> int:
    """Products with padding included."""
    return problem.batch * math.prod(problem.image) * math.prod(problem.kernel)


@pytest.mark.parametrize("name", PROBLEMS)
def test_steps_grow_to_less_than_the_whole(name: str) -> None:
    problem = PROBLEMS[name]
    steps = list(_ladder(problem))
    assert steps
    for step in steps:
        assert all(s <= p for s, p in zip(step.image, problem.image, strict=True))
        assert all(s <= p for s, p in zip(step.kernel, problem.kernel, strict=True))
        assert 2 * step.flops <= problem.flops
    for before, after in itertools.pairwise(steps):
        assert work(before) < work(after)


@pytest.mark.parametrize("name", PROBLEMS)
def test_steps_are_about_four_times_the_one_before(name: str) -> None:
    """Sixteen where the image has to grow with the kernel."""
    for before, after in itertools.pairwise(_ladder(PROBLEMS[name])):
        grown = (after.kernel != before.kernel) + (after.image != before.image)
        assert work(after) <= 4.2 ** max(1, grown) * work(before)


def test_a_small_problem_has_no_steps() -> None:
    assert list(_ladder(Problem((64, 64), (3, 3)))) == []
