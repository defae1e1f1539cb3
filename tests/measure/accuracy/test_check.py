"""``check``: what is sound passes, what is planted is found, and no contender stops the others."""

from __future__ import annotations

import json
import math
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


SEPARABLE = """
import numpy as np
from scipy import signal
from convkernels import Problem, UnsupportedProblem, algorithm

@algorithm(name="rows", family="separable", namespaces=["numpy"], arithmetic="ieee", source="here")
class Rows:
    @staticmethod
    def refuses(problem, namespace, device):
        plain = Problem(problem.image, problem.kernel, op=problem.op, dtype=problem.dtype)
        return None if problem == plain and "float16" not in problem.dtype else "full, please"

    def load(self, b):
        u, s, v = np.linalg.svd(b.astype(float), full_matrices=False)
        if (s[1:] > 1e-6 * s[0]).any():
            raise UnsupportedProblem("the kernel has full rank")
        self.column, self.row = s[0] * u[:, :1], v[:1]
        if self.problem.op == "correlation" and {flips}:
            self.column, self.row = self.column[::-1], self.row[:, ::-1]

    def run(self, a):
        y = signal.convolve2d(signal.convolve2d(a.astype(float), self.column), self.row)
        return y.astype(a.dtype)
"""

TILED = """
from scipy import signal
from convkernels import Problem, algorithm

@algorithm(name="tiled", family="direct", namespaces=["numpy"], arithmetic="ieee", source="here")
class Tiled:
    @staticmethod
    def refuses(problem, namespace, device):
        plain = Problem(problem.image, problem.kernel, dtype=problem.dtype)
        return None if problem == plain and "float16" not in problem.dtype else "full, please"

    def run(self, a):
        y = signal.convolve2d(a, self.b)
        if y.shape[1] > 64:
            y[:, 64] = y[:, 63]
        return y
"""


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


@pytest.mark.parametrize("flips", [True, False])
def test_a_separable_one_is_given_kernels_of_rank_1(tmp_path: Path, flips: bool) -> None:
    (tmp_path / "rows.py").write_text(SEPARABLE.replace("{flips}", str(flips)))
    load_path(tmp_path / "rows.py")
    (finding,) = checking.check(contenders("rows/numpy"), problems=20)
    assert finding.problems == 20
    assert bool(finding.failures) != flips  # they are not symmetric: a missing flip is found


@pytest.mark.parametrize(
    "kinds", [{"image_data": data.IMAGES[1:]}, {"kernel_data": data.KERNELS[1:]}]
)
def test_kinds_of_data(kinds: dict[str, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: set[str] = set()
    for name in ("image", "kernel"):
        make = getattr(data, name)
        monkeypatch.setattr(
            data, name, lambda kind, *rest, make=make: drawn.add(kind) or make(kind, *rest)
        )
    named = contenders("direct/numpy", "fft/numpy", "im2col-gemm/numpy", "scipy-convolve2d/numpy")
    for finding in checking.check(named, problems=12, **kinds):
        assert (finding.problems, finding.failures) == (12, 0), finding
    assert drawn == {"normal", *next(iter(kinds.values()))}


def test_a_fifth_of_the_problems_lies_at_tiles() -> None:
    random = data.generator(0, "check")
    found = [checking.random_problem(random) for _ in range(2000)]
    large = [problem for problem in found if max(problem.image) > 24]
    assert 0.15 < len(large) / len(found) < 0.25
    sides = {side for problem in large for side in problem.image}
    assert max(sides) <= checking.LONGEST
    near = {
        place: {side for side in sides if any((side - place) % tile == 0 for tile in (64, 256))}
        for place in (-1, 0, 1)
    }
    assert all(near.values())
    for side in sides:
        assert any((side + 1) % tile <= 2 for tile in checking.TILES), side
    kernels = {side for problem in large for side in problem.kernel}
    assert checking.WIDEST - 3 < max(kernels) <= checking.WIDEST
    for problem in found:
        assert math.prod(problem.image) * math.prod(problem.extent) <= checking.PRODUCTS


def test_a_tenth_of_the_kernels_is_of_usual_sizes() -> None:
    """Else one who takes these alone would be tried on too few."""
    random = data.generator(0, "check")
    kernels = [checking.random_problem(random).kernel for _ in range(2000)]
    for side in checking.USUAL:
        assert 0.04 < kernels.count((side, side)) / len(kernels) < 0.12


def test_an_error_at_the_border_of_a_tile_is_found(tmp_path: Path) -> None:
    """One that no image of at most 24 pixels shows."""
    (tmp_path / "tiled.py").write_text(TILED)
    load_path(tmp_path / "tiled.py")
    (finding,) = checking.check(contenders("tiled/numpy"), problems=60)
    assert finding.failures > 3


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
