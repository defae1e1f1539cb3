"""Two real images as one complex one: pairs of the batch, or the halves of each image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from convkernels import Problem
from convkernels.algorithms.fft.fft import FFT, padded_size
from convkernels.algorithms.fft.fft_packed import ComplexFFT, PackedFFT, packed
from convkernels.discovery import find
from support.problems import case
from support.reference import relative_error

CHANNELS = {"in_channels": 3, "out_channels": 4, "mode": "same"}


def prepared(problem: Problem, **filters: Any) -> Any:
    instance = find("fft-packed").prepare(problem, "numpy", "cpu")
    instance.load(np.ones(problem.w_shape, problem.dtype))
    return instance


@pytest.mark.parametrize(("batch", "complex_images"), [(1, 1), (2, 1), (3, 3), (4, 2)])
def test_half_as_many_transforms_or_half_as_many_rows(batch: int, complex_images: int) -> None:
    problem = Problem((40, 24), (5, 3), batch=batch, **CHANNELS)
    instance = prepared(problem)
    planes = []

    class Counting:
        def __init__(self, library: Any) -> None:
            self.library, self.dtype = library, library.dtype

        def forward(self, array: np.ndarray) -> np.ndarray:
            assert array.dtype == np.complex64
            planes.append(math.prod(array.shape[:-2]))
            return self.library.forward(array)  # type: ignore[no-any-return]

        def inverse(self, array: np.ndarray) -> np.ndarray:
            planes.append(math.prod(array.shape[:-2]))
            return self.library.inverse(array)  # type: ignore[no-any-return]

    instance.fft.library = Counting(instance.fft.library)
    instance.run(np.ones(problem.x_shape, "float32"))
    assert planes == [3 * complex_images, 4 * complex_images]
    rows = 20 + 5 - 1 if batch % 2 else 40  # half of the outputs, and what the kernel reaches
    assert packed(problem).image == (rows, 24)
    assert instance.provenance()["padded"][0] == (24 if batch % 2 else 45)


@pytest.mark.parametrize("height", [1, 2, 7, 8])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("boundary", ["zero", "circular"])
def test_halves_of_odd_images_and_strides(height: int, stride: int, boundary: str) -> None:
    problem = Problem(
        (height, 9), (min(3, height), 4), mode="same", stride=stride, boundary=boundary
    )
    given = case(problem)
    instance = find("fft-packed").prepare(problem, "numpy", "cpu")
    instance.load(given.w)
    error = relative_error(instance.run(given.x), given.expected, given.x, given.w)
    assert error <= PackedFFT.error_bound(problem)


def test_a_pair_shares_rounding_errors_and_nan() -> None:
    """As the documentation says: relative to the brighter of the two, and not of other pairs."""
    problem = Problem((64, 64), (7, 7), batch=4, mode="same")
    rng = np.random.default_rng(0)
    x = rng.standard_normal(problem.x_shape).astype("float32")
    x[0] *= 1e6
    w = rng.standard_normal(problem.w_shape).astype("float32")

    def errors(name: str, x: np.ndarray) -> list[float]:
        instance = find(name).prepare(problem, "numpy", "cpu")
        exact = find("fft").prepare(
            Problem((64, 64), (7, 7), batch=4, mode="same", dtype="float64"), "numpy", "cpu"
        )
        instance.load(w)
        exact.load(w.astype("float64"))
        y, expected = instance.run(x), exact.run(x.astype("float64"))
        return [
            float(np.linalg.norm(a - b) / np.linalg.norm(b))
            for a, b in zip(y, expected, strict=True)
        ]

    bound = PackedFFT.error_bound(problem)
    first, second, third, fourth = errors("fft-packed", x)  # pairs: 0 and 2, 1 and 3
    assert max(first, second, fourth) < bound
    assert third > 100 * bound
    assert max(errors("fft", x)) < bound
    x[0, 5, 5] = np.nan
    instance = find("fft-packed").prepare(problem, "numpy", "cpu")
    instance.load(w)
    spoiled = np.isnan(instance.run(x)).any(axis=(1, 2))
    assert spoiled.tolist() == [True, False, True, False]


def test_the_cost_is_that_of_half_as_many_complex_transforms() -> None:
    """The same FLOP as fft's real ones at one size, and more passes over memory."""
    problem = Problem((243, 240), (5, 5), batch=2, mode="valid")
    size = padded_size(problem, "numpy")
    assert size == padded_size(packed(problem), "numpy", ComplexFFT.padding) == (243, 240)
    ours, real = PackedFFT.cost(problem), FFT.cost(problem)
    assert ours.flops == pytest.approx(real.flops, rel=0.05)
    assert real.bytes < ours.bytes < 1.5 * real.bytes


def test_gradients_pass_through_pairs_and_halves() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    for batch in (1, 2):
        problem = Problem((9, 8), (3, 2), batch=batch, dtype="float64", **CHANNELS)
        grads = []
        for name in ("direct", "fft-packed"):
            rng = np.random.default_rng(0)
            x, w = (
                torch.from_numpy(rng.standard_normal(shape)).requires_grad_()
                for shape in (problem.x_shape, problem.w_shape)
            )
            instance = find(name).prepare(problem, "torch", "cpu")
            instance.load(w)
            (instance.run(x) ** 2).sum().backward()
            grads.append((x.grad, w.grad))
        for found, right in zip(grads[1], grads[0], strict=True):
            torch.testing.assert_close(found, right, rtol=1e-10, atol=1e-10)
