"""What passes as right and what does not, and the distances that are reported."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcross.measure.accuracy import arrays, reference
from convcross.measure.accuracy import sample as sampling
from convcross.measure.accuracy import truth as accuracy
from convcross.sweeps import data
from convkernels import Problem, namespaces
from convkernels.algorithms.fft.fft import padded_size
from convkernels.discovery import find
from convkernels.problem import DTYPES, ROUNDOFF
from convkernels.toolbox import bounds
from support.places import IDS, PLACES, STRICT, admit, play_card
from support.problems import FIXED, case

PROBLEM = Problem((48, 40), (7, 7), mode="same")


@functools.cache
def truth(problem: Problem = PROBLEM) -> accuracy.Truth:
    x = namespaces.round_to(data.image("normal", problem.x_shape, 0), problem.dtype).astype(float)
    w = namespaces.round_to(data.kernel("normal", problem.w_shape, 0), problem.dtype).astype(float)
    return accuracy.truth(problem, x, w, 0)


def verify(y: np.ndarray, problem: Problem = PROBLEM) -> str | None:
    return accuracy.verify(y, bounds.summation(problem), truth(problem))


def test_the_rounded_reference_is_right() -> None:
    for dtype in DTYPES:
        problem = Problem((48, 40), (7, 7), mode="same", dtype=dtype)
        assert verify(namespaces.round_to(truth(problem).y, dtype), problem) is None


def test_float32_sums_are_right() -> None:
    known = truth()
    image, kernel = known.x.astype(np.float32), known.w.astype(np.float32)
    padded = np.pad(image, 3)
    y = np.zeros_like(image)
    for row, column in np.ndindex(7, 7):
        y += kernel[6 - row, 6 - column] * padded[row : row + 48, column : column + 40]
    assert verify(y) is None
    assert 0 < accuracy.relative_error(y, known) < bounds.summation(PROBLEM)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_output_that_is_not_finite(value: float) -> None:
    y = truth().y.astype(np.float32)
    y[5, 6] = value
    assert verify(y) == "1 of 1920 outputs are not finite"


@pytest.mark.parametrize("shape", [(40, 48), (48, 39), (1, 48, 40), (1920,), (50, 42)])
def test_a_wrong_shape(shape: tuple[int, ...]) -> None:
    assert verify(np.zeros(shape)) == f"shape {shape}; expected (48, 40)"


@settings(max_examples=30)
@given(st.integers(0, 255), st.integers(0, 255), st.sampled_from([-1, 1]))
def test_one_wrong_pixel_of_many(row: int, column: int, sign: int) -> None:
    """So small that the image's L2 error does not show it."""
    problem = Problem((256, 256), (7, 7), mode="same")
    known = truth(problem)
    y = known.y.astype(np.float32)
    assert verify(y, problem) is None
    bound = bounds.summation(problem)
    y[row, column] += np.float32(sign * 0.5 * bound * known.norm)
    assert accuracy.relative_error(y, known) < bound
    reason = verify(y, problem)
    assert reason is not None
    assert reason.startswith(f"output ({row}, {column}) is off by ")


def test_zeros_and_a_neighbouring_problem_are_wrong() -> None:
    known = truth()
    for y in (np.zeros_like(known.y), np.roll(known.y, 1, axis=0), -known.y, known.y[::-1]):
        reason = verify(y)
        assert reason is not None
        assert reason.startswith("relative L2 error ")
    flipped, _ = reference.whole_image(PROBLEM, known.x, known.w[::-1, ::-1])
    assert "relative L2 error" in (verify(flipped) or "")


@pytest.mark.torch
@pytest.mark.parametrize("place", [("numpy", "cpu"), ("torch", "cpu")], ids=["numpy", "torch"])
def test_an_fft_beside_a_bright_spot_is_right(place: arrays.Place) -> None:
    """It errs most in the spot's row and column, √N times as much as over the whole image."""
    problem = Problem((512, 512), (3, 3), mode="same")
    instance = find("fft").prepare(problem, *place)
    bound = instance.error_bound(problem)
    worst = 0.0
    for seed in range(6):
        x = data.image("high-dynamic-range", problem.x_shape, seed).astype(np.float32)
        w = data.kernel("normal", problem.w_shape, seed).astype(np.float32)
        known = accuracy.truth(problem, x.astype(float), w.astype(float), seed)
        instance.load(namespaces.from_numpy(w, *place, "float32"))
        y = namespaces.to_numpy(instance.run(namespaces.from_numpy(x, *place, "float32")))
        assert accuracy.verify(y, bound, known) is None
        whole = known.norm / math.sqrt(x.size)
        excess = np.abs(y - known.y) / np.maximum(known.scale, whole) / (bound + known.bound)
        worst = max(worst, float(excess.max()))
        dark = tuple(int(i + 256) % 512 for i in np.unravel_index(x.argmax(), x.shape))
        spoilt = y.copy()  # by what the spot's row and column may err
        spoilt[dark] += 2 * accuracy.PIXEL * bound * whole
        assert f"output {dark} is off by " in (accuracy.verify(spoilt, bound, known) or "")
    assert worst > 0.8 * accuracy.PIXEL  # the whole image alone does not tell what is allowed


