"""Optional libraries are imported when a contender needs them, and not before."""

from __future__ import annotations

import subprocess
import sys

import pytest

# A finder that hides these libraries, as if they were not installed.
HIDE = """
import sys

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hide())
"""


def python(code: str, hidden: tuple[str, ...] = ()) -> str:
    """What it prints, run in a fresh interpreter where warnings are errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HIDE.format(hidden=hidden) + code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


HEAVY = ("numpy", "scipy", "torch", "cupy", "triton", "cv2", "pandas", "matplotlib")


@pytest.mark.parametrize("action", ["", "algorithms()", "find('fft').missing('cupy')"])
def test_nothing_heavy_is_imported(action: str) -> None:
    """Not by the import, nor by listing every algorithm."""
    loaded = python(
        "import convkernels\n"
        + (f"from convkernels.discovery import algorithms, find\n{action}\n" if action else "")
        + f"print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    assert loaded.split() == []


def test_numpy_alone_needs_no_torch_and_no_cupy() -> None:
    loaded = python(
        "import numpy as np, convkernels\n"
        "convkernels.convolve(np.ones((9, 9)), np.ones((3, 3)))\n"
        "print(*{'torch', 'cupy', 'triton'} & set(sys.modules))"
    )
    assert loaded.split() == []


@pytest.mark.parametrize(
    "hidden", [("torch",), ("cupy",), ("cv2",), ("torch", "cupy", "cupyx", "triton", "cv2")]
)
def test_it_works_without_them(hidden: tuple[str, ...]) -> None:
    printed = python(
        """
import numpy as np
from convkernels import UnsupportedProblem, convolve, namespaces
from convkernels.discovery import algorithms, find

known = algorithms()
x = np.arange(30.0).reshape(5, 6)
w = np.arange(6.0).reshape(2, 3)
expected = convolve(x, w, algorithm="direct")
for name in ("auto", "im2col-gemm", "fft"):
    assert np.allclose(convolve(x, w, algorithm=name), expected), name
assert expected[0, 2] == 1.0
for found in known.values():
    for namespace in found.namespaces:
        found.missing(namespace)
try:
    convolve(x, w, algorithm="opencv-filter2d")
except UnsupportedProblem as refusal:
    print(refusal)
print(namespaces.missing("torch"))
print(*known)
""",
        hidden,
    )
    lines = printed.splitlines()
    assert {"direct", "fft", "im2col-gemm", "torch-conv2d"} <= set(lines[-1].split())
    if "torch" in hidden:
        assert lines[-2] == "torch is not installed: pip install torch"
    if "cv2" in hidden:
        assert lines[0] == "cv2 is not installed: pip install 'convcross[opencv]'"


def test_a_broken_import_inside_a_library_is_not_hidden() -> None:
    """Only a library that is not there reads as missing; an error of its own does not."""
    printed = python(
        """
from convkernels import optional

class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "cv2":
            raise ModuleNotFoundError("No module named 'numppy'", name="numppy")

sys.meta_path.insert(0, Broken())
try:
    optional.installed("cv2")
except ModuleNotFoundError as error:
    print(error.name)
"""
    )
    assert printed.strip() == "numppy"
