"""Padded sizes of the FFT: what the mode needs, no more, and good for the library."""

from __future__ import annotations

import random

import numpy as np
import pytest

from convkernels import Problem, namespaces
from convkernels.algorithms.fft import fft
from convkernels.algorithms.fft._libraries import FACTORS, good_size, smooth_numbers
from convkernels.algorithms.fft.fft import padded_size
from convkernels.discovery import find
from support.problems import case, random_problem
from support.reference import relative_error


def smooth(number: int, primes: tuple[int, ...]) -> bool:
    for prime in primes:
        while number % prime == 0:
            number //= prime
    return number == 1


@pytest.mark.parametrize("namespace", ["numpy", "torch", "cupy", "array_api_strict"])
def test_good_size_is_the_smallest(namespace: str) -> None:
    primes = FACTORS.get(namespace, (2, 3, 5))
    for even in (False, True):
        for least in (*range(1, 300), 1021, 4097, 5401):
            expected = least
            while not smooth(expected, primes) or (even and expected % 2):
                expected += 1
            assert good_size(least, namespace, even=even) == expected


def test_smooth_numbers_ascend() -> None:
    assert smooth_numbers((2, 3, 5), 16) == [1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 15, 16]


@pytest.mark.parametrize(
    ("mode", "size"), [("full", 240 + 17 - 1), ("same", 240 + 17 // 2), ("valid", 240)]
)
@pytest.mark.parametrize("op", ["convolution", "correlation"])
def test_the_mode_decides(mode: str, size: int, op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fft, "good_size", lambda least, namespace, even: least)
    assert padded_size(Problem((240, 240), (17, 17), mode=mode, op=op), "numpy") == (size, size)


@pytest.mark.parametrize(("side", "size"), [(1, 1), (96, 96), (143, 143), (206, 216), (255, 270)])
def test_a_circular_image_is_transformed_as_it_is_where_that_is_good(side: int, size: int) -> None:
    problem = Problem((side, 64), (min(9, side), 9), mode="same", boundary="circular")
    assert padded_size(problem, "numpy") == (size, 64 if side in (1, 96, 143) else 72)


@pytest.mark.parametrize("name", ["fft", "fft-mkl", "fft-ducc", "fft-fftw"])
@pytest.mark.parametrize("image", [(255, 64), (64, 206), (103, 89)])
@pytest.mark.parametrize("op", ["convolution", "correlation"])
def test_circular_images_with_large_prime_factors(
    name: str, image: tuple[int, int], op: str
) -> None:
    """MKL's transforms of such lengths lose 30 to 270 roundoffs: a check found this at 255."""
    algorithm = find(name)
    for namespace in algorithm.namespaces:
        if algorithm.missing(namespace) is None and namespace in ("numpy", "torch"):
            problem = Problem(
                image, (4, 7), op=op, mode="same", boundary="circular", dtype="float64"
            )
            given = case(problem)
            instance = algorithm.prepare(problem, namespace, "cpu")
            x, w = (
                namespaces.from_numpy(array, namespace, "cpu", "float64")
                for array in (given.x, given.w)
            )
            instance.load(w)
            y = namespaces.to_numpy(instance.run(x))
            bound = algorithm.implementation.error_bound(problem)
            assert relative_error(y, given.expected, given.x, given.w) <= bound, namespace


def test_the_least_size_is_enough_and_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no rounding up the answer is still right; with one less it is not."""
    algorithm = find("fft")

    def error(problem: Problem, less: int) -> float:
        monkeypatch.setattr(fft, "good_size", lambda least, namespace, even: least - less)
        case_ = case(problem)
        instance = algorithm.prepare(problem, "numpy", "cpu")
        instance.load(case_.w)
        return relative_error(instance.run(case_.x), case_.expected, case_.x, case_.w)

    for seed in range(200):
        problem = random_problem(random.Random(seed))
        if problem.dtype == "float64":
            assert error(problem, 0) < 1e-14, problem
    for op in ("convolution", "correlation"):
        problem = Problem((9, 8), (5, 4), mode="same", op=op, dtype="float64")
        assert error(problem, 0) < 1e-14
        assert error(problem, 1) > 1e-3


def test_plain_products_of_channels_make_no_extra_transforms() -> None:
    """B·C + B·K transforms a run, whatever the number of channel pairs."""
    problem = Problem((8, 8), (3, 3), batch=2, in_channels=3, out_channels=4)
    instance = find("fft").prepare(problem, "numpy", "cpu")
    planes = {"forward": 0, "inverse": 0}

    class Counting:
        def __init__(self, library: object) -> None:
            self.library = library

        def __getattr__(self, name: str) -> object:
            def transform(array: np.ndarray) -> np.ndarray:
                planes[name] += int(np.prod(array.shape[:-2]))
                return getattr(self.library, name)(array)

            return transform

    instance.load(np.ones(problem.w_shape, np.float32))
    instance.library = Counting(instance.library)  # type: ignore[attr-defined]
    instance.run(np.ones(problem.x_shape, np.float32))
    assert planes == {"forward": 2 * 3, "inverse": 2 * 4}
