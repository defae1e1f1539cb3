"""The metrics of errors, held to their definitions in mpmath at 50 digits."""

from __future__ import annotations

import dataclasses

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcross.measure.accuracy import reference, truth
from convcross.measure.accuracy import sample as sampling
from convcross.sweeps import data
from convkernels import Problem, namespaces
from convkernels.problem import DTYPES, OPS

SIGNIFICANT = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}  # bits
LEAST = {"float64": -1022, "float32": -126, "float16": -14, "bfloat16": -126}  # normal exponent
DIGITS = 50


@dataclasses.dataclass
class Exact:
    """Outputs, their |x|*|w|, and the distance between neighbours of the type there."""

    y: list[mpmath.mpf]
    scale: list[mpmath.mpf]
    ulp: list[mpmath.mpf]


def exact(problem: Problem, x: np.ndarray, w: np.ndarray) -> Exact:
    """A full convolution or correlation of one image, from the definition."""
    if problem.op == "correlation":
        w = w[::-1, ::-1]
    y = np.full(problem.output, mpmath.mpf(0), dtype=object)
    scale = y.copy()
    for row, column in np.ndindex(*x.shape):
        for down, across in np.ndindex(*w.shape):
            product = mpmath.mpf(float(x[row, column])) * mpmath.mpf(float(w[down, across]))
            y[row + down, column + across] += product
            scale[row + down, column + across] += abs(product)
    ulps = [neighbour_distance(value, problem.dtype) for value in y.ravel()]
    return Exact(list(y.ravel()), list(scale.ravel()), ulps)


def neighbour_distance(value: mpmath.mpf, dtype: str) -> mpmath.mpf:
    exponent = int(mpmath.floor(mpmath.log(abs(value), 2)))
    return mpmath.mpf(2) ** (max(exponent, LEAST[dtype]) - SIGNIFICANT[dtype] + 1)


def length(values: list[mpmath.mpf]) -> mpmath.mpf:
    return mpmath.sqrt(mpmath.fsum(value**2 for value in values))


def metrics(y: np.ndarray, true: Exact) -> dict[str, float]:
    """``records.Errors`` by its definitions."""
    distances = [
        abs(mpmath.mpf(float(mine)) - r) for mine, r in zip(y.ravel(), true.y, strict=True)
    ]
    ulps = [float(e / ulp) for e, ulp in zip(distances, true.ulp, strict=True)]
    return {
        "rel_l2": float(length(distances) / length(true.y)),
        "max_rel": float(max(distances) / max(abs(r) for r in true.y)),
        "componentwise": float(max(e / s for e, s in zip(distances, true.scale, strict=True))),
        "ulp_median": float(np.quantile(ulps, 0.5)),
        "ulp_p999": float(np.quantile(ulps, 0.999)),
    }


@settings(max_examples=40)
@given(
    st.sampled_from(DTYPES),
    st.sampled_from(OPS),
    st.tuples(*[st.integers(1, 6)] * 2),
    st.tuples(*[st.integers(1, 4)] * 2),
    st.integers(0, 2**32),
    st.integers(0, 2),
    st.sampled_from([0, 1, 3, 100]),
)
def test_metrics_are_those_of_the_definitions(
    dtype: str,
    op: str,
    image: tuple[int, int],
    kernel: tuple[int, int],
    seed: int,
    decades: int,
    ulps: int,
) -> None:
    """A result so many ULP off at most, on data of so many decades."""
    problem = Problem(image, kernel, op=op, dtype=dtype)
    random = np.random.default_rng(seed)
    x, w = (
        namespaces.round_to(
            random.standard_normal(shape) * 10.0 ** random.integers(-decades, decades + 1, shape),
            dtype,
        ).astype(float)
        for shape in (image, kernel)
    )
    with mpmath.workdps(DIGITS):
        true = exact(problem, x, w)
        off = random.integers(-ulps, ulps + 1, len(true.y))
        near = [float(r + int(k) * ulp) for r, k, ulp in zip(true.y, off, true.ulp, strict=True)]
        y = namespaces.round_to(np.reshape(near, problem.y_shape), dtype).astype(float)
        expected = metrics(y, true)
    known = truth.truth(problem, x, w, 0)
    found = truth.errors(y, known).model_dump()
    # Of float64 problems the true values are known to twice the digits; else the float64
    # reference errs by some 1e-16 of the largest outputs, which is a share of the small ones' ULP.
    peak = max(abs(float(r)) for r in true.y)
    finest = float(min(true.ulp))
    noise = 0.0 if dtype == "float64" else 1e-15 * peak
    least = float(min(true.scale))
    for name, share in {
        "rel_l2": noise / peak,
        "max_rel": noise / peak,
        "componentwise": noise / least,
        "ulp_median": noise / finest,
        "ulp_p999": noise / finest,
    }.items():
        assert found[name] == pytest.approx(expected[name], rel=1e-9, abs=share), name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("off", [1, 2, 5])
