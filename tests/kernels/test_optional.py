"""Optional libraries that are installed, and do or do not load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from convkernels import cache, optional

BROKEN = 'raise ImportError("libGL.so.1: cannot open shared object file")\n'
LOADS = "from convkernels import optional\nprint(optional.missing({name!r}, 'pip install it'))\n"


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    """An environment in which this folder comes first and the cache is its own."""
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    return os.environ | {"PYTHONPATH": path, cache.FOLDER: str(tmp_path / "cache")}


def plant(folder: Path, name: str, source: str) -> None:
    package = folder / name
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text(source)


def python(code: str, place: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (BROKEN, "ImportError: libGL.so.1: cannot open shared object file"),
        ("import nowhere_at_all\n", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n", "ends the process (SIGILL)"),
        ("import sys\nsys.exit(3)\n", "exit code 3"),
    ],
)
def test_what_does_not_load_says_why(
    source: str, reason: str, tmp_path: Path, place: dict[str, str]
) -> None:
    plant(tmp_path, "fragile", source)
    said = python(LOADS.format(name="fragile"), place)
    assert said.startswith("fragile is installed but does not load: ")
    assert reason in said


def test_the_outcome_is_kept_until_the_library_changes(
    tmp_path: Path, place: dict[str, str]
) -> None:
    count = f"open({str(tmp_path / 'count')!r}, 'a').write('x')\n"
    plant(tmp_path, "fragile", count + BROKEN)
    for _ in range(3):
        assert "does not load" in python(LOADS.format(name="fragile"), place)
    assert (tmp_path / "count").read_text() == "x"
    plant(tmp_path, "fragile", count + "mended = True\n")
    for _ in range(3):
        assert python(LOADS.format(name="fragile"), place) == "None"
    assert (tmp_path / "count").read_text() == "xx"


def test_a_module_in_the_way_costs_the_library_on_that_path_alone(
    tmp_path: Path, place: dict[str, str]
) -> None:
    """As a script's folder has one of a name that the library imports itself."""
    (tmp_path / "helper.py").write_text("needed = True\n")
    plant(tmp_path, "fragile", "from helper import needed\n")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "helper.py").write_text("")
    shadowed = place | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "scripts"), place["PYTHONPATH"]])
    }
    assert "cannot import name 'needed'" in python(LOADS.format(name="fragile"), shadowed)
    assert python(LOADS.format(name="fragile"), place) == "None"


def test_without_a_cache_it_is_asked_in_each_process(tmp_path: Path, place: dict[str, str]) -> None:
    (tmp_path / "file").write_text("")
    plant(tmp_path, "fragile", BROKEN)
    told = python(
        LOADS.format(name="fragile"), place | {cache.FOLDER: str(tmp_path / "file" / "below")}
    )
    assert "does not load" in told


def test_what_is_imported_already_loads() -> None:
    assert optional.missing("pytest", "pip install pytest") is None
    assert optional.missing("nowhere_at_all", "pip install it") == (
        "nowhere_at_all is not installed: pip install it"
    )


def test_an_opencv_that_does_not_load_costs_its_own_algorithms(
    tmp_path: Path, place: dict[str, str]
) -> None:
    plant(tmp_path, "cv2", BROKEN)
    told = python(
        """
import numpy as np
from convkernels import UnsupportedProblem, convolve
for size in (3, 40):
    print(convolve(np.ones((64, 64), "float32"), np.ones((size, size), "float32")).max())
try:
    convolve(np.ones((9, 9)), np.ones((3, 3)), algorithm="opencv-direct")
except UnsupportedProblem as refusal:
    print(refusal)
""",
        place,
    ).splitlines()
    assert [round(float(number)) for number in told[:2]] == [9, 1600]
    assert told[2].startswith("cv2 is installed but does not load: ImportError: libGL")


def test_first_calls_in_many_threads(place: dict[str, str]) -> None:
    """Each imports what it needs, and finds what another is importing half done."""
    if reason := optional.missing("cv2", "pip install opencv-python-headless"):
        pytest.skip(reason)
    told = python(
        """
import concurrent.futures, threading
import numpy as np
from convkernels import convolve
start = threading.Barrier(8)
def call(number):
    start.wait()
    algorithm = ("auto", "opencv-filter2d", "fft", "auto")[number % 4]
    return convolve(np.ones((64, 64), "float32"), np.ones((3, 3), "float32"), algorithm=algorithm)
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    print(*{round(float(y[9, 9])) for y in pool.map(call, range(8))})
""",
        place,
    )
    assert told == "9"
