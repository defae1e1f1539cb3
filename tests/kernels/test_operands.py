"""Operands as users have them: layouts, byte orders, subclasses, masks, magnitudes, no batch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convkernels import Problem, UnsupportedProblem, convolve, namespaces
from convkernels.convolve import APART
from convkernels.discovery import algorithms
from support.contenders import contenders

HERE = [
    parameter
    for parameter in contenders()
    if (parameter.values[0].namespace, parameter.values[0].device)
    in (("numpy", "cpu"), ("torch", "cpu"))
]
RNG = np.random.default_rng(8)
BASE = RNG.standard_normal((64, 64))
MEMORY = RNG.standard_normal((40, 40))


def expected(x: Any, w: Any, mode: str) -> Any:
    from scipy import signal

    return signal.convolve2d(np.array(x, dtype="float64"), np.array(w, dtype="float64"), mode)


LAYOUTS: dict[str, Callable[[], Any]] = {
    "overlapping": lambda: np.lib.stride_tricks.sliding_window_view(np.arange(40.0), 20),
    "repeated": lambda: np.broadcast_to(np.arange(20.0), (21, 20)),
    "turned": lambda: BASE[::-1, ::-1],
    "stepped": lambda: BASE[::3, 1::2],
    "transposed": lambda: BASE[:30].T,
    "fortran": lambda: np.asfortranarray(BASE),
    "a field": lambda: BASE.astype([("a", "f8"), ("b", "f4")])["a"],
    "read-only": lambda: np.frombuffer(BASE.tobytes()).reshape(64, 64),
    "big-endian": lambda: BASE.astype(">f8"),
}


@pytest.mark.parametrize("algorithm", ["auto", *algorithms()])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str, algorithm: str) -> None:
    x, w = LAYOUTS[layout](), BASE[:7, ::-2][:, :3]
    try:
        y = convolve(x, w, mode="valid", algorithm=algorithm)
    except UnsupportedProblem as refusal:
        pytest.skip(str(refusal))
    want = expected(x, w, "valid")
    assert np.abs(y - want).max() <= 1e-12 * np.abs(want).max()


def test_the_reported_case() -> None:
    x = np.lib.stride_tricks.sliding_window_view(np.arange(40.0), 20)
    assert convolve(x, np.ones((3, 3)), mode="valid")[0, :2].tolist() == [18.0, 27.0]


# ---- subclasses, masks -----------------------------------------------------------------------


def matrix() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asmatrix(np.ones((8, 8)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: np.ma.masked_greater(np.ones((8, 8)), 2), r"ignore its mask; .*\.filled\(0\)"),
        (matrix, r"matrix, whose .*; allowed: numpy.asarray of it"),
        (lambda: np.ones((8, 8)).view(np.recarray), "recarray; allowed: numpy.asarray of it"),
    ],
)
@pytest.mark.parametrize("algorithm", ["auto", "direct", "fft"])
def test_what_means_more_than_its_numbers_is_refused(
    make: Callable[[], Any], message: str, algorithm: str
) -> None:
    odd, plain = make(), np.ones((8, 8))
    for x, w in ((odd, plain[:3, :3]), (plain, odd)):
        with pytest.raises(TypeError, match=message):
            convolve(x, w, algorithm=algorithm)


def test_a_subclass_that_means_the_same(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "image", dtype="float64", mode="w+", shape=(8, 8))
    mapped[:] = 1
    assert convolve(mapped, np.ones((3, 3)), mode="same").sum() == 484


# ---- magnitudes ------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [-34, 30])
@pytest.mark.parametrize("contender", HERE)
def test_small_and_large_kernels_keep_the_bound(contender: Any, exponent: int) -> None:
    """Within range all the way, but not where a spectrum is divided by its number of points."""
    problem = Problem((100, 90), (13, 13), mode="same")
    contender.skip_unless_here()
    found = contender.algorithm
    x = RNG.standard_normal(problem.image).astype("float32")
    w = (RNG.standard_normal(problem.kernel) * 3.0 * 10.0**exponent).astype("float32")
    a, b = (namespaces.from_numpy(v, contender.namespace, "cpu", "float32") for v in (x, w))
    try:
        y = namespaces.to_numpy(convolve(a, b, mode="same", algorithm=found.name)).astype("float64")
    except UnsupportedProblem as refusal:
        pytest.skip(str(refusal))
    want = expected(x, w, "same")
    error = np.linalg.norm(y - want) / np.linalg.norm(want)
    assert error <= found.implementation.error_bound(problem)


# ---- values that are not finite --------------------------------------------------------------


@pytest.mark.parametrize("size", range(3, 40, 3))
def test_nan_stays_or_it_is_told(size: int) -> None:
    x, w = np.ones((64, 64), "float32"), np.ones((size, size), "float32")
    x[0, 0] = np.nan
    reached = ((size - 1) // 2 + 1 + (size % 2 == 0)) ** 2
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        y = convolve(x, w, mode="same")
    if np.isnan(y).sum() == reached:
        assert not told
    else:
        (warning,) = told
        assert "algorithm='direct' sums each for itself" in str(warning.message)
        assert warning.filename == __file__
    assert np.isnan(convolve(x, w, mode="same", algorithm="direct")).sum() == reached


SUMS = [
    name
    for name, found in algorithms().items()
    if found.family in APART and "numpy" in found.namespaces and not found.implementation.spreads
]


@pytest.mark.parametrize("name", SUMS)
def test_sums_apart_keep_nan_where_the_kernel_brings_it(name: str) -> None:
    if reason := algorithms()[name].missing("numpy"):
        pytest.skip(reason)
    x, w = np.ones((64, 60), "float32"), np.ones((12, 12), "float32")
    x[30, 20] = np.nan
    y = convolve(x, w, mode="same", algorithm=name)
    assert np.isnan(y).sum() == 144


def test_a_sum_that_overflows_on_the_way_is_told() -> None:
    x, w = np.full((256, 256), 1e34, "float32"), np.full((3, 3), 1 / 9, "float32")
    with pytest.warns(RuntimeWarning, match="not finite, though x and w are: fft computes"):
        convolve(x, w, algorithm="fft")
    assert np.isfinite(convolve(x, w, algorithm="direct")).all()


@pytest.mark.parametrize("algorithm", ["auto", "direct", "im2col-gemm", "fft"])
def test_finite_results_and_the_kernels_own_nan_are_silent(algorithm: str) -> None:
    x, w = np.ones((32, 32)), np.ones((9, 9))
    convolve(x, w, algorithm=algorithm)
    w[3, 3] = np.nan
    convolve(x, w, algorithm=algorithm)


# ---- empty batches ---------------------------------------------------------------------------


def test_an_empty_batch_of_images() -> None:
    y = convolve(np.ones((0, 9, 8), ">f4"), np.ones((3, 3), "<f4"))
    assert y.shape == (0, 11, 10)
    assert y.dtype == np.dtype("float32")
    with pytest.raises(ValueError, match=r"image is \(0, 8\); allowed"):
        convolve(np.ones((2, 0, 8)), np.ones((3, 3)))