@pytest.mark.parametrize("seed", [0, 1])
def test_minimal_filtering_beside_a_bright_spot_is_right(seed: int) -> None:
    """It errs all over the spot's tile, where nothing else is bright; further off that is wrong."""
    problem = Problem((1024, 1024), (3, 3), mode="same")
    image = data.image("high-dynamic-range", problem.x_shape, seed).astype(np.float32)
    kernel = data.kernel("normal", problem.w_shape, seed).astype(np.float32)
    known = accuracy.truth(problem, image.astype(float), kernel.astype(float), seed)
    instance = find("winograd-4x4-3x3").prepare(problem, "numpy", "cpu")
    instance.load(kernel)
    y, bound = instance.run(image), instance.error_bound(problem)
    assert accuracy.verify(y, bound, known) is None
    near = tuple(int(i + 10) % 1024 for i in np.unravel_index(image.argmax(), image.shape))
    y[near] += 2 * accuracy.PIXEL * bound * known.norm / math.sqrt(image.size)
    assert f"output {near} is off by " in (accuracy.verify(y, bound, known) or "")


def truncated(values: np.ndarray, bits: int) -> np.ndarray:
    """float32 values with so many mantissa bits left, as a tensor core reads its operands."""
    raw = values.astype(np.float32).view(np.uint32)
    return (raw & np.uint32(0xFFFFFFFF << (23 - bits) & 0xFFFFFFFF)).view(np.float32).astype(float)


@pytest.mark.parametrize("kernel", [3, 7, 31])
@pytest.mark.parametrize("bits", [7, 10])
def test_tf32_and_bfloat16_arithmetic_do_not_pass_as_float32(bits: int, kernel: int) -> None:
    problem = Problem((64, 64), (kernel, kernel), mode="same")
    known = truth(problem)
    x, w = truncated(known.x, bits), truncated(known.w, bits)
    y, _ = reference.whole_image(problem, x, w)
    reason = verify(y.astype(np.float32), problem)
    assert reason is not None
    assert reason.startswith("relative L2 error")
    assert accuracy.verify(y, 4 * 2.0**-bits, known) is None  # what it may declare honestly


def test_float32_does_not_pass_as_float64() -> None:
    problem = Problem((48, 40), (7, 7), mode="same", dtype="float64")
    assert verify(truth(problem).y, problem) is None
    assert verify(truth(problem).y.astype(np.float32), problem) is not None


def test_a_bound_that_is_not_a_number_lets_nothing_pass() -> None:
    assert accuracy.verify(truth().y, float("nan"), truth()) is not None


def test_a_truth_given_is_the_truth_computed() -> None:
    known = truth()
    y = reference.by_scipy(PROBLEM, known.x, known.w)
    other = accuracy.given(PROBLEM, known.x, known.w, y)
    assert other.norm == pytest.approx(known.norm, rel=1e-12)
    assert np.allclose(other.scale, known.scale, rtol=1e-9)
    assert accuracy.verify(known.y, bounds.summation(PROBLEM), other) is None


def test_cancellation_is_judged_by_the_operands() -> None:
    """A kernel of differences on a flat image: the answer is 0 in the middle, the error is not."""
    problem = Problem((32, 32), (1, 2), mode="valid")
    x, w = np.full((32, 32), np.float32(1 / 3)).astype(float), np.array([[1.0, -1.0]])
    flat = accuracy.truth(problem, x, w, 0)
    assert np.abs(flat.y).max() < 1e-15
    wrong = np.full(problem.y_shape, 1e-3)
    assert accuracy.verify(np.full(problem.y_shape, 2e-9), 1e-6, flat) is None
    assert accuracy.verify(wrong, 1e-6, flat) is not None


# ---- in any library, on any device -----------------------------------------------------------


