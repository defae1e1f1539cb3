"""The registry: registering, finding files, and what it says of a bad one."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convcross.sweeps.contenders import available
from convkernels import (
    Cost,
    Problem,
    UnsupportedProblem,
    algorithm,
    convolve,
    discovery,
    namespaces,
    registry,
)
from convkernels.discovery import algorithms, find, load_path
from convkernels.registry import DuplicateAlgorithm
from convkernels.toolbox.bounds import summation

pytestmark = pytest.mark.usefixtures("clean_registry")

ABOUT: dict[str, Any] = {
    "family": "direct",
    "namespaces": ("numpy",),
    "arithmetic": "ieee",
    "source": "this test",
}
FILE = """
from convkernels import algorithm

@algorithm(name="{name}", family="direct", namespaces=["numpy"], arithmetic="ieee", source="here")
def answer(x, w, problem):
    return x * {factor}
"""


def twice(x: Any, w: Any, problem: Problem) -> Any:
    return x * 2


def test_the_rooms_are_walked() -> None:
    known = algorithms()
    assert {"direct", "im2col-gemm", "fft", "torch-conv2d", "scipy-convolve2d"} <= set(known)
    assert list(known) == sorted(known)
    for name, found in known.items():
        assert found.name == name
        assert found.family in registry.FAMILIES
        assert found.source
        assert found.arithmetic
        assert Path(found.path).is_file()


def test_a_rooms_readme_has_all_of_its_contenders() -> None:
    rooms = {Path(found.path).parent for found in algorithms().values()}
    for readme in (room / "README.md" for room in sorted(rooms)):
        if readme.is_file():
            text = readme.read_text(encoding="utf-8")
            here = [n for n, a in algorithms().items() if Path(a.path).parent == readme.parent]
            assert [name for name in here if f"`{name}`" not in text] == [], readme


def test_families_of_the_peers() -> None:
    """A library that chooses by itself stands for no family."""
    families = {name: found.family for name, found in algorithms().items()}
    for name in ("torch-conv2d", "opencv-filter2d", "ipp-auto"):
        assert families[name] == "library"
    assert families["scipy-convolve2d"] == families["direct"] == "direct"
    assert families["scipy-fftconvolve"] == families["fft"] == "fft"
    # Pinned, or chosen by a rule of their source: tests of their own see which engine answers.
    for name in ("opencv-direct", "ipp-direct", "ipp-filterborder", "mkl-vsl-direct"):
        assert families[name] == "direct"
    assert families["ipp-fft"] == families["mkl-vsl-fft"] == "fft"
    assert families["opencv-sepfilter2d"] == "separable"
    assert families["im2col-gemm"] == "im2col"


def test_a_function_is_an_algorithm_with_the_defaults() -> None:
    assert algorithm(name="twice", **ABOUT)(twice) is twice
    found = find("twice")
    problem = Problem((4, 5), (1, 1), dtype="float64")
    assert found.refuses(problem, "numpy", "cpu") is None
    assert found.implementation.cost(problem) == Cost(problem.flops, problem.min_bytes)
    assert found.implementation.error_bound(problem) == summation(problem)
    x = np.arange(20.0).reshape(4, 5)
    assert np.array_equal(convolve(x, np.ones((1, 1)), algorithm="twice"), 2 * x)


def test_defaults_refuse_gradients_and_dtypes_that_the_library_lacks() -> None:
    algorithm(name="twice", **ABOUT)(twice)
    found = find("twice")
    with pytest.raises(UnsupportedProblem, match="twice on numpy: no direction grad_input"):
        found.prepare(Problem((4, 4), (2, 2), direction="grad_input"), "numpy", "cpu")
    with pytest.raises(UnsupportedProblem, match="numpy has no bfloat16"):
        found.prepare(Problem((4, 4), (2, 2), dtype="bfloat16"), "numpy", "cpu")


def test_a_gpu_is_needed_where_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    @algorithm(name="on a card", **ABOUT)
    class OnACard:
        devices = ("cuda",)

        def run(self, a: Any) -> Any:
            return a

    found, problem = find("on a card"), Problem((4, 4), (2, 2))
    assert not found.runs_on("cpu")
    assert found.runs_on("cuda:3")
    assert found.refuses(problem, "numpy", "cpu") == "runs on cuda alone, not on cpu"
    assert found.refuses(problem, "numpy", "cuda:0") is None
    monkeypatch.setattr(namespaces, "cuda_devices", lambda: 0)
    needs = "no CUDA driver or device (on a card needs an NVIDIA GPU)"
    assert found.missing("numpy") == needs
    monkeypatch.setattr(namespaces, "cuda_devices", lambda: 1)
    assert found.missing("numpy") is None
    assert not any(name.startswith("on a card") for name in available(["cpu", "cuda:0"]))


def test_a_class_says_only_what_differs() -> None:
    @algorithm(name="shifted", **ABOUT)
    class Shifted:
        @staticmethod
        def refuses(problem: Problem, namespace: str, device: str) -> str | None:
            return "odd images only" if problem.image[0] % 2 == 0 else None

        def load(self, b: Any) -> None:
            self.offset = b.sum()

        def run(self, a: Any) -> Any:
            return a + self.offset

    found = find("shifted")
    with pytest.raises(UnsupportedProblem, match="shifted on numpy: odd images only"):
        found.prepare(Problem((4, 4), (1, 1)), "numpy", "cpu")
    assert found.implementation.error_bound(Problem((3, 3), (1, 1))) > 0
    y = convolve(np.zeros((3, 3)), np.full((1, 1), 5.0), algorithm="shifted")
    assert np.array_equal(y, np.full((3, 3), 5.0))


def test_a_class_without_run_is_refused() -> None:
    with pytest.raises(TypeError, match="class Empty has no method run"):

        @algorithm(name="empty", **ABOUT)
        class Empty:
            pass


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "magic"}, "family is 'magic'; allowed: direct, im2col, fft, winograd"),
        ({"namespaces": ["numpy", "jax"]}, "namespace is 'jax'; allowed: numpy, torch, cupy"),
        ({"namespaces": "dask"}, "namespace is 'dask'; allowed: numpy, torch, cupy"),
    ],
)
def test_unknown_family_or_namespace(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        algorithm(name="bad", **ABOUT | change)(twice)
    assert "bad" not in algorithms()


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"algorithm is 'fftt'; allowed: .*direct, fft, .*im2col"):
        find("fftt")


def test_one_name_from_two_files(tmp_path: Path) -> None:
    for file in ("one.py", "two.py"):
        (tmp_path / file).write_text(FILE.format(name="mine", factor=1))
    load_path(tmp_path / "one.py")
    with pytest.raises(DuplicateAlgorithm, match=r"'mine' is in two files: .*one\.py, .*two\.py"):
        load_path(tmp_path / "two.py")
    assert find("mine").path == str((tmp_path / "one.py").resolve())
    with pytest.raises(DuplicateAlgorithm):  # not only the first time
        load_path(tmp_path / "two.py")


def test_a_name_of_the_rooms_is_taken(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE.format(name="fft", factor=1))
    with pytest.raises(DuplicateAlgorithm, match="'fft' is in two files"):
        load_path(tmp_path / "mine.py")


def test_a_file_twice_is_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FILE.format(name="mine", factor=3) + "\nprint('loaded')\n")
    load_path(file)
    before = find("mine")
    load_path(file)
    load_path(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    load_path("mine.py")
    assert find("mine") is before
    x = np.ones((2, 2))
    assert np.array_equal(convolve(x, np.ones((1, 1)), algorithm="mine"), 3 * x)


def test_a_folder_of_files(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"file{number}.py").write_text(FILE.format(name=f"mine{number}", factor=number))
    (tmp_path / "notes.txt").write_text("not Python")
    load_path(tmp_path)
    assert {"mine1", "mine2"} <= set(algorithms())


@pytest.mark.parametrize("name", ["missing.py", "notes.txt", "empty"])
def test_a_path_without_algorithms(name: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not Python")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=rf"path is '.*{name}'; allowed: a \.py file or a folder"):
        load_path(tmp_path / name)


def test_a_misspelt_import_still_raises(tmp_path: Path) -> None:
    file = tmp_path / "misspelt.py"
    file.write_text("import nummpy\n" + FILE.format(name="misspelt", factor=1))
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError) as error:
            load_path(file)
        assert error.value.name == "nummpy"
    file.write_text(FILE.format(name="misspelt", factor=1))
    load_path(file)
    assert "misspelt" in algorithms()


def test_entry_points_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "convkernels_plugin.py").write_text(FILE.format(name="plugged", factor=1))
    monkeypatch.syspath_prepend(tmp_path)
    entry = importlib.metadata.EntryPoint("any", "convkernels_plugin", discovery.ENTRY_POINTS)
    asked = []

    def entry_points(*, group: str) -> list[importlib.metadata.EntryPoint]:
        asked.append(group)
        return [entry]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    discovery._discover.cache_clear()
    assert "plugged" in algorithms()
    assert asked == ["convcross.algorithms"]


def test_definitions_without_a_file() -> None:
    """As in a notebook or a shell: they register, and may be defined anew."""
    code = """
