"""MKL's VSL: which algorithm answers, and what it leaves alone in the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from convkernels import Problem
from convkernels.algorithms.libraries import _mkl
from convkernels.discovery import find
from support.impulses import answer, is_direct


@pytest.fixture
def mkl() -> None:
    if reason := _mkl.missing():
        pytest.skip(reason)


@pytest.mark.usefixtures("mkl")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", ["full", "same"])
def test_direct_is_direct_at_every_size(mode: str, dtype: str) -> None:
    for n in range(1, 41):
        problem = Problem((96, 90), (n, n), mode=mode, dtype=dtype)
        assert is_direct(answer("mkl-vsl-direct", problem), problem), problem


@pytest.mark.usefixtures("mkl")
@pytest.mark.parametrize("n", [2, 3, 5, 11, 31])
def test_fft_leaves_noise_all_over_the_image(n: int) -> None:
    y = answer("mkl-vsl-fft", Problem((96, 90), (n, n)))
    assert np.count_nonzero(y) > 0.9 * y.size


# In a process of its own, for MKL keeps the layer that it first computed with.
ORDER = """
import threadpoolctl
from convkernels import Problem, convolve
import numpy as np

assert "torch" not in __import__("sys").modules
x, w = np.ones((64, 64), "f4"), np.ones((5, 5), "f4")
y = convolve(x, w, algorithm="mkl-vsl-fft")
import torch

a = torch.nn.functional.conv2d(torch.ones(1, 1, 64, 64), torch.ones(1, 1, 5, 5))
assert abs(float(a[0, 0, 0, 0]) - 25.0) < 1e-3 and abs(y[9, 9] - 25.0) < 1e-3
for pool in threadpoolctl.threadpool_info():
    print(pool["internal_api"], pool["prefix"], pool.get("threading_layer"))
"""


@pytest.mark.torch
@pytest.mark.usefixtures("mkl")
def test_torch_keeps_its_own_openmp() -> None:
    """Intel's, loaded before torch is imported, would take the place of the one torch brings."""
    root = Path(_mkl.__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", ORDER],
        env={"PYTHONPATH": str(root), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "libiomp" not in done.stdout
    assert "mkl libmkl_rt gnu" in done.stdout or "mkl libmkl_rt sequential" in done.stdout


@pytest.mark.usefixtures("mkl")
def test_other_users_of_mkl_keep_their_threads() -> None:
    library = _mkl.library()
    before = library.MKL_Set_Num_Threads_Local(3)
    try:
        answer("mkl-vsl-direct", Problem((8, 8), (3, 3)))
        assert library.MKL_Set_Num_Threads_Local(3) == 3
    finally:
        library.MKL_Set_Num_Threads_Local(before)


@pytest.mark.usefixtures("mkl")
def test_a_status_is_raised() -> None:
    problem = Problem((8, 8), (3, 3))
    instance = find("mkl-vsl-direct").prepare(problem, "numpy", "cpu")
    instance.load(np.ones((3, 3), np.float32))
    instance.task = None  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match=r"^vslConvExec: status -?\d+"):
        instance.run(np.ones((8, 8), np.float32))


def test_without_the_wheel_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mkl, "shared_library", lambda wheel, name: None)
    assert _mkl.missing.__wrapped__() == "mkl is not installed: pip install 'convcross[mkl]'"
