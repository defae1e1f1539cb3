"""The ladder of smaller problems that is climbed before a long one is run."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from convcross.measure import prepare
from convcross.measure.duel import measure
from convcross.measure.prepare import _ladder
from convcross.results.schema import Record
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits
from convkernels import Problem
from support.planted import forgotten, images_of, plant, slow

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


@pytest.fixture
def known() -> Iterator[None]:
    """What the process knows of contenders: nothing, and nothing after."""
    prepare._slowest.clear()
    prepare._refused.clear()
    with forgotten():
        yield
    prepare._slowest.clear()
    prepare._refused.clear()


def measured(path: str, limit: float, size: int = 3) -> Record:
    """The record of "slow" with an n×n kernel, whose run may take so many seconds."""
    duel = Duel(
        id="a-duel",
        problem=Problem((256, 256), (size, size), mode="same"),
        contenders=["slow/numpy@cpu"],
        image_data="normal",
        kernel_data="normal",
        seed=0,
        regime=None,
        threads=1,
        limits=Limits(seconds=0.001, samples=12, run_seconds=limit),
        algorithm_paths=(path,),
    )
    return measure(duel).records[0]


@pytest.mark.usefixtures("known")
class TestClimb:
    def test_what_is_too_slow_is_stopped_before_the_whole_is_run(self, tmp_path: Path) -> None:
        path = plant(tmp_path, slow("problem.flops", 0.01))
        record = measured(path, 0.002)
        assert record.status == "timeout"
        assert "limit: 0.002 s" in (record.reason or "")
        assert set(images_of(path)) == {(128, 128)}  # 64² is short by its declared cost

    def test_what_was_far_too_slow_is_not_tried_with_a_larger_kernel(self, tmp_path: Path) -> None:
        path = plant(tmp_path, slow("problem.flops", 0.01))
        counts = []
        for size in (5, 7, 3):
            record = measured(path, 0.002, size)
            counts.append(len(images_of(path)))
            if size == 7:
                assert record.status == "timeout"
                assert (record.reason or "").startswith("with a kernel of 5×5 a run would take ")
        assert counts[0] == counts[1] < counts[2]

    def test_what_was_timed_before_is_not_climbed_to_again(self, tmp_path: Path) -> None:
        path = plant(tmp_path, slow("1e9", 0.0))  # five seconds, pessimistically
        assert measured(path, 1.0).status == "ok"
        climbed = len([shape for shape in images_of(path) if shape != (256, 256)])
        assert climbed > 0
        assert measured(path, 1.0).status == "ok"
        assert len([shape for shape in images_of(path) if shape != (256, 256)]) == climbed

    def test_a_cost_that_flatters_does_not_hide_slowness(self, tmp_path: Path) -> None:
        path = plant(tmp_path, slow("1.0", 0.02))
        record = measured(path, 0.01)
        assert record.status == "timeout"
        assert "a run takes 0.0" in (record.reason or "")
        assert len(images_of(path)) == 2
        assert record.phase_seconds == {}