@pytest.fixture(params=PLACES, ids=IDS)
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> arrays.Place:
    admit(request.param, monkeypatch)
    there: arrays.Place = request.param
    return there


def placed(problem: Problem, place: arrays.Place) -> tuple[accuracy.Truth, accuracy.Truth]:
    """The truth there and, from the same operands, on NumPy."""
    given_ = case(problem)
    x, w = given_.x.astype(float), given_.w.astype(float)
    return accuracy.truth(problem, x, w, 0, place=place), accuracy.truth(problem, x, w, 0)


def result(problem: Problem, place: arrays.Place, y: np.ndarray) -> Any:
    """y as a contender there would give it, float32 where the library has no such dtype."""
    lacks = place == STRICT and problem.dtype == "float16"
    lacks |= problem.dtype == "bfloat16" and place[0] != "torch"
    return namespaces.from_numpy(y, *place, "float32" if lacks else problem.dtype)


@pytest.mark.parametrize("name", FIXED)
def test_truths_agree_wherever_they_lie(name: str, place: arrays.Place) -> None:
    problem = FIXED[name]
    there, known = placed(problem, place)
    for mine, numpys in ((there.y, known.y), (there.scale, known.scale), (there.x, known.x)):
        assert namespaces.of(mine) == place
        assert namespaces.dtype_name(mine) == "float64"
        values = namespaces.to_numpy(mine)
        assert np.abs(values - numpys).max() <= 1e-13 * max(1.0, np.abs(numpys).max())
    assert there.norm == pytest.approx(known.norm, rel=1e-13)
    assert there.certificate["points"] == 16
    assert there.certificate["error_points"] == math.prod(problem.y_shape)
    noise = np.random.default_rng(0).standard_normal(problem.y_shape)
    y = namespaces.round_to(known.y * (1 + 4 * ROUNDOFF[problem.dtype] * noise), problem.dtype)
    bound = 8 * ROUNDOFF[problem.dtype]
    mine = result(problem, place, y)
    assert accuracy.verify(mine, bound, there) is None
    found, expected = accuracy.errors(mine, there), accuracy.errors(y, known)
    assert found.rel_l2 == pytest.approx(expected.rel_l2, rel=1e-6)
    assert found.max_rel == pytest.approx(expected.max_rel, rel=1e-6)
    relative = accuracy.relative_error(mine, there)
    assert relative == pytest.approx(accuracy.relative_error(y, known), rel=1e-6)
    if name != "wide-padding":  # most of which is 0, but for either library's noise
        assert found.model_dump() == pytest.approx(expected.model_dump(), rel=1e-6)


def test_samples_agree_wherever_they_lie(
    place: arrays.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "FEWEST", 500)
    monkeypatch.setattr(sampling, "POINTS", 500)
    problem = Problem((30, 30), (4, 3), batch=2, in_channels=2, out_channels=2, dtype="float64")
    there, known = placed(problem, place)
    mine, numpys = there.sample, known.sample
    assert mine is not None
    assert numpys is not None
    assert there.certificate["error_points"] == 500 < math.prod(problem.y_shape)
    assert mine.even == 250
    index = namespaces.to_numpy(mine.index)
    same = index == numpys.index  # a last bit of |x|*|w| may move a draw
    assert same.mean() > 0.98
    for name in ("high", "low"):
        ours, theirs = (namespaces.to_numpy(getattr(one, name)) for one in (mine, numpys))
        assert np.array_equal(ours[same], theirs[same])
    noise = 1e-14 * np.random.default_rng(0).standard_normal(problem.y_shape)
    found = accuracy.errors(result(problem, place, known.y + noise), there)
    expected = np.linalg.norm(noise) / np.linalg.norm(known.y)
    assert found.rel_l2 == pytest.approx(expected, rel=0.2)


