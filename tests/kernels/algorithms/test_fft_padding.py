"""Three paddings of one algorithm, and its transforms in float64."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convkernels import Problem, UnsupportedProblem, namespaces
from convkernels.algorithms.fft._libraries import largest_prime, levels, prime_factors
from convkernels.algorithms.fft.fft import FFT, least_size, padded_size
from convkernels.algorithms.fft.fft_exact import ExactFFT
from convkernels.algorithms.fft.fft_float64 import Float64FFT
from convkernels.algorithms.fft.fft_power_of_two import PowerOfTwoFFT
from convkernels.discovery import find
from convkernels.problem import ROUNDOFF
from support.problems import case, problems
from support.reference import relative_error

PADDINGS = {"fft": FFT, "fft-exact": ExactFFT, "fft-power-of-two": PowerOfTwoFFT}


@pytest.mark.parametrize(
    ("mode", "sizes"),
    [
        ("full", {"fft": 270, "fft-exact": 262, "fft-power-of-two": 512}),
        ("same", {"fft": 256, "fft-exact": 251, "fft-power-of-two": 256}),
        ("valid", {"fft": 240, "fft-exact": 240, "fft-power-of-two": 256}),
    ],
)
def test_sizes(mode: str, sizes: dict[str, int]) -> None:
    problem = Problem((240, 240), (23, 23), mode=mode)
    for name, size in sizes.items():
        instance = find(name).prepare(problem, "numpy", "cpu")
        assert instance.provenance() == {"padded": [size, size]}


@given(problems)
def test_each_is_enough_and_the_exact_one_no_more(problem: Problem) -> None:
    least = least_size(problem, ExactFFT.padding)
    assert padded_size(problem, "numpy", ExactFFT.padding) == least
    if problem.boundary == "circular":
        assert least == problem.image
    powers = padded_size(problem, "torch", PowerOfTwoFFT.padding)
    assert all(side.bit_count() == 1 for side in powers)
    assert all(
        wanted <= side < 2 * max(2, wanted)
        for side, wanted in zip(powers, least_size(problem, PowerOfTwoFFT.padding), strict=True)
    )


def test_circular_images_are_whole_where_the_padding_takes_their_sides() -> None:
    def sizes(side: int) -> list[int]:
        problem = Problem((side, side), (5, 5), mode="same", boundary="circular")
        return [padded_size(problem, "numpy", kind.padding)[0] for kind in PADDINGS.values()]

    assert sizes(64) == [64, 64, 64]
    assert sizes(96) == [96, 96, 128]  # 100 with what it wraps round
    assert sizes(62) == [72, 62, 128]  # 31 · 2, and 66


@pytest.mark.parametrize("name", PADDINGS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_prime_lengths_keep_the_bound(name: str, dtype: str) -> None:
    """17 and 53 are summed term by term by MKL; Bluestein's algorithm does the others."""
    for rows, columns in ((17, 53), (59, 34), (103, 89), (127, 255), (251, 16), (12, 509)):
        problem = Problem((rows, columns), (4, 7), mode="valid", dtype=dtype)
        given = case(problem)
        for namespace in ("numpy", "torch"):
            found = find(name)
            if found.missing(namespace):
                continue
            instance = found.prepare(problem, namespace, "cpu")
            x, w = (
                namespaces.from_numpy(array, namespace, "cpu", dtype)
                for array in (given.x, given.w)
            )
            instance.load(w)
            y = namespaces.to_numpy(instance.run(x))
            error = relative_error(y, given.expected, given.x, given.w)
            assert error <= instance.error_bound(problem), (namespace, problem)
            # What was seen here: far within what the exact size's bound allows other machines.
            assert error <= 20 * ROUNDOFF[dtype], (namespace, problem)


def test_prime_factors() -> None:
    assert [prime_factors(number) for number in (1, 2, 12, 97, 1024, 1031 * 17)] == [
        [],
        [2],
        [2, 2, 3],
        [97],
        [2] * 10,
        [17, 1031],
    ]
    assert [largest_prime(number) for number in (1, 64, 77, 1031)] == [1, 2, 11, 1031]


def test_work_is_logarithmic_at_good_sizes_and_at_worst_bluesteins() -> None:
    for size in (1, 2, 64, 270, 1080, 2160, 4096):
        assert levels(size) == pytest.approx(math.log2(size), rel=0.08)
    for size in (251, 1031, 2053, 4099):
        assert 4 * math.log2(size) < levels(size) < 9 * math.log2(size)
    assert levels(34) == (2 + 17) / 2


@given(st.integers(2, 700), st.integers(1, 33))
def test_no_padding_is_promised_faster_than_fft_s_but_at_good_sizes(side: int, n: int) -> None:
    """Or ``auto`` would take slow transforms for their fewer points."""
    problem = Problem((side, side), (n, n), mode="same")
    usual = FFT.cost(problem)
    assert PowerOfTwoFFT.cost(problem).bytes >= 0.97 * usual.bytes  # 128 beside 125
    exact = ExactFFT.cost(problem)
    if exact.bytes < usual.bytes:
        assert largest_prime(padded_size(problem, "numpy", ExactFFT.padding)[0]) <= 7


# ---- in float64 ------------------------------------------------------------------------------


@pytest.mark.parametrize("namespace", ["numpy", "torch"])
def test_the_result_is_the_exact_one_rounded(namespace: str) -> None:
    found = find("fft-float64")
    if reason := found.missing(namespace):
        pytest.skip(reason)
    problem = Problem((300, 290), (31, 31), mode="same")
    given = case(problem)
    instance = found.prepare(problem, namespace, "cpu")
    x, w = (
        namespaces.from_numpy(array, namespace, "cpu", "float32") for array in (given.x, given.w)
    )
    instance.load(w)
    y = namespaces.to_numpy(instance.run(x))
    assert y.dtype == np.float32
    assert (y == given.expected.astype("float32")).mean() > 0.999
    assert relative_error(y, given.expected, given.x, given.w) < Float64FFT.error_bound(problem)
    assert Float64FFT.error_bound(problem) < 1.01 * ROUNDOFF["float32"]
    assert FFT.error_bound(problem) > 20 * ROUNDOFF["float32"]


def test_float64_problems_are_refused_as_the_same() -> None:
    problem = Problem((8, 8), (3, 3), dtype="float64")
    with pytest.raises(UnsupportedProblem, match="transformed in float64 by fft: the same"):
        find("fft-float64").prepare(problem, "numpy", "cpu")
    narrow = dataclasses.replace(problem, dtype="float32")
    assert Float64FFT.cost(narrow) == FFT.cost(problem)
