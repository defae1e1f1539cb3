"""What convolution is: its algebra, the convolution theorem, and im2col's trace identity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from convkernels import convolve
from convkernels.problem import MODES
from support.contenders import TEXTBOOK

sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))
small = st.tuples(st.integers(1, 5), st.integers(1, 5))
seeds = st.integers(0, 2**32 - 1)
SYMMETRIC = np.array([[1.0, 4, 7, 4, 1], [4, 16, 26, 16, 4], [7, 26, 41, 26, 7]] + [[0] * 5] * 2)
SYMMETRIC[3], SYMMETRIC[4] = SYMMETRIC[1], SYMMETRIC[0]


def normal(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def assert_same(y: np.ndarray, expected: np.ndarray, scale: float = 1.0) -> None:
    """Equal to float64 rounding, relative to the largest of what is expected."""
    assert y.shape == expected.shape
    largest = max(scale, float(np.abs(expected).max()))
    assert float(np.abs(y - expected).max()) <= 1e-13 * largest


@pytest.fixture(params=TEXTBOOK)
def algorithm(request: pytest.FixtureRequest) -> str:
    return request.param


@given(sizes, small, seeds)
@settings(max_examples=40)
@pytest.mark.parametrize("algorithm", TEXTBOOK)
def test_convolution_commutes(algorithm: str, m: tuple, n: tuple, seed: int) -> None:
    x, w = normal(seed, m, n)
    assert_same(convolve(x, w, algorithm=algorithm), convolve(w, x, algorithm=algorithm))


@given(sizes, small, small, seeds)
@settings(max_examples=40)
@pytest.mark.parametrize("algorithm", TEXTBOOK)
def test_convolution_associates(algorithm: str, m: tuple, n: tuple, k: tuple, seed: int) -> None:
    x, v, w = normal(seed, m, n, k)
    one_by_one = convolve(convolve(x, v, algorithm=algorithm), w, algorithm=algorithm)
    kernels_first = convolve(x, convolve(v, w, algorithm=algorithm), algorithm=algorithm)
    assert_same(one_by_one, kernels_first, scale=10.0)


def test_correlation_neither_commutes_nor_associates(algorithm: str) -> None:
    def correlate(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        return convolve(x, w, op="correlation", algorithm=algorithm)

    x, v, w = normal(0, (8, 9), (3, 4), (2, 3))
    assert np.abs(correlate(x, v) - correlate(v, x)).max() > 0.1
    assert_same(correlate(x, v), correlate(v, x)[::-1, ::-1])  # what holds in its place
    one_by_one = correlate(correlate(x, v), w)
    assert np.abs(one_by_one - correlate(x, correlate(v, w))).max() > 0.1
    assert_same(one_by_one, correlate(x, convolve(v, w)), scale=10.0)


@given(st.sampled_from(MODES), small, seeds)
@settings(max_examples=40)
@pytest.mark.parametrize("algorithm", TEXTBOOK)
def test_convolution_is_correlation_with_the_kernel_flipped(
    algorithm: str, mode: str, n: tuple, seed: int
) -> None:
    n = tuple(size | 1 for size in n) if mode == "same" else n  # an even centre moves: see below
    x, w = normal(seed, (10, 9), n)
    y = convolve(x, w, mode=mode, algorithm=algorithm)
    flipped = w[::-1, ::-1]
    assert_same(y, convolve(x, flipped, op="correlation", mode=mode, algorithm=algorithm))


@pytest.mark.parametrize("mode", MODES)
def test_a_symmetric_kernel_makes_them_equal(algorithm: str, mode: str) -> None:
    (x,) = normal(0, (12, 11))
    options = {"mode": mode, "algorithm": algorithm}
    y = convolve(x, SYMMETRIC, **options)
    assert_same(y, convolve(x, SYMMETRIC, op="correlation", **options), scale=273.0)
    skew = SYMMETRIC.copy()
    skew[0, 0] += 100.0
    y = convolve(x, skew, **options)
    assert np.abs(y - convolve(x, skew, op="correlation", **options)).max() > 1.0


@pytest.mark.parametrize("kernel", [(2, 2), (4, 3), (3, 6)])
def test_same_of_an_even_kernel_is_each_of_scipys(algorithm: str, kernel: tuple) -> None:
    """Convolution centres an even kernel on one side, correlation on the other."""
    x, w = normal(0, (9, 8), kernel)
    options = {"mode": "same", "algorithm": algorithm}
    convolved = convolve(x, w, op="convolution", **options)
    correlated = convolve(x, w[::-1, ::-1], op="correlation", **options)
    assert_same(convolved, signal.convolve2d(x, w, mode="same"))
    assert_same(correlated, signal.correlate2d(x, w[::-1, ::-1], mode="same"))
    assert np.abs(convolved - correlated).max() > 0.1


@given(sizes, st.data(), seeds)
@settings(max_examples=60)
@pytest.mark.parametrize("algorithm", TEXTBOOK)
def test_the_convolution_theorem(algorithm: str, m: tuple, data: st.DataObject, seed: int) -> None:
    """On a circular boundary, from the origin: F(x * w) = F(x) · F(w), with nothing cropped."""
    n = tuple(data.draw(st.integers(1, size)) for size in m)
    x, w = normal(seed, m, n)
    product = np.fft.fft2(x) * np.fft.fft2(w, m)
    y = convolve(x, w, boundary="circular", mode="full", algorithm=algorithm)
    assert_same(y, np.fft.ifft2(product).real)
    product = np.fft.fft2(x) * np.fft.fft2(w, m).conj()
    y = convolve(x, w, op="correlation", boundary="circular", mode="full", algorithm=algorithm)
    assert_same(y, np.fft.ifft2(product).real)


def test_each_output_is_the_trace_of_patch_and_kernel(algorithm: str) -> None:
    """y[i, j] = ⟨A, W⟩ = tr(Aᵀ W): the Frobenius inner product that im2col takes as one GEMM."""
    x, w = normal(0, (9, 11), (4, 3))
    y = convolve(x, w, op="correlation", mode="valid", algorithm=algorithm)
    for i, j in np.ndindex(*y.shape):
        patch = x[i : i + 4, j : j + 3]
        assert y[i, j] == pytest.approx(np.trace(patch.T @ w), abs=1e-13)
        assert y[i, j] == pytest.approx(np.vdot(patch, w), abs=1e-13)
    patches = np.lib.stride_tricks.sliding_window_view(x, (4, 3)).reshape(-1, 12)
    assert_same(y, (patches @ w.ravel()).reshape(y.shape))


@given(st.sampled_from(MODES), seeds, st.floats(-4, 4))
@settings(max_examples=30)
@pytest.mark.parametrize("algorithm", TEXTBOOK)
def test_linear_in_both(algorithm: str, mode: str, seed: int, factor: float) -> None:
    x, z, w, v = normal(seed, (7, 8), (7, 8), (3, 2), (3, 2))
    options = {"mode": mode, "algorithm": algorithm}
    y = convolve(x, w, **options)
    assert_same(
        convolve(x + factor * z, w, **options), y + factor * convolve(z, w, **options), scale=10.0
    )
    assert_same(
        convolve(x, w + factor * v, **options), y + factor * convolve(x, v, **options), scale=10.0
    )


@given(st.tuples(st.integers(0, 7), st.integers(0, 7)), st.sampled_from(["full", "same"]), seeds)
@settings(max_examples=30)
@pytest.mark.parametrize("algorithm", TEXTBOOK)
def test_shifts_pass_through(algorithm: str, shift: tuple, mode: str, seed: int) -> None:
    x, w = normal(seed, (8, 9), (3, 4))
    options = {"boundary": "circular", "mode": mode, "algorithm": algorithm}
    moved = convolve(np.roll(x, shift, (0, 1)), w, **options)
    assert_same(moved, np.roll(convolve(x, w, **options), shift, (0, 1)))


def test_an_impulse_shows_the_kernel(algorithm: str) -> None:
    """Convolution draws the kernel as it is, correlation draws it turned by half a circle."""
    (w,) = normal(0, (3, 4))
    impulse = np.zeros((6, 7))
    impulse[2, 3] = 1.0
    expected = np.zeros((8, 10))
    expected[2:5, 3:7] = w
    assert_same(convolve(impulse, w, algorithm=algorithm), expected)
    expected[2:5, 3:7] = w[::-1, ::-1]
    assert_same(convolve(impulse, w, op="correlation", algorithm=algorithm), expected)
