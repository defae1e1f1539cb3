"""The float64 reference, and the exact sums that certify it."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from convcross.measure.accuracy import arrays, reference, truth
from convcross.measure.accuracy.arrays import Place
from convkernels import Problem, namespaces
from convkernels.problem import MODES, OPS
from support.places import IDS, PLACES, admit
from support.problems import FIXED, case, problems


@pytest.fixture(params=PLACES, ids=IDS)
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Place:
    admit(request.param, monkeypatch)
    there: Place = request.param
    return there


@settings(max_examples=60)
@given(problems)
def test_two_references_agree(problem: Problem) -> None:
    """By FFT over the whole image, by SciPy's direct sums, and by exact sums where sampled."""
    problem = dataclasses.replace(problem, dtype="float64")
    given_ = case(problem)
    y, bound = reference.whole_image(problem, given_.x, given_.w)
    scipy = reference.by_scipy(problem, given_.x, given_.w)
    norm = np.linalg.norm(given_.x) * np.linalg.norm(given_.w)
    assert y.shape == scipy.shape == problem.y_shape
    assert np.linalg.norm(y - scipy) <= 4 * bound * max(norm, np.linalg.norm(scipy))
    scale = reference.magnitudes(problem, given_.x, given_.w)
    found = reference.certify(problem, given_.x, given_.w, scipy, scale, np.random.default_rng(0))
    assert found["worst"] < 1e-13