def test_a_planted_distance_is_found(dtype: str, off: int) -> None:
    """Outputs that the type holds, and a result so many ULP from each."""
    problem = Problem((4, 5), (1, 1), dtype=dtype)
    x = namespaces.round_to(np.linspace(1.1, 1.9, 20).reshape(4, 5), dtype).astype(float)
    known = truth.truth(problem, x, np.array([[2.0]]), 0)
    ulp = 2.0 ** (2 - SIGNIFICANT[dtype])  # in [2, 4)
    found = truth.errors(2 * x - off * ulp, known)
    tolerance = {"rel": 1e-15 / ulp} if dtype != "float64" else {"rel": 1e-12}
    assert found.ulp_median == pytest.approx(off, **tolerance)
    assert found.ulp_p999 == pytest.approx(off, **tolerance)
    assert found.componentwise == pytest.approx(off * ulp / (2 * x.min()), **tolerance)
    assert found.max_rel == pytest.approx(off * ulp / (2 * x.max()), **tolerance)
    length = np.sqrt(20) * off * ulp / np.linalg.norm(2 * x)
    assert found.rel_l2 == pytest.approx(length, **tolerance)


# ---- float64 problems, at a sample -----------------------------------------------------------


def test_the_float64_reference_has_an_error_of_its_own() -> None:
    """A contender that is the reference to the last bit does not pass as exact."""
    problem = Problem((48, 40), (7, 7), mode="same", dtype="float64")
    x, w = data.image("normal", problem.x_shape, 0), data.kernel("normal", problem.w_shape, 0)
    known = truth.truth(problem, x, w, 0)
    assert known.certificate["error_points"] == 48 * 40
    full = np.empty(problem.output, dtype=object)
    with mpmath.workdps(DIGITS):
        for row, column in np.ndindex(*full.shape):
            window = np.pad(x, 3)[row : row + 7, column : column + 7]
            pairs = zip(window.ravel(), w[::-1, ::-1].ravel(), strict=True)
            full[row, column] = mpmath.fdot((float(a), float(b)) for a, b in pairs)
        differences = [
            mpmath.mpf(float(a)) - b for a, b in zip(known.y.flat, full.flat, strict=True)
        ]
        expected = float(length(differences) / length(list(full.flat)))
    assert expected > 1e-17
    assert truth.errors(known.y, known).rel_l2 == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", data.IMAGES)
@pytest.mark.parametrize("spread", ["even", "by-scale"])
def test_a_sample_tells_the_error_of_all_outputs(
    kind: str, spread: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise as an FFT leaves it, and as a direct sum does: all of it beside a bright spot."""
    problem = Problem((120, 100), (5, 5), mode="same", dtype="float64")
    x, w = data.image(kind, problem.x_shape, 0), data.kernel("normal", problem.w_shape, 0)
    everywhere = truth.truth(problem, x, w, 0)
    monkeypatch.setattr(sampling, "FEWEST", 1000)
    monkeypatch.setattr(sampling, "POINTS", 1000)
    sampled = truth.truth(problem, x, w, 0)
    assert everywhere.certificate["error_points"] == 4096  # of 12,000
    assert sampled.certificate["error_points"] == 1000
    noise = np.random.default_rng(0).standard_normal(problem.y_shape)
    size = everywhere.scale if spread == "by-scale" else np.sqrt(np.mean(everywhere.y**2))
    error = 1e-13 * size * noise
    expected = np.linalg.norm(error) / np.linalg.norm(everywhere.y)
    for known, rel in ((everywhere, 0.08), (sampled, 0.16)):  # five standard errors
        found = truth.errors(everywhere.y + error, known)
        assert found.rel_l2 == pytest.approx(expected, rel=rel)
        assert found.max_rel <= 1.01 * np.abs(error).max() / np.abs(everywhere.y).max()


def test_the_estimate_is_not_biased(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Σ e², over many samples, where a few outputs have most of it."""
    monkeypatch.setattr(sampling, "FEWEST", 100)
    monkeypatch.setattr(sampling, "POINTS", 100)
    problem = Problem((40, 40), (3, 3), mode="same", dtype="float64")
    x, w = data.image("high-dynamic-range", (40, 40), 0), data.kernel("normal", (3, 3), 0)
    scale = reference.magnitudes(problem, x, w)
    squares = (scale + np.median(scale)) ** 2  # as errors that have a part of either kind
    estimates = []
    for seed in range(400):
        sample = sampling.draw(problem, x, w, scale, np.random.default_rng(seed))
        estimates.append(float(np.sum(sample.weight * squares.ravel()[sample.index])))
    standard_error = np.std(estimates) / np.sqrt(len(estimates))
    assert standard_error < 0.02 * squares.sum()
    assert abs(np.mean(estimates) - squares.sum()) < 4 * standard_error


@pytest.mark.parametrize(("kernel", "points"), [(3, 4096), (63, 2113), (255, 256)])
def test_a_large_kernel_is_summed_at_fewer_outputs(
    kernel: int, points: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        reference, "compensated", lambda problem, x, w, outputs: (outputs[:, 2], outputs[:, 3])
    )
    problem = Problem((256, 256), (kernel, kernel), mode="same", dtype="float64")
    x, w = np.ones((256, 256)), np.ones((kernel, kernel))
    sample = sampling.draw(problem, x, w, np.ones((256, 256)), np.random.default_rng(0))
    assert len(sample.index) == points
    assert len(np.unique(sample.index)) > 0.9 * points
