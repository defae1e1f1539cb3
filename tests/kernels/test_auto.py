"""What auto picks, and for how many calls; that it never compiles for one."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

from convcross.measure.accuracy.reference import by_scipy
from convkernels import (
    Cost,
    Problem,
    UnsupportedProblem,
    algorithm,
    cache,
    calibration,
    compiling,
    convolve,
    namespaces,
    plans,
    registry,
    selection,
)
from convkernels.algorithms.direct import _micro_kernel
from convkernels.cpu import drivers, objects
from convkernels.discovery import algorithms, find
from convkernels.problem import DIRECTIONS
from convkernels.selection import NOMINAL, _arithmetic, preferred, room
from convkernels.toolbox import threads
from support.calibrations import made
from support.problems import problems
from support.reference import relative_error

NAMESPACES = [name for name in ("numpy", "torch") if namespaces.missing(name) is None]
X, W = np.ones((8, 8)), np.ones((3, 3))
PROBLEM = Problem((8, 8), (3, 3), dtype="float64")


def normal(*shape: int, dtype: str = "float64") -> Any:
    return np.random.default_rng(shape).standard_normal(shape).astype(dtype)


def first(problem: Problem, namespace: str) -> registry.Algorithm:
    """What is preferred to all others, compiled or not."""
    return preferred(problem, namespace, "cpu")[0]


def picked(problem: Problem = PROBLEM, calls: int = 1) -> str:
    """The name of what ``auto`` takes on NumPy."""
    plan = plans.take_best(problem, "numpy", "cpu", calls=calls)
    plans.put_back(plan)
    return plan.algorithm.name


def plant(
    name: str,
    reason: str | None,
    namespaces: tuple[str, ...] = ("numpy",),
    family: str = "direct",
    arithmetic: str = "ieee",
    settled: bool = True,
) -> None:
    """The cheapest algorithm of all, by its own account."""
    final = settled

    @algorithm(
        name=name, family=family, namespaces=namespaces, arithmetic=arithmetic, source="this test"
    )
    class Planted:
        settled = final

        @staticmethod
        def refuses(problem: Problem, namespace: str, device: str) -> str | None:
            return reason

        @staticmethod
        def cost(problem: Problem) -> Cost:
            return Cost(0.0, 0.0)

        def run(self, a: Any) -> Any:
            raise AssertionError(f"{name} was picked")


@pytest.mark.usefixtures("clean_registry")
@given(problems)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_auto_never_picks_one_that_refuses(problem: Problem) -> None:
    plant("refusing", "it always refuses")
    plant("elsewhere", None, namespaces=("cupy",))
    plant("rank 1", None, family="separable")
    plant("rounded", None, arithmetic="tf32")
    plant("asks its library", None, settled=False)
    for namespace in NAMESPACES:
        if namespace == "numpy" and problem.dtype == "bfloat16":
            continue
        chosen = first(problem, namespace)
        assert chosen.name not in ("refusing", "elsewhere", "rank 1", "rounded", "asks its library")
        assert namespace in chosen.namespaces
        assert chosen.missing(namespace) is None
        assert chosen.refuses(problem, namespace, "cpu") is None


@given(problems)
@settings(max_examples=40)
def test_auto_is_right(problem: Problem) -> None:
    assume(problem.dtype in ("float32", "float64"))
    x, w = normal(*problem.x_shape, dtype=problem.dtype), normal(*problem.w_shape)
    w = w.astype(problem.dtype)
    keys = ("op", "padding", "stride", "dilation", "groups", "boundary")
    options = {key: getattr(problem, key) for key in keys}
    y = convolve(x, w, mode=problem.mode, **options)
    expected = by_scipy(problem, x, w)
    limit = 1e-12 if problem.dtype == "float64" else 1e-4
    assert relative_error(y.reshape(expected.shape), expected, x, w) < limit


@pytest.mark.usefixtures("clean_registry")
def test_auto_picks_the_cheapest_that_takes_it() -> None:
    problem = Problem((8, 8), (3, 3), dtype="float64")
    plant("cheapest", None)
    assert first(problem, "numpy").name == "cheapest"
    with pytest.raises(AssertionError, match="cheapest was picked"):
        convolve(X, W)
    if "torch" in NAMESPACES:
        assert first(problem, "torch").name != "cheapest"


def test_auto_turns_to_fourier_when_the_kernel_is_large() -> None:
    def family(kernel: int, namespace: str) -> str:
        problem = Problem((512, 512), (kernel, kernel), mode="same")
        return first(problem, namespace).family

    for namespace in NAMESPACES:
        assert family(129, namespace) == "fft"
        assert family(2, namespace) != "fft"


@pytest.mark.parametrize(
    ("x", "w"),
    [
        ((1, 64, 128, 128), (64, 64, 31, 31)),  # whole-image spectra: 978 MiB, 22 by torch
        ((8, 512, 14, 14), (512, 512, 3, 3)),  # 262,144 spectra of filters for one call
        ((1, 1, 1024, 1024), (1, 1, 15, 15)),  # patches: 900 MB
        ((1, 1, 4096, 4096), (1, 1, 31, 31)),
    ],
)
@pytest.mark.parametrize("namespace", NAMESPACES)
def test_auto_takes_what_fits_beside_the_operands(
    namespace: str, x: tuple[int, ...], w: tuple[int, ...]
) -> None:
    channels = {"batch": x[0], "in_channels": x[1], "out_channels": w[0]}
    problem = Problem(x[2:], w[2:], mode="same", **channels)
    cost = first(problem, namespace).implementation.cost(problem)
    assert cost.workspace <= room(problem)


def test_auto_counts_what_one_call_plans_and_loads(torch: Any) -> None:
    problem = Problem((14, 14), (3, 3), batch=8, in_channels=512, out_channels=512, mode="same")
    assert first(problem, "torch").name == "torch-conv2d"
    single = Problem((64, 64), (3, 3), mode="same")
    assert first(single, "torch").name != "torch-compile"


def test_passes_that_follow_one_another_add() -> None:
    cost = Cost(8e9, 1e8, once_flops=3e9, once_bytes=4e8)
    serial = dataclasses.replace(cost, serial=True)
    assert NOMINAL * sum(_arithmetic(cost, False)) == pytest.approx(8e9 + 4e9)
    assert NOMINAL * sum(_arithmetic(serial, False)) == pytest.approx(8e9 + 1e9 + 3e9 + 4e9)


@pytest.mark.parametrize("fill", [0.0, np.nan, np.inf, 1e300])
def test_auto_does_not_look_at_values(fill: float, monkeypatch: pytest.MonkeyPatch) -> None:
    picked: list[str] = []
    prepare = registry.Algorithm.prepare

    def spy(self: registry.Algorithm, *arguments: Any) -> Any:
        picked.append(self.name)
        return prepare(self, *arguments)

    monkeypatch.setattr(registry.Algorithm, "prepare", spy)
    with np.errstate(all="ignore"):
        convolve(normal(30, 30), normal(5, 5))
        plans.clear()
        convolve(np.full((30, 30), fill), np.full((5, 5), fill))
    assert picked[0] == picked[1]


@pytest.mark.usefixtures("clean_registry")
def test_auto_with_nothing_left_gives_every_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithms()
    registry.registered.clear()
    plant("one", "too blue")
    plant("two", "too green")
    plant("three", None, namespaces=("torch",))
    with pytest.raises(UnsupportedProblem, match="on numpy takes it: one: too blue; two: too gree"):
        convolve(X, W)


# ---- how many calls, and what is compiled --------------------------------------------------------


class Uncompiled:
    """The cheapest of all by its own account; its plan compiles, unless that was done before."""

    done = False

    @staticmethod
    def cost(problem: Problem) -> Cost:
        return Cost(0.0, 0.0)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        if not type(self).done:
            compiling.begin("its kernel")

    def run(self, a: Any) -> Any:
        return a


def register(**attributes: Any) -> None:
    algorithm(
        name="uncompiled", family="direct", namespaces="numpy", arithmetic="ieee", source="a test"
    )(type("Planted", (Uncompiled,), attributes))


@pytest.mark.usefixtures("clean_registry")
def test_one_call_passes_over_what_must_be_compiled() -> None:
    register()
    assert first(PROBLEM, "numpy").name == "uncompiled"
    assert picked() != "uncompiled"
    assert picked(calls=2) == "uncompiled"
    plans.clear()
    register(done=True)
    assert picked() == "uncompiled"


@pytest.mark.usefixtures("clean_registry")
def test_one_call_passes_over_what_may_have_to_compile() -> None:
    """Nobody can look up whether torch.compile must."""
    register(compiles=True, done=True)
    assert picked() != "uncompiled"
    assert picked(calls=2) == "uncompiled"
    assert find("torch-compile").implementation.compiles
    assert find("triton-direct").implementation.compiles


@pytest.mark.usefixtures("clean_registry")
def test_with_nothing_compiled_it_says_what_is_left() -> None:
    algorithms()
    registry.registered.clear()
    register()
    with pytest.raises(
        UnsupportedProblem,
        match=r"on numpy is compiled for it: uncompiled: its kernel is not compiled.* calls of 2",
    ):
        convolve(X, W)
    assert convolve(X, W, mode="same", calls=2) is not X


def test_a_name_may_always_compile() -> None:
    with compiling.kept_alone(), pytest.raises(compiling.NotCompiled, match="its kernel"):
        compiling.begin("its kernel")
    compiling.begin("its kernel")


@pytest.fixture
def nothing_compiled(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """As on a machine on which nothing was compiled yet; the folder where it will be."""
    if reason := find("numba-direct").missing("numpy"):
        pytest.skip(reason)
    monkeypatch.setenv(cache.FOLDER, str(tmp_path))
    monkeypatch.setattr(objects, "_loaded", {})
    for kept in (drivers.driver, _micro_kernel.block_kernel):
        kept.cache_clear()
    calibration.write(made({"numba-direct/numpy": (0.0, 0.0, 1e-9), "fft/numpy": (1.0, 1.0, 1.0)}))
    return tmp_path / "kernels"


def test_one_call_compiles_nothing(nothing_compiled: Any) -> None:
    assert picked() == "fft"
    assert not nothing_compiled.exists()
    assert picked(calls=2) == "numba-direct"
    assert len(list(nothing_compiled.iterdir())) == 2  # the block and the driver
    assert picked() == "fft"  # chosen before
    plans.clear()
    assert picked() == "numba-direct"


# ---- a calibration -------------------------------------------------------------------------------


def test_auto_follows_the_calibration() -> None:
    for first, second in (("fft", "direct"), ("direct", "fft")):
        seconds = {f"{first}/numpy": (1.0, 1.0, 1.0), f"{second}/numpy": (1.0, 1.0, 1.1)}
        calibration.write(made(seconds))
        assert picked() == first
    calibration.write(made({"fft/numpy": (9.0, 0.0, 1.0), "direct/numpy": (1.0, 0.0, 2.0)}))
    assert [picked(calls=calls) for calls in (1, 7, 9)] == ["direct", "direct", "fft"]


def test_a_spare_contender_is_taken_where_no_other_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    known = made({"direct/numpy": (0.0, 0.0, 2e-3), "fft/numpy": (0.0, 0.0, 1e-3)})
    spare = dataclasses.replace(known.contenders["fft/numpy"], spare=("forward",))
    contenders = {**known.contenders, "fft/numpy": spare}
    known = dataclasses.replace(known, contenders=contenders)
    problem = Problem((64, 64), (5, 5))

    def taken() -> list[str]:
        found = selection.ranked(problem, "numpy", "cpu", calibration=known)
        assert ("fft" in found.refusals) == (len(found.taken) == 1)
        return [one.algorithm.name for one in found.taken]

    assert taken() == ["direct"]
    monkeypatch.setattr(selection, "room", lambda problem: 0.0)
    assert taken() == ["fft", "direct"]


def test_auto_chooses_for_each_pass() -> None:
    own = {"forward": (0.0, 0.0, 3e-3), "grad_weight": (0.0, 0.0, 1e-3)}
    calibration.write(made({"fft/numpy": (0.0, 0.0, 2e-3), "direct/numpy": own}))
    passes = [dataclasses.replace(PROBLEM, direction=direction) for direction in DIRECTIONS]
    assert [picked(problem) for problem in passes] == ["fft", "fft", "direct"]


def test_who_is_spare_in_one_direction_may_lead_in_another() -> None:
    known = made({"direct/numpy": (0.0, 0.0, 2e-3), "fft/numpy": (0.0, 0.0, 1e-3)})
    spare = dataclasses.replace(known.contenders["fft/numpy"], spare=("grad_input",))
    known = dataclasses.replace(known, contenders={**known.contenders, "fft/numpy": spare})
    for direction, names in (("forward", ["fft", "direct"]), ("grad_input", ["direct"])):
        problem = dataclasses.replace(PROBLEM, direction=direction)
        taken = selection.ranked(problem, "numpy", "cpu", calibration=known).taken
        assert [one.algorithm.name for one in taken] == names
        assert {one.source for one in taken} == {"calibrated"}


def test_auto_goes_by_arithmetic_where_none_holds() -> None:
    without = picked()
    calibration.write(made({"fft/numpy": (0.0, 0.0, 0.0)}))
    assert picked() == "fft" != without
    with threads.limited(threads.usable() + 1):
        assert picked() == without
    assert picked() == "fft"
    calibration.path("cpu").write_text("{")
    assert picked() == "fft"  # read once a process
    plans.clear()
    assert picked() == without


def test_a_known_shape_is_not_chosen_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Problem] = []
    ranked = selection.ranked

    def spy(problem: Problem, *arguments: Any, **options: Any) -> Any:
        asked.append(problem)
        return ranked(problem, *arguments, **options)

    monkeypatch.setattr(selection, "ranked", spy)
    for _ in range(3):
        convolve(X, W)
        convolve(X, W, mode="same")
    assert len(asked) == 2
    plans.clear()
    convolve(X, W)
    assert len(asked) == 3
