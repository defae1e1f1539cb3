"""A gradient is measured as any problem: its own operands, reference, bound, FLOP and floor."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convcross.measure.accuracy import truth as accuracy
from convcross.measure.accuracy.reference import by_scipy
from convcross.measure.duel import measure
from convcross.results.schema import Record
from convcross.sweeps import data
from convcross.sweeps.spec import Limits
from convkernels import Problem
from support.duels import short
from support.planted import forgotten
from support.problems import FIXED, case

LAYER = Problem((12, 11), (3, 4), batch=2, in_channels=2, out_channels=4, groups=2, mode="same")
WRONG = """
import dataclasses
from convkernels import algorithm
from convkernels.algorithms.direct.direct import Direct

@algorithm(name="turned", family="direct", namespaces=["numpy"], arithmetic="ieee", source="test",
           directions=("grad_weight",))
class Turned(Direct):
    native = ("grad_weight",)
    apart = {}

    @staticmethod
    def refuses(problem, namespace, device):
        return None

    def plan(self, problem, xp, device):
        self.inner = Direct.apart["grad_weight"]()
        self.inner.plan(problem, xp, device)

    def load(self, b):
        self.inner.load(b)

    def run(self, a):
        return self.inner.run(a)[..., ::-1, ::-1].copy()
"""


@pytest.fixture(autouse=True)
def registry_as_it_was() -> Iterator[None]:
    with forgotten():
        yield


def measured(problem: Problem, *contenders: str, paths: tuple[str, ...] = ()) -> list[Record]:
    return measure(short(problem, *contenders, algorithm_paths=list(paths))).records


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("direction", ["grad_input", "grad_weight"])
def test_records_carry_it_verified(direction: str, dtype: str) -> None:
    problem = dataclasses.replace(LAYER, direction=direction, dtype=dtype)
    names = ("direct/numpy@cpu", "fft/numpy@cpu", "im2col-gemm/numpy@cpu", "kn2row/numpy@cpu")
    rows = measured(problem, *names)
    for row in rows[:3]:
        assert (row.status, row.reason) == ("ok", None), row.algorithm
        assert row.problem.direction == direction
        assert row.error is not None
        assert 0 < row.error.rel_l2 < (1e-6 if dtype == "float32" else 1e-14)
        assert row.provenance.reference is not None
        assert row.provenance.reference.worst < 1e-13
        assert row.median_s is not None
    taken = {"grad_input": "ok", "grad_weight": "unsupported"}
    assert rows[3].status == taken[direction]
    if direction == "grad_weight":
        assert rows[3].reason == "no direction grad_weight"


def test_what_is_turned_is_wrong(tmp_path: Path) -> None:
    """A filters' gradient that is that of the other op."""
    path = tmp_path / "turned.py"
    path.write_text(WRONG)
    problem = dataclasses.replace(LAYER, direction="grad_weight")
    [row] = measured(problem, "turned/numpy@cpu", paths=(str(path),))
    assert row.status == "wrong"
    assert "relative L2 error" in (row.reason or "")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("direction", ["grad_input", "grad_weight"])
def test_the_reference_is_the_definition(direction: str, dtype: str) -> None:
    """Certified, for every fixed problem; and errors at a sample are those at its places."""
    for problem in FIXED.values():
        problem = dataclasses.replace(problem, direction=direction, dtype=dtype)
        given = case(problem)
        a, b = (np.asarray(values, float) for values in (given.x, given.w))
        known = accuracy.truth(problem, a, b, 0)
        expected = by_scipy(problem, a, b)
        assert known.y.shape == problem.shapes[2]
        assert np.abs(known.y - expected).max() <= 1e-12 * known.norm, problem
        assert known.certificate["worst"] <= accuracy.CERTIFIED * known.bound
        if known.sample is not None:
            there = np.ravel(expected)[known.sample.index]
            assert np.abs(known.sample.high - there).max() <= 1e-12 * known.norm, problem
        off = expected.copy()
        off.flat[0] += 0.1 * known.norm
        assert accuracy.verify(off, 1e-6, known) is not None
        assert accuracy.verify(expected, 0.0, known) is None


def test_operands_are_of_streams_of_their_own() -> None:
    problem = Problem((8, 8), (3, 3), mode="same", direction="grad_weight")
    gy, x = data.operands(problem, ("normal", "normal"), 0)
    assert gy.shape == x.shape
    assert not np.array_equal(gy, x)
    forward = dataclasses.replace(problem, direction="forward")
    assert np.array_equal(data.operands(forward, ("normal", "box"), 0)[0], x)
    _, w = data.operands(dataclasses.replace(problem, direction="grad_input"), ("normal", "box"), 0)
    assert np.array_equal(w, np.full((3, 3), 1 / 9))


def test_a_large_gradient_is_climbed_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Smaller problems of the same direction are tried first, of corners of its operands."""
    from convcross.measure import prepare

    seen: list[tuple[Any, ...]] = []
    corner = prepare._corner

    def watched(array: Any, shape: tuple[int, ...]) -> Any:
        seen.append(shape)
        return corner(array, shape)

    monkeypatch.setattr(prepare, "_corner", watched)
    monkeypatch.setattr(prepare, "_slowest", {})
    monkeypatch.setattr(prepare, "_refused", {})
    problem = Problem((96, 96), (9, 9), batch=4, mode="same", direction="grad_weight")
    limits = Limits(seconds=0.001, samples=12, run_seconds=1e-4)
    measure(short(problem, "direct/numpy@cpu", limits=limits))
    assert seen
    assert all(math.prod(shape) < math.prod(problem.x_shape) for shape in seen[:2])
