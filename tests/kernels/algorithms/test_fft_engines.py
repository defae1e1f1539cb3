"""``fft`` by other engines: the same algorithm, in arrays that are kept, with threads as given.

That results are right, and the caller's own, is ``test_algorithms``'s.
"""

from __future__ import annotations

import ctypes
import dataclasses
from typing import Any

import numpy as np
import pytest

from convkernels import Problem
from convkernels.algorithms.fft import fft_fftw
from convkernels.algorithms.fft.fft import FFT, least_size, padded_size
from convkernels.discovery import find
from convkernels.toolbox import threads
from support.problems import FIXED, case
from support.reference import relative_error

ENGINES = ("fft-ducc", "fft-fftw", "fft-mkl")
CHANNELS = Problem((8, 8), (3, 3), batch=2, in_channels=3, out_channels=4)


def prepared(name: str, problem: Problem) -> Any:
    algorithm = find(name)
    if reason := algorithm.missing("numpy"):
        pytest.skip(reason)
    return algorithm.prepare(problem, "numpy", "cpu")


@pytest.fixture(params=ENGINES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_only_the_engine_differs_from_fft(name: str) -> None:
    """Its transforms, and no others, at its own size; its cost is fft's but for what it keeps."""
    algorithm = find(name)
    assert issubclass(algorithm.implementation, FFT)
    cost = algorithm.implementation.cost(CHANNELS)
    assert dataclasses.replace(FFT.cost(CHANNELS), workspace=cost.workspace) == cost
    instance = prepared(name, CHANNELS)
    counts = {"r2c": 0, "c2r": 0}

    def counted(direction: str) -> Any:
        transform = getattr(instance.library, direction)

        def count(source: np.ndarray, target: np.ndarray) -> None:
            counts[direction] += int(np.prod(source.shape[:-2]))
            transform(source, target)

        return count

    for direction in counts:
        setattr(instance.library, direction, counted(direction))
    instance.load(np.ones(CHANNELS.w_shape, np.float32))
    assert counts == {"r2c": 3 * 4, "c2r": 0}
    instance.run(np.ones(CHANNELS.x_shape, np.float32))
    assert counts == {"r2c": 3 * 4 + 2 * 3, "c2r": 2 * 4}


def test_arrays_are_kept_between_runs(name: str) -> None:
    instance = prepared(name, CHANNELS)
    instance.load(np.ones(CHANNELS.w_shape, np.float32))
    image, spectrum = instance.library.pair((2, 1, 3))
    for _ in range(2):
        instance.run(np.ones(CHANNELS.x_shape, np.float32))
    assert instance.library.pair((2, 1, 3))[0] is image
    assert instance.library.pair((2, 1, 3))[1] is spectrum


def test_threads_are_those_given(name: str) -> None:
    with threads.limited(3):
        instance = prepared(name, Problem((200, 200), (3, 3), mode="valid"))
    assert instance.provenance()["threads"] == 3


def test_sizes_are_the_engine_s() -> None:
    problem = Problem((337, 337), (7, 7), mode="valid")
    assert least_size(problem) == (337, 337)
    assert padded_size(problem, "fftw") == padded_size(problem, "mkl") == (343, 350)
    # ducc0: 11 as well in the complex transforms, not 7 in the real ones
    assert prepared("fft-ducc", problem).size == (343, 360)
    circular = Problem((320, 312), (7, 7), boundary="circular")
    assert prepared("fft-ducc", circular).size == (320, 312)
    circular = Problem((337, 331), (7, 7), boundary="circular")  # grown to (343, 337)
    assert prepared("fft-ducc", circular).size == (343, 360)


def test_fftw_times_its_plans_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = FIXED["larger"]
    assert "FFTW_MEASURE" in prepared("fft-fftw", problem).provenance()["engine"]
    monkeypatch.setattr(fft_fftw, "MEASURED", 0)
    instance, larger = prepared("fft-fftw", problem), case(problem)
    assert "FFTW_ESTIMATE" in instance.provenance()["engine"]
    instance.load(larger.w)
    error = relative_error(instance.run(larger.x), larger.expected, larger.x, larger.w)
    assert error <= instance.error_bound(problem)


def test_mkl_leaves_numpy_and_the_threads_of_blas_alone() -> None:
    transforms = np.fft.rfft2, np.fft.irfft2, np.fft.fft
    problem = Problem((64, 64), (3, 3))
    prepared("fft-mkl", problem)
    import mkl_fft

    asked = ctypes.CDLL(mkl_fft._pydfti.__file__).MKL_Get_Max_Threads
    before = asked()
    with threads.limited(1):
        prepared("fft-mkl", problem)
    assert asked() == before
    assert (np.fft.rfft2, np.fft.irfft2, np.fft.fft) == transforms
    assert not mkl_fft.is_patched()
