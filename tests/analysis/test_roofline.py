"""The roof over a contender, and where its points lie under it."""

from pathlib import Path

import numpy as np
import pytest

from convcross.analysis import roofline
from convcross.analysis.load import load
from convkernels import Problem
from support import synthetic

LADDER = [[2**14, 8e10], [2**18, 8e10], [2**20, 7e10], [2**24, 2e10], [2**28, 1.5e10]]
CEILINGS = {"flops": {"float32": 2e11, "float64": 1e11}, "bytes": LADDER}


def test_levels_are_main_memory_and_each_clearly_faster_cache() -> None:
    assert roofline.levels(LADDER[::-1]) == [(None, 1.5e10), (2**20, 7e10)]
    assert roofline.levels([[2**28, 1e10]]) == [(None, 1e10)]


def test_the_roof_of_a_dtype() -> None:
    found = roofline.over(CEILINGS, "cpu", "float64", "warm")
    assert found is not None
    assert found.flops == 1e11
    half = roofline.over(CEILINGS, "cpu", "float16", "warm")  # its arithmetic is float32
    assert half is not None
    assert half.flops == 2e11
    assert len(half.memory) == 2


def test_flushed_operands_come_from_main_memory() -> None:
    found = roofline.over(CEILINGS, "cpu", "float32", "flushed")
    assert found is not None
    assert found.memory == [(None, 1.5e10)]


@pytest.mark.parametrize(
    ("ceilings", "device"),
    [
        (None, "cpu"),
        ({**CEILINGS, "device": "cuda:0"}, "cpu"),
        ({"flops": {}, "bytes": LADDER}, "cpu"),
        ({"flops": CEILINGS["flops"]}, "cpu"),
    ],
)
def test_no_roof_without_its_ceilings(ceilings: dict[str, object] | None, device: str) -> None:
    assert roofline.over(ceilings, device, "float32", "warm") is None


def test_points_take_what_the_algorithm_declares(tmp_path: Path) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    duels = synthetic.duels(contenders, sizes=[64], kernels=[3, 31])
    for duel in duels:
        duel[1].declared_flops, duel[1].declared_bytes = 1e6, 2e5
    contenders["of-before/numpy"] = synthetic.direct()  # an earlier version recorded none
    for duel, more in zip(
        duels, synthetic.duels(contenders, sizes=[64], kernels=[3, 31]), strict=True
    ):
        duel.append(more[-1].model_copy(update={"declared_flops": None, "declared_bytes": None}))
    points = roofline.points(load([synthetic.write(tmp_path / "a.jsonl", duels)]).grid)
    assert sorted(set(points["contender"])) == ["direct/numpy", "fft/numpy"]
    assert len(points) == 4
    for row in points.itertuples():
        problem = Problem((64, 64), (row.n, row.n), mode="same")
        flops, moved = float(problem.flops), float(problem.min_bytes)
        if row.contender == "fft/numpy":
            flops, moved = 1e6, 2e5
        np.testing.assert_allclose(row.intensity, flops / moved)
        np.testing.assert_allclose(row.rate, flops / row.seconds)
