"""``check``: what is sound passes, what is planted is found, and no contender stops the others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from convcross.measure.accuracy import check as checking
from convcross.sweeps import data
from convcross.sweeps.contenders import Contender, available
from convkernels.discovery import load_path
from support.planted import FAILURES, forgotten, plant

# Wrong only when it is run again, or past what a small problem needs: check runs each once.
ONCE = ("planted-kept", "planted-copied", "planted-in-place", "planted-accumulates")
SOUND_HERE = (*ONCE, "planted-later", "planted-reload", "planted-hungry", "planted-pixel")
SOUND_HERE += ("planted-cost", "planted-workspace", "planted-provenance", "planted-provenance-nan")


@pytest.fixture(autouse=True)
def registry_as_it_was() -> Iterator[None]:
    with forgotten():
        yield


def contenders(*names: str) -> list[Contender]:
    return [Contender(f"{name}@cpu") for name in names]


def test_every_contender_here_passes_a_few() -> None:
    found = checking.check(available(["cpu"]), problems=8)
    for finding in found:
        assert (finding.problems, finding.failures) == (8, 0), finding
        assert 0 < finding.worst_error <= 1.5 * finding.bound
        assert finding.first_failure is None


def test_what_is_planted_is_found(tmp_path: Path) -> None:
    load_path(plant(tmp_path))
    names = [name for name in FAILURES if name not in SOUND_HERE]
    told: list[str] = []
    findings = checking.check(
        contenders("planted-right/numpy", *(f"{name}/numpy" for name in names), "direct/numpy"),
        problems=4,
        progress=told.append,
    )
    assert told == [finding.contender for finding in findings]
    assert json.loads(json.dumps([one.to_json() for one in findings], allow_nan=False))
    by_name = {finding.contender.partition("/")[0]: finding for finding in findings}
    assert by_name["direct"].failures == 0
    for name in names:
        finding = by_name[name]
        if FAILURES[name][0] == "unsupported":  # a refusal is no failure, and no problem tried
            assert (finding.problems, finding.failures) == (0, 0), name
            assert finding.to_json()["bound"] is None
        else:
            assert finding.failures > 0, name
            assert finding.first_failure
            assert finding.first_failure.startswith("Problem(")


def test_it_is_seeded() -> None:
    one, two = (checking.check(contenders("fft/numpy"), problems=5)[0] for _ in range(2))
    assert one == two
    assert checking.check(contenders("fft/numpy"), problems=5, seed=1)[0] != one


def test_random_problems_are_of_every_kind() -> None:
    random = data.generator(0, "check")
    found = [checking.random_problem(random) for _ in range(500)]
    assert len(set(found)) > 490
    for field, values in (
        ("op", {"convolution", "correlation"}),
        ("mode", {"full", "same", "valid", None}),
        ("boundary", {"zero", "circular"}),
        ("dtype", {"float64", "float32", "float16", "bfloat16"}),
        ("groups", {1, 2, 3}),
        ("is_image", {True, False}),
    ):
        assert {getattr(problem, field) for problem in found} == values
    kernels = np.array([problem.kernel for problem in found])
    assert (kernels % 2 == 0).any()
    assert (kernels[:, 0] != kernels[:, 1]).any()
    assert any(problem.stride != (1, 1) for problem in found)
    assert any(problem.dilation != (1, 1) for problem in found)
    assert any(problem.kernel > problem.image for problem in found)
