"""What SciPy's contenders say of themselves: direct or not, which method, which blocks."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from scipy import signal

from convkernels import Problem
from convkernels.algorithms.libraries.scipy_oaconvolve import blocks
from convkernels.discovery import find

signaltools = pytest.importorskip("scipy.signal._signaltools")  # private, and only read here


def of_impulse(name: str, problem: Problem) -> np.ndarray:
    """The result for one bright pixel in the image's middle."""
    instance = find(name).prepare(problem, "numpy", "cpu")
    rng = np.random.default_rng(0)
    instance.load(rng.uniform(1, 2, problem.w_shape).astype(problem.dtype))
    image = np.zeros(problem.x_shape, problem.dtype)
    image[tuple(size // 2 for size in problem.image)] = 1
    return np.asarray(instance.run(image))


@pytest.mark.parametrize("n", [3, 31])
def test_ndimage_is_direct_at_every_size(n: int) -> None:
    """A sum has as many nonzeros as the kernel; a transform leaves rounding errors everywhere."""
    problem = Problem((150, 150), (n, n), mode="same")
    assert np.count_nonzero(of_impulse("scipy-ndimage", problem)) == n * n
    assert np.count_nonzero(of_impulse("scipy-fftconvolve", problem)) > n * n


def test_ndimage_sums_in_float64() -> None:
    """A float32 sum would lose the 1 beside 2³⁰."""
    instance = find("scipy-ndimage").prepare(Problem((1, 3), (1, 3), mode="valid"), "numpy", "cpu")
    instance.load(np.ones((1, 3), np.float32))
    assert instance.run(np.array([[2.0**30, 1, -(2.0**30)]], np.float32)) == 1


def test_oaconvolve_works_in_blocks() -> None:
    problem = Problem((2000, 300), (9, 7))
    instance = find("scipy-oaconvolve").prepare(problem, "numpy", "cpu")
    told = instance.provenance()
    assert told["blocks"][0] > told["blocks"][1] > 1
    assert all(length < size for length, size in zip(told["block"], problem.image, strict=True))
    whole = find("scipy-oaconvolve").prepare(Problem((40, 50), (21, 25)), "numpy", "cpu")
    assert whole.provenance() == {"block": [60, 74], "blocks": [1, 1]}


def test_blocks_are_scipy_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own lengths, and the blocks that it hands to the transforms."""
    seen: list[tuple[int, ...]] = []
    transforms = signaltools._freq_domain_conv

    def spy(xp: Any, in1: np.ndarray, *rest: Any, **options: Any) -> np.ndarray:
        seen.append(in1.shape)
        return np.asarray(transforms(xp, in1, *rest, **options))

    monkeypatch.setattr(signaltools, "_freq_domain_conv", spy)
    rng = random.Random(0)
    for _ in range(200):
        image, kernel = rng.randint(20, 900), rng.randint(2, 9)
        length, number = blocks(image, kernel)
        assert length == signaltools._calc_oa_lens(image, kernel)[0]
        if number == 1:
            continue
        seen.clear()
        signal.oaconvolve(np.ones((image, 40)), np.ones((kernel, 39)))
        assert seen[0][0] == number, (image, kernel)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("op", ["convolution", "correlation"])
def test_convolve_tells_the_method_that_it_takes(
    op: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fftconvolve = signaltools.fftconvolve

    def spy(*args: Any, **options: Any) -> np.ndarray:
        calls.append("fft")
        return np.asarray(fftconvolve(*args, **options))

    monkeypatch.setattr(signaltools, "fftconvolve", spy)
    methods = set()
    for n in (1, 2, 3, 8, 20):
        problem = Problem((64, 64), (n, n), op=op, mode=mode)
        instance = find("scipy-convolve").prepare(problem, "numpy", "cpu")
        instance.load(np.ones((n, n), np.float32))
        calls.clear()
        instance.run(np.ones((64, 64), np.float32))
        method = instance.provenance()["method"]
        assert (calls == ["fft"]) == (method == "fft"), (n, method)
        methods.add(method)
    assert methods == {"direct", "fft"}