from convkernels import algorithm
from convkernels.discovery import find
about = dict(family="direct", namespaces="numpy", arithmetic="ieee", source="a shell")
for cell in ("first", "second"):
    exec(compile('''
@algorithm(name="function", **about)
def function(x, w, problem): return x
@algorithm(name="class", **about)
class Class:
    def run(self, a): return a
''', f"<cell {cell}>", "exec"))
print(find("function").name, find("class").name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.split() == ["function", "class"]


def test_missing_says_where_it_runs() -> None:
    assert find("scipy-convolve2d").missing("torch") == "scipy-convolve2d runs on numpy"
    assert find("scipy-convolve2d").missing("numpy") is None


USERS = """
from convkernels import Cost, Problem, UnsupportedProblem, algorithm, stage
from convkernels.registry import Defaults

ABOUT = dict(family="direct", namespaces=["numpy"], arithmetic="ieee", source="a test")

@algorithm(name="plain", **ABOUT)
class Plain:
    def run(self, a):
        with stage("multiply"):
            return a * self.b[0, 0]

@algorithm(name="inheriting", **ABOUT)
class Inheriting(Defaults):
    @staticmethod
    def cost(problem: Problem) -> Cost:
        return Cost(1.0, 2.0)

    def run(self, a):
        return a * self.b[0, 0]
"""


@pytest.mark.parametrize("name", ["plain", "inheriting"])
def test_users_files_of_before_go_on_working(
    tmp_path: Path, clean_registry: None, name: str
) -> None:
    (tmp_path / "users.py").write_text(USERS)
    load_path(tmp_path / "users.py")
    x = np.arange(12.0).reshape(3, 4)
    assert (convolve(x, np.full((1, 1), 2.0), algorithm=name) == 2 * x).all()
    assert find(name).implementation.cost(Problem((3, 4), (1, 1))).flops in (1.0, 24.0)