def by_fractions(problem: Problem, x: np.ndarray, w: np.ndarray) -> Fraction:
    """Output (0, 0) of a one-channel valid correlation, in rational arithmetic."""
    rows, columns = problem.kernel
    return sum(
        (
            Fraction(float(x[row, column])) * Fraction(float(w[row, column]))
            for row in range(rows)
            for column in range(columns)
        ),
        Fraction(0),
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", range(5))
def test_exact_is_correctly_rounded(dtype: str, seed: int) -> None:
    problem = Problem((5, 6), (5, 6), op="correlation", mode="valid", dtype=dtype)
    random = np.random.default_rng(seed)
    x, w = (random.standard_normal((5, 6)).astype(dtype).astype(float) for _ in range(2))
    x *= 10.0 ** random.integers(-12, 12, x.shape)  # sums that lose digits in any order
    assert reference.exact(problem, x, w, (0, 0, 0, 0)) == float(by_fractions(problem, x, w))


def test_exact_survives_cancellation() -> None:
    """1 + 2⁻⁶⁰ against 1: float64 products and plain sums would give 0."""
    small = 2.0**-30
    x = np.array([[1 + small, -1.0, -2 * small]])
    w = np.array([[1 + small, 1.0, 1.0]])
    problem = Problem((1, 3), (1, 3), op="correlation", mode="valid", dtype="float64")
    assert float((x * w).sum()) == 0.0
    assert reference.exact(problem, x, w, (0, 0, 0, 0)) == small**2


@pytest.mark.parametrize(
    "name", [name for name, one in FIXED.items() if math.prod(one.y_shape) <= 1000]
)
def test_exact_at_every_output(name: str) -> None:
    """It reads the elements that every convention of the problem says."""
    problem = dataclasses.replace(FIXED[name], dtype="float64")
    given_ = case(problem)
    full = given_.expected.reshape(problem.batch, problem.out_channels, *problem.output)
    for output in np.ndindex(*full.shape):
        found = reference.exact(problem, given_.x, given_.w, output)
        assert found == pytest.approx(full[output], abs=1e-12)


@pytest.mark.parametrize("name", ["circular-same", "stride-dilation", "groups", "wide-padding"])
def test_exact_reads_the_same_wherever_the_operands_lie(name: str, place: Place) -> None:
    problem = dataclasses.replace(FIXED[name], dtype="float64")
    given_ = case(problem)
    with namespaces.on(*place):
        x, w = (namespaces.from_numpy(v, *place, "float64") for v in (given_.x, given_.w))
        for output in reference.sampled_outputs(problem, 20, np.random.default_rng(0)):
            known = reference.exact(problem, given_.x, given_.w, output)
            assert reference.exact(problem, x, w, output) == known


@pytest.mark.parametrize(
    "name", [name for name, one in FIXED.items() if math.prod(one.y_shape) <= 1000]
)
def test_compensated_sums_are_exact_to_the_last_bit(name: str, place: Place) -> None:
    problem = dataclasses.replace(FIXED[name], dtype="float64")
    given_ = case(problem)
    full = (problem.batch, problem.out_channels, *problem.output)
    outputs = np.array(list(np.ndindex(*full)))
    with namespaces.on(*place):
        x, w = (namespaces.from_numpy(v, *place, "float64") for v in (given_.x, given_.w))
        high, low = (namespaces.to_numpy(v) for v in reference.compensated(problem, x, w, outputs))
    exact = [reference.exact(problem, given_.x, given_.w, tuple(output)) for output in outputs]
    assert np.array_equal(high, exact)
    assert (np.abs(low) <= np.spacing(np.abs(high)) / 2).all()


@pytest.mark.parametrize("shape", [(1, 1), (5, 6), (13, 3)])
def test_compensated_sums_have_twice_the_digits(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One output at a time, of terms that lose digits in any order."""
    monkeypatch.setattr(arrays, "CACHED", 1)
    problem = Problem(shape, shape, op="correlation", mode="valid", batch=3, dtype="float64")
    random = np.random.default_rng(0)
    x = random.standard_normal(problem.x_shape) * 10.0 ** random.integers(-6, 6, problem.x_shape)
    w = random.standard_normal(shape)
    outputs = np.array([(item, 0, 0, 0) for item in range(3)])
    high, low = reference.compensated(problem, x, w, outputs)
    for item in range(3):
        true = by_fractions(problem, x[item], w)
        size = Fraction(float(np.sum(np.abs(x[item] * w))))
        assert abs(Fraction(high[item]) + Fraction(low[item]) - true) <= size / 2**98


def test_sampled_outputs_hold_corners_edges_and_tile_borders() -> None:
    problem = Problem((300, 70), (3, 3), mode="same", batch=2, in_channels=2, out_channels=3)
    points = reference.sampled_outputs(problem, 16, np.random.default_rng(0))
    assert len(points) == 16
    for item, out, row, column in points:
        assert 0 <= item < 2
        assert 0 <= out < 3
        assert 0 <= row < 300
        assert 0 <= column < 70
    assert points[0] == (0, 0, 0, 0)
    assert points[3] == (1, 2, 299, 69)
    places = [point[2:] for point in points]
    assert {(0, 0), (0, 69), (299, 0), (299, 69)} == set(places[:4])
    assert [row for row, _ in places[4:6]] == [0, 299]
    assert [column for _, column in places[6:8]] == [0, 69]
    for row, column in places[8:12]:
        assert row in (31, 32, 63, 64, 255, 256)
        assert column in (31, 32, 63, 64)
    one = reference.sampled_outputs(Problem((1, 1), (1, 1)), 16, np.random.default_rng(0))
    assert one == [(0, 0, 0, 0)] * 16


SETTINGS = [
    {"op": op, **mode, **layout}
    for op in OPS
    for mode in (
        *({"mode": mode} for mode in MODES),
        *({"mode": mode, "boundary": "circular"} for mode in ("full", "same")),
        {"padding": ((5, 2), (0, 9))},
    )
    for layout in (
        {},
        {"stride": (2, 1), "dilation": (1, 2)},
        {"batch": 2, "in_channels": 4, "out_channels": 6, "groups": 2, "stride": 2},
    )
]


@pytest.mark.parametrize("keys", SETTINGS, ids=str)
def test_the_certificate_covers_every_setting(keys: dict[str, Any]) -> None:
    """SciPy's direct sums pass, and do not with any corner, edge, tile border or the rest off."""
    given_ = case(Problem((76, 70), (4, 3), dtype="float64", **keys))
    problem, x, w, y = given_.problem, given_.x, given_.w, given_.expected
    scale = reference.magnitudes(problem, x, w)

    def worst(y: np.ndarray) -> float:
        return reference.certify(problem, x, w, y, scale, np.random.default_rng(1))["worst"]

    assert worst(y) < 1e-15
    parts: list[tuple[Any, Any]] = [(0, 0), (0, -1), (-1, 0), (-1, -1)]
    everything = slice(None)
    parts += [(0, everything), (-1, everything), (everything, 0), (everything, -1)]
    tiles = [one for one in (31, 32, 63, 64) if one < problem.output[0] - 1]
    parts += [(tiles, everything), (slice(1, 31), slice(1, 31))]
    for rows, columns in parts:
        spoilt = y.copy()
        spoilt[..., rows, columns] += 1e-6
        assert worst(spoilt) > 1e-8, (rows, columns)


@pytest.mark.parametrize(
    ("spoil", "worst"), [("scaled", 1e-9), ("shifted", 0.1), ("corner", 1e-3), ("float32", 1e-9)]
)
def test_certify_catches_a_corrupted_reference(spoil: str, worst: float) -> None:
    given_ = case(Problem((40, 40), (5, 5), mode="same", dtype="float64"))
    problem, x, w = given_.problem, given_.x, given_.w
    y, bound = reference.whole_image(problem, x, w)
    scale = reference.magnitudes(problem, x, w)
    random = np.random.default_rng(0)
    assert reference.certify(problem, x, w, y, scale, random)["worst"] <= truth.CERTIFIED * bound
    if spoil == "scaled":
        y = y * (1 + 1e-8)
    elif spoil == "shifted":
        y = np.roll(y, 1, axis=1)
    elif spoil == "corner":
        y[-1, -1] += 1e-1
    else:
        y = y.astype(np.float32).astype(float)
    found = reference.certify(problem, x, w, y, scale, random)
    assert found["worst"] > max(worst, truth.CERTIFIED * bound)
    assert found["points"] == 16


def test_truth_refuses_a_reference_that_exact_sums_deny(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_ = case(Problem((20, 20), (3, 3), mode="same"))
    whole = reference.whole_image

    def off(*arguments: object) -> tuple[np.ndarray, float]:
        y, bound = whole(*arguments)  # type: ignore[arg-type]
        return y + 1e-3, bound

    monkeypatch.setattr(reference, "whole_image", off)
    x, w = given_.x.astype(float), given_.w.astype(float)
    with pytest.raises(truth.ReferenceDisagrees, match="16 outputs; allowed: "):
        truth.truth(given_.problem, x, w, 0, place=place)
