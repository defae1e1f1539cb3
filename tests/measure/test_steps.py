"""A step of training is measured as any problem: three results verified, timed as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convcross.machine.floor import least_bytes
from convcross.measure.accuracy import check as checking
from convcross.measure.accuracy import step_truth
from convcross.measure.accuracy.reference import by_scipy
from convcross.measure.duel import measure
from convcross.results.schema import Record
from convcross.sweeps import data
from convcross.sweeps.contenders import Contender
from convkernels import Problem
from convkernels.discovery import find, load_path
from support.duels import short
from support.planted import forgotten

STEP = Problem(
    (12, 11),
    (3, 4),
    batch=2,
    in_channels=2,
    out_channels=4,
    groups=2,
    op="correlation",
    mode="same",
    direction="step",
)
IMAGE = Problem((9, 8), (3, 3), mode="valid", direction="step")
SOURCE = """
from convkernels import algorithm
from convkernels.discovery import find

ABOUT = dict(family="direct", namespaces=["numpy"], arithmetic="ieee", source="a test",
             directions=("step",))


class Step:
    native = ("step",)

    @staticmethod
    def refuses(problem, namespace, device):
        return None

    def plan(self, problem, xp, device):
        self.passes = [find("direct").prepare(one, "numpy", device) for one in problem.passes]

    def run(self, a):
        x, gy = a
        results = []
        for instance, (first, second) in zip(self.passes, ((x, self.b), (gy, self.b), (gy, x))):
            instance.load(second)
            results.append(instance.run(first))
        return tuple(results)


@algorithm(name="apart", **ABOUT)
class Apart(Step):
    pass


@algorithm(name="turned", **ABOUT)
class Turned(Step):
    def run(self, a):
        y, gx, gw = super().run(a)
        return y, gx, gw[..., ::-1, ::-1].copy()


@algorithm(name="two", **ABOUT)
class Two(Step):
    def run(self, a):
        return super().run(a)[:2]


@algorithm(name="wide", **ABOUT)
class Wide(Step):
    def run(self, a):
        y, gx, gw = super().run(a)
        return y, gx.astype("float64"), gw


@algorithm(name="kept", **ABOUT)
class Kept(Step):
    own = None

    def run(self, a):
        y, gx, gw = super().run(a)
        self.own = gx.copy() if self.own is None else self.own
        return y, self.own.copy(), gw


@algorithm(name="spoils", **ABOUT)
class Spoils(Step):
    def run(self, a):
        found = super().run(a)
        a[1][...] *= 1.5
        return found
"""
FAILURES = {
    "turned": ("wrong", "gw: relative L2 error"),
    "two": ("wrong", "expected a tuple of y, gx, gw"),
    "wide": ("wrong", "dtype float64; expected float32"),
    "kept": ("wrong", "after timing: gx: relative L2 error"),
    "spoils": ("wrong", "after timing: it modified its input gradient"),
}


@pytest.fixture
def planted(tmp_path: Path) -> str:
    path = tmp_path / "steps.py"
    path.write_text(SOURCE)
    return str(path)


def measured(
    problem: Problem, *contenders: str, path: str | None = None, seeds: int = 1
) -> list[Record]:
    with forgotten():
        paths = [path] if path else []
        asked = short(problem, *contenders, algorithm_paths=paths, error_seeds=seeds, profiled=True)
        return measure(asked).records


@pytest.mark.parametrize("problem", [STEP, IMAGE], ids=["layer", "image"])
def test_a_step_has_the_record_of_any_problem(problem: Problem, planted: str) -> None:
    [row] = measured(problem, "apart/numpy@cpu", path=planted, seeds=2)
    assert (row.status, row.reason) == ("ok", None)
    assert row.problem.direction == "step"
    assert row.error is not None
    assert 0 < row.error.rel_l2 < 1e-6
    assert len(row.error_seeds) == 2
    assert {"plan", "load", "run", "fresh"} <= set(row.phase_seconds)
    assert row.provenance.reference is not None
    assert row.provenance.reference.worst < 1e-13
    assert Record.model_validate_json(row.model_dump_json()).problem == problem


@pytest.mark.parametrize("name", FAILURES)
def test_each_result_is_verified(name: str, planted: str) -> None:
    [row] = measured(STEP, f"{name}/numpy@cpu", path=planted)
    status, words = FAILURES[name]
    assert row.status == status
    assert words in (row.reason or "")


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_torch_takes_it(dtype: str) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    problem = Problem.from_json({**STEP.to_json(), "dtype": dtype})
    names = ("fft-gemm", "torch-conv2d", "torch-conv2d-channels-last")
    for row in measured(problem, *(f"{name}/torch@cpu" for name in names)):
        assert (row.status, row.reason) == ("ok", None), row.algorithm
    shared = measured(problem, "fft-gemm/torch@cpu")[0].provenance.model_dump()
    assert shared["kept_bytes"] > 0


def test_who_has_no_step_refuses_it() -> None:
    rows = measured(STEP, "direct/numpy@cpu", "fft/numpy@cpu")
    assert [(row.status, row.reason) for row in rows] == [("unsupported", "no direction step")] * 2
    with pytest.raises(ValueError, match=r"direction is 'step'; allowed: forward"):
        find("fft").cost(STEP)


def test_it_costs_what_its_passes_do() -> None:
    whole, parts = STEP, STEP.passes
    assert [one.direction for one in parts] == ["forward", "grad_input", "grad_weight"]
    assert whole.flops == sum(one.flops for one in parts)
    assert whole.terms == max(one.terms for one in parts)
    read, written = least_bytes(whole)
    assert read + written == whole.min_bytes == 2 * parts[0].min_bytes


def test_the_truth_is_that_of_its_passes() -> None:
    x, w = step_truth.rounded(STEP, *data.operands(STEP, ("normal", "normal"), 0))
    known = step_truth.truth(STEP, x, w, 0)
    results = tuple(by_scipy(*part) for part in step_truth.parts(STEP, x, w))
    assert [one.shape for one in results] == [STEP.y_shape, STEP.x_shape, STEP.w_shape]
    assert known.verify(results, 1e-14) is None
    for place, name in enumerate(step_truth.RESULTS):
        off = [one.copy() for one in results]
        off[place] += 1e-3
        assert (known.verify(tuple(off), 1e-6) or "").startswith(f"{name}: ")
    assert np.array_equal(known.x[1], x[1])


def test_check_tries_steps(planted: str) -> None:
    with forgotten():
        load_path(planted)
        names = [Contender("apart/numpy@cpu"), Contender("turned/numpy@cpu")]
        right, wrong = checking.check(names, problems=10)
    assert (right.problems, right.failures) == (10, 0)
    assert wrong.failures > 0
    assert "gw: " in (wrong.first_failure or "")


def test_a_step_of_torch_agrees_with_float64_on_random_problems() -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    names = ("fft-gemm", "torch-conv2d", "torch-conv2d-channels-last")
    chosen = [Contender(f"{name}/torch@cpu") for name in names]
    for finding in checking.check(chosen, problems=25, directions=["step"]):
        assert (finding.problems, finding.failures) == (25, 0), finding
