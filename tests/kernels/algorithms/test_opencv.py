"""OpenCV's filters: which engine answers, bands of rows, kernels of rank 1."""

from __future__ import annotations

import numpy as np
import pytest

from convkernels import Problem, UnsupportedProblem
from convkernels.algorithms.libraries import opencv_direct
from convkernels.algorithms.libraries._opencv import SWITCH
from convkernels.discovery import find
from convkernels.problem import MODES, OPS
from convkernels.toolbox import threads
from support.impulses import answer, is_direct
from support.problems import case
from support.reference import relative_error


@pytest.fixture
def opencv() -> None:
    if reason := find("opencv-direct").missing("numpy"):
        pytest.skip(reason)


def sizes(dtype: str) -> list[Problem]:
    return [Problem((80, 72), (n, n), mode="same", dtype=dtype) for n in range(3, 32)]


@pytest.mark.usefixtures("opencv")
@pytest.mark.parametrize("dtype", SWITCH)
def test_direct_is_direct_at_every_size(dtype: str) -> None:
    for problem in sizes(dtype):
        assert is_direct(answer("opencv-direct", problem), problem), problem.kernel


@pytest.mark.usefixtures("opencv")
@pytest.mark.parametrize(("dtype", "last"), [("float32", 11), ("float64", 7)])
def test_filter2d_is_a_dft_beyond_its_switch(dtype: str, last: int) -> None:
    for problem in sizes(dtype):
        instance = find("opencv-filter2d").prepare(problem, "numpy", "cpu")
        direct = problem.kernel[0] <= last
        assert is_direct(answer("opencv-filter2d", problem), problem) == direct, problem.kernel
        assert instance.provenance()["engine"] == ("direct" if direct else "dft")


@pytest.mark.usefixtures("opencv")
@pytest.mark.parametrize("kernel", [(1, 129), (129, 1), (1, 130), (130, 1), (10, 13)])
def test_the_switch_counts_elements(kernel: tuple[int, int]) -> None:
    problem = Problem((270, 280), kernel, mode="same")
    direct = kernel[0] * kernel[1] < SWITCH["float32"]
    assert is_direct(answer("opencv-filter2d", problem), problem) == direct
    assert is_direct(answer("opencv-direct", problem), problem)


@pytest.mark.usefixtures("opencv")
@pytest.mark.parametrize("dtype", SWITCH)
def test_the_dft_alone_is_a_dft_or_refuses(dtype: str) -> None:
    for problem in sizes(dtype):
        reason = find("opencv-dft").refuses(problem, "numpy", "cpu")
        if problem.kernel[0] ** 2 < SWITCH[dtype]:
            assert reason == f"filter2D sums kernels of less than {SWITCH[dtype]} elements directly"
        else:
            assert reason is None
            assert not is_direct(answer("opencv-dft", problem), problem), problem.kernel


# ---- bands ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("opencv")
@pytest.mark.parametrize("kernel", [(5, 4), (2, 7), (12, 13), (13, 9)])
@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_bands_join(count: int, kernel: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencv_direct, "SHARE", 1)
    problems = [
        Problem((23, 19), kernel, mode=mode, op=op, dtype=dtype)
        for mode in MODES
        for op in OPS
        for dtype in SWITCH
    ]
    problems += [Problem((23, 19), kernel, mode="same", boundary="circular")]
    problems += [Problem((23, 19), kernel, padding=((30, 0), (2, 40)))]
    for problem in problems:
        case_ = case(problem)
        with threads.limited(count):
            instance = find("opencv-direct").prepare(problem, "numpy", "cpu")
        assert instance.threads == min(count, problem.output[0])
        instance.load(case_.w)
        error = relative_error(instance.run(case_.x), case_.expected, case_.x, case_.w)
        assert error <= instance.error_bound(problem), problem


# ---- the separable filter ------------------------------------------------------------------------


@pytest.mark.usefixtures("opencv")
def test_sepfilter2d_runs_two_passes() -> None:
    """An impulse's answer is the product of two factors, to rounding and not to the bit."""
    problem = Problem((64, 64), (9, 31), mode="same", op="correlation")
    rng = np.random.default_rng(0)
    w = np.outer(rng.standard_normal(9), rng.standard_normal(31)).astype(np.float32)
    x = np.zeros((64, 64), np.float32)
    x[32, 32] = 1.0
    instance = find("opencv-sepfilter2d").prepare(problem, "numpy", "cpu")
    instance.load(w)
    part = instance.run(x)[32 - 4 : 32 + 5, 32 - 15 : 32 + 16][::-1, ::-1]
    assert np.allclose(part, w, rtol=1e-5, atol=0.0)
    values = np.linalg.svd(part.astype(np.float64), compute_uv=False)
    assert values[1] < 1e-7 * values[0]


@pytest.mark.usefixtures("opencv")
def test_sepfilter2d_keeps_its_filter_when_a_load_is_refused() -> None:
    problem = Problem((9, 9), (3, 3), dtype="float64")
    instance = find("opencv-sepfilter2d").prepare(problem, "numpy", "cpu")
    with pytest.raises(
        UnsupportedProblem, match=r"kernel is of numerical rank 3; allowed: 1 \(past it are 1\.4 of"
    ):
        instance.load(np.eye(3))
    case_ = case(problem, rank=1)
    instance.load(case_.w)
    assert relative_error(instance.run(case_.x), case_.expected, case_.x, case_.w) < 1e-15