def test_planted_errors_are_found_wherever_the_truth_lies(
    place: arrays.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "CACHED", 1000)  # 9600 outputs in 10 pieces
    problem = Problem((100, 96), (3, 3), mode="same")
    there, known = placed(problem, place)
    good = known.y.astype(np.float32)
    bound = 1e-3
    for home in {place, ("numpy", "cpu")}:  # in its own library, and brought from NumPy

        def verdict(y: np.ndarray, dtype: str = "float32", home: arrays.Place = home) -> str | None:
            return accuracy.verify(namespaces.from_numpy(y, *home, dtype), bound, there)

        assert verdict(good) is None
        for pixel in ((0, 0), (10, 39), (10, 40), (99, 95)):
            y = good.copy()
            y[pixel] += np.float32(0.7 * bound * known.norm)
            told = verdict(y)
            assert told == accuracy.verify(y, bound, known)
            assert told is not None
            assert told.startswith(f"output {pixel} is off by ")
            y[pixel], y[30, 30] = np.nan, -np.inf
            assert verdict(y) == "2 of 9600 outputs are not finite"
        assert verdict(good.T) == "shape (96, 100); expected (100, 96)"
        assert verdict(np.round(good), "int32") == "dtype int32; expected float32"
        assert verdict(-good) == accuracy.verify(-good, bound, known)
        assert "relative L2 error" in (verdict(-good) or "")


@pytest.mark.torch
def test_the_bound_is_that_of_the_size_padded_to_there() -> None:
    """7 · 2ⁿ is a good size for torch, not for SciPy."""
    problem = Problem((50, 50), (7, 7), mode="full", dtype="float64")
    there, known = placed(problem, ("torch", "cpu"))
    sizes = {name: padded_size(problem, name) for name in ("torch", "numpy")}
    assert sizes["torch"] == (56, 56) != sizes["numpy"]
    assert there.bound == bounds.fourier(problem, 56 * 56) != known.bound


@pytest.mark.torch
@pytest.mark.parametrize("home", ["torch", "cupy"])
@pytest.mark.parametrize("library", ["torch", "cupy"])
@pytest.mark.parametrize(("dtype", "most"), [("float32", 2 * 5 * 5), ("float64", 100)])
def test_only_windows_and_samples_leave_the_card(
    dtype: str, most: int, library: str, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = Problem((64, 64), (5, 5), mode="same", in_channels=2, out_channels=3, dtype=dtype)
    given_ = case(problem)
    monkeypatch.setattr(accuracy, "SAMPLED", 100)
    for limit in ("FEWEST", "POINTS"):
        monkeypatch.setattr(sampling, limit, 100)
    known = accuracy.truth(problem, given_.x.astype(float), given_.w.astype(float), 0)
    player = {"torch": "torch", "cupy": "numpy"}
    x, w = (
        namespaces.from_numpy(v, player[library], "cpu", "float64") for v in (given_.x, given_.w)
    )
    y = namespaces.from_numpy(known.y, player[home], "cpu", "float32")
    fetched = play_card(monkeypatch)
    there = accuracy.truth(problem, x, w, 0)
    assert there.place == (library, "cuda:0")
    assert max(fetched) <= most
    del fetched[:]
    assert accuracy.verify(y, 1e-6, there) is None
    assert accuracy.verify(-y, 1e-6, there) is not None
    assert fetched == []
    assert accuracy.errors(y, there).rel_l2 < 1e-6
    assert max(fetched) <= 200


@pytest.mark.gpu
@pytest.mark.parametrize("library", ["torch", "cupy"])
@pytest.mark.parametrize("home", [("torch", "cuda:0"), ("cupy", "cuda:0"), ("torch", "cpu")])
def test_results_of_the_other_library(library: str, home: arrays.Place) -> None:
    for name in (library, home[0]):
        if reason := namespaces.missing(name):
            pytest.skip(reason)
    there, known = placed(PROBLEM, (library, "cuda:0"))
    y = known.y.astype(np.float32)
    with namespaces.on(*home):
        mine = namespaces.from_numpy(y, *home, "float32")
    assert accuracy.verify(mine, 1e-6, there) is None
    assert accuracy.errors(mine, there).model_dump() == pytest.approx(
        accuracy.errors(y, known).model_dump(), rel=1e-6
    )
    with namespaces.on(*home):
        mine[47, 39] = float("nan")
    assert accuracy.verify(mine, 1e-6, there) == "1 of 1920 outputs are not finite"


def test_a_result_so_large_that_its_square_overflows_is_wrong() -> None:
    with np.errstate(over="ignore"):
        told = verify(np.full((48, 40), 1e300))
    assert told == f"relative L2 error inf; allowed: {bounds.summation(PROBLEM):.2e}"


def test_quantiles_of_a_large_image_are_those_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    known = truth()
    y = known.y.astype(np.float32)
    every = accuracy.errors(y, known)
    monkeypatch.setattr(accuracy, "SAMPLED", 500)
    assert accuracy._sampled_ulps(y, known).shape == (640,)
    some = accuracy.errors(y, known)
    assert some.ulp_median == pytest.approx(every.ulp_median, rel=0.2)
