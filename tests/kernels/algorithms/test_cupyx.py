"""CuPy's copies of SciPy's convolutions, without a GPU: SciPy in their place, held to their rules.

``cupyx.scipy.signal`` has SciPy's arguments and conventions, so that SciPy's functions stand for it
here: what is tested is what is called, with what, and that ``plan`` has called it before.
"""

from __future__ import annotations

import random
import sys
from types import ModuleType
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
from scipy.special import lambertw

from convkernels import Problem
from convkernels.algorithms.libraries import cupyx_oaconvolve
from convkernels.discovery import find
from support.problems import FIXED, case, random_problem
from support.reference import relative_error

SIGNAL = ("cupyx-convolve2d", "cupyx-fftconvolve", "cupyx-oaconvolve")
NAMES = (*SIGNAL, "cupyx-ndimage-convolve")


class Spied(ModuleType):
    """A module of SciPy's under another name, that notes which function is called."""

    def __init__(self, name: str, real: ModuleType) -> None:
        super().__init__(name)
        self.real, self.calls = real, []  # type: ignore[var-annotated]

    def __getattr__(self, name: str) -> Any:
        function = getattr(self.real, name)

        def spy(*arguments: Any, **options: Any) -> Any:
            self.calls.append((name, options))
            return function(*arguments, **options)

        return spy


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> dict[str, Spied]:
    found = {
        "signal": Spied("cupyx.scipy.signal", scipy.signal),
        "ndimage": Spied("cupyx.scipy.ndimage", scipy.ndimage),
    }
    package, parent = ModuleType("cupyx"), ModuleType("cupyx.scipy")
    package.scipy = parent  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupyx", package)
    monkeypatch.setitem(sys.modules, "cupyx.scipy", parent)
    for name, module in found.items():
        setattr(parent, name, module)
        monkeypatch.setitem(sys.modules, f"cupyx.scipy.{name}", module)
    return found


def calls(modules: dict[str, Spied]) -> list[tuple[str, dict[str, Any]]]:
    return [call for module in modules.values() for call in module.calls]


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_scipy_and_calls_it_before(name: str, modules: dict[str, Spied]) -> None:
    algorithm, taken = find(name), 0
    problems = [*FIXED.values(), *(random_problem(random.Random(index)) for index in range(300))]
    for index, problem in enumerate(problems):
        if algorithm.refuses(problem, "cupy", "cuda:0") is not None:
            continue
        case_ = case(problem, index)
        instance = algorithm.implementation()
        instance.plan(problem, xp, "cuda:0")
        (before,) = calls(modules)
        instance.load(case_.w)
        y = instance.run(case_.x)
        # The call that plan made, and no other, for each pair of planes.
        assert calls(modules) == [before] * len(calls(modules))
        for module in modules.values():
            module.calls.clear()
        error = relative_error(y, case_.expected, case_.x, case_.w)
        assert y.shape == problem.y_shape
        assert error <= instance.error_bound(problem), problem
        taken += 1
    assert taken > 60


@pytest.mark.parametrize(
    ("name", "op", "called"),
    [
        ("cupyx-convolve2d", "convolution", "convolve2d"),
        ("cupyx-convolve2d", "correlation", "correlate2d"),
        ("cupyx-fftconvolve", "convolution", "fftconvolve"),
        ("cupyx-oaconvolve", "correlation", "oaconvolve"),
        ("cupyx-ndimage-convolve", "convolution", "convolve"),
        ("cupyx-ndimage-convolve", "correlation", "correlate"),
    ],
)
def test_the_label_is_what_is_called(
    name: str, op: str, called: str, modules: dict[str, Spied]
) -> None:
    instance = find(name).implementation()
    instance.plan(Problem((40, 41), (4, 3), op=op, mode="same"), xp, "cuda:0")
    assert [function for function, _ in calls(modules)] == [called]


@pytest.mark.parametrize(
    ("name", "scipys"),
    [
        ("cupyx-convolve2d", "scipy-convolve2d"),
        ("cupyx-fftconvolve", "scipy-fftconvolve"),
        ("cupyx-oaconvolve", "scipy-oaconvolve"),
        ("cupyx-ndimage-convolve", "scipy-ndimage"),
    ],
)
def test_refuses_what_scipys_refuses(name: str, scipys: str) -> None:
    for index in range(400):
        problem = random_problem(random.Random(index))
        ours = find(name).refuses(problem, "cupy", "cuda:0")
        if problem.dtype != "bfloat16":
            theirs = find(scipys).refuses(problem, "numpy", "cpu")
            assert (ours is None) == (theirs is None), problem
    assert find(name).family == find(scipys).family


def test_the_best_block_is_lamberts() -> None:
    """The closed form that four of Halley's steps approach, as SciPy has it."""
    for overlap in range(1, 300):
        w = lambertw(-1 / (2 * np.e * overlap), k=-1).real
        assert cupyx_oaconvolve._best(overlap) == int(np.ceil(-overlap * w))


def test_blocks_are_whole_where_they_would_be_one() -> None:
    assert cupyx_oaconvolve.blocks(40, 21) == (60, 1)
    assert cupyx_oaconvolve.blocks(40, 1) == (40, 1)
    length, number = cupyx_oaconvolve.blocks(2000, 9)
    assert (length - 8) * number >= 2000 + 9 - 1 > (length - 8) * (number - 1)
