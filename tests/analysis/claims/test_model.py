"""Cost models: planted laws recovered, outliers borne, and what cannot be told refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from convcross.analysis.claims import model
from convcross.analysis.claims.model import Unfit
from convcross.analysis.crossover.verdict import Verdict
from proofs import exponents
from proofs.medians import STREAMS

NOISE = 1 + 0.01 * np.random.default_rng(0).standard_normal(32)


def cells(**columns: pd.Series | float) -> pd.DataFrame:
    return exponents.grid().assign(**columns)


def power(a: float, b: float, p: float, q: float) -> pd.DataFrame:
    grid = exponents.grid()
    return grid.assign(seconds=a + b * grid["n"] ** p * grid["N"] ** q)


@pytest.mark.parametrize("law", exponents.LAWS, ids=lambda law: law.name)
def test_a_law_without_noise_is_found_exactly(law: exponents.Law) -> None:
    column = "error" if law.fit is model.error_growth else "seconds"
    fit = law.fit(cells(**{column: law.cost(exponents.grid())}))
    for name, truth in law.truth.items():
        assert law.estimates(fit)[name].value == pytest.approx(truth, rel=1e-3, abs=1e-5)
    assert fit.explained == pytest.approx(1.0)
    assert fit.spread < 1e-4


def test_intervals_cover_the_exponents() -> None:
    """By ``make proofs`` for each law and each noise; here together."""
    found = [
        exponents.coverage(law, stream, trials=3, seed=seed)
        for seed, law in enumerate(exponents.LAWS)
        for stream in STREAMS
    ]
    shares = [share for one in found for name, share in one.items() if name in exponents.EXPONENTS]
    assert np.mean(shares) >= exponents.NEEDED


def test_intervals_are_no_wider_than_the_noise_asks() -> None:
    """1 % of noise in 32 cells: a least squares line has p within ±0.005."""
    fit = model.power_law(
        power(0.0, 1e-10, 2, 2).assign(seconds=lambda own: own["seconds"] * NOISE)
    )
    p, q = fit.exponents
    for estimate in (p, q):
        assert estimate.low < estimate.value < estimate.high
        assert estimate.high - estimate.low < 0.05


def test_outliers_do_not_lead() -> None:
    disturbed = power(0.0, 1e-10, 2, 2).assign(seconds=lambda own: own["seconds"] * NOISE)
    disturbed.loc[[3, 17], "seconds"] *= 5
    p, q = model.power_law(disturbed).exponents
    assert p.value == pytest.approx(2, abs=0.02)
    assert q.value == pytest.approx(2, abs=0.02)
    assert (p.covers(2), q.covers(2)) == (True, True)
    straight = np.polyfit(np.log(disturbed["n"]), np.log(disturbed["seconds"]), 1)
    assert abs(straight[0] - 2) > 0.05  # what plain least squares would say


def test_the_worst_cell_is_named() -> None:
    disturbed = power(0.0, 1e-10, 2, 2)
    disturbed.loc[11, "seconds"] *= 3
    N, n, ratio = model.power_law(disturbed).worst
    assert (N, n) == (256, 9)
    assert ratio == pytest.approx(3, rel=0.01)


def test_no_constant_is_zero_up_to_a_bound() -> None:
    fit = model.power_law(
        power(0.0, 1e-10, 2, 2).assign(seconds=lambda own: own["seconds"] * NOISE)
    )
    assert fit.constant is not None
    least = fit.cells["value"].min()
    assert fit.constant.low == 0
    assert fit.constant.value <= fit.constant.high <= least


@pytest.mark.parametrize(
    ("keep", "told"),
    [
        ("N == 256", "1 image sizes"),
        ("n in (3, 5)", "2 kernel sizes"),
        ("n in (3, 5, 7) and N in (128, 256)", "6 cells"),
    ],
)
def test_too_few_cells_are_refused(keep: str, told: str) -> None:
    with pytest.raises(Unfit, match=told):
        model.power_law(power(0.0, 1e-10, 2, 2).query(keep))


def test_noise_that_leaves_a_law_open_is_refused() -> None:
    """As an oversubscribed machine gave it: the interval of b reached beyond the largest float."""
    seconds = [0.0321, 0.000218, 0.0249, 0.0225, 0.000281, 0.0305, 0.000725, 0.000517]
    few = power(0.0, 1e-10, 2, 2).query("N in (128, 256) and n in (3, 5, 7, 9)")
    places = {"N": few["N"] / 2, "seconds": seconds}
    with pytest.raises(Unfit, match="8 cells leave its factor open"):
        model.power_law(few.sort_values(["N", "n"]).assign(**places))


def test_an_fft_without_padded_sizes_has_no_law_of_them() -> None:
    timed = power(0.0, 1e-10, 0, 2)
    with pytest.raises(Unfit, match="no padded size"):
        model.transform_law(timed.assign(M=np.nan, work=np.nan))
    with pytest.raises(Unfit, match="2 padded sizes"):
        model.transform_law(timed.assign(work=np.where(timed["N"] > 200, 2e6, 1e6)))


def rows(timed: pd.DataFrame, contender: str, family: str, padded: bool) -> pd.DataFrame:
    """As of a loaded grid."""
    sides = [(int(M), int(M)) if padded else None for M in timed["M"]]
    return timed.assign(
        contender=contender,
        family=family,
        padded=sides,
        low=np.nan,
        high=np.nan,
        error=np.nan,
        errors=[np.array([])] * len(timed),
        workspace=np.nan,
        floor=np.nan,
        settled=True,
        flags=[()] * len(timed),
    )


def direct_and_fft(a: float, b: float, c: float) -> pd.DataFrame:
    grid = exponents.grid()
    sums = grid.assign(seconds=a + b * grid["n"] ** 2 * grid["N"] ** 2)
    transforms = grid.assign(seconds=c * grid["work"])
    return pd.concat(
        [
            rows(sums, "direct/numpy", "direct", padded=False),
            rows(transforms, "fft/numpy", "fft", padded=True),
        ],
        ignore_index=True,
    )


def test_work_is_that_of_the_recorded_padded_size() -> None:
    one = direct_and_fft(0.0, 1e-10, 1e-10).iloc[[-1]].assign(padded=[(512, 2048)])
    found = model.measured(one)
    assert found["M"].tolist() == [1024]
    assert found["work"].tolist() == [1024**2 * 10]


def test_models_predict_where_they_cross() -> None:
    measured = dict.fromkeys(exponents.SIZES, Verdict("crosses", 9.0))
    models = model.models(direct_and_fft(0.0, 1e-10, 1e-9))
    for one in model.predictions(models, ("direct", "fft"), measured):
        work = models.transform["fft/numpy"].cells.query(f"N == {one.N}").set_index("n")["work"]
        at = np.interp(np.log(one.n_star), np.log(work.index), np.log(work))
        assert one.n_star == pytest.approx((10 * np.exp(at)) ** 0.5 / one.N, rel=0.01)
        assert one.inside
        assert one.measured.n_star == 9.0
    assert [one.N for one in model.predictions(models, ("direct", "fft"), measured)] == [*measured]


@pytest.mark.parametrize(("c", "verdict"), [(1e-12, "always"), (1e-2, "never")])
def test_models_that_do_not_cross(c: float, verdict: str) -> None:
    models = model.models(direct_and_fft(1e-3 if verdict == "always" else 0.0, 1e-10, c))
    (one,) = model.predictions(models, ("direct", "fft"), {256: Verdict("tie")})
    assert (one.verdict, one.n_star, one.inside) == (verdict, None, False)


def test_a_prediction_outside_the_measured_kernels_says_so() -> None:
    models = model.models(direct_and_fft(0.0, 1e-10, 2e-11))
    (one,) = model.predictions(models, ("direct", "fft"), {512: Verdict("always")})
    assert one.n_star is not None
    assert 1 < one.n_star < 3
    assert not one.inside


def test_nothing_is_predicted_where_a_side_has_no_law() -> None:
    models = model.models(direct_and_fft(0.0, 1e-10, 1e-9).query("family == 'direct'"))
    assert model.predictions(models, ("direct", "fft"), {256: Verdict("tie")}) == []


def test_why_a_contender_has_no_law_is_kept() -> None:
    models = model.models(direct_and_fft(0.0, 1e-10, 1e-9).query("N == 256"))
    assert set(models.unfit) == {"direct/numpy", "fft/numpy"}
    assert "1 image sizes" in models.unfit["direct/numpy"]


def test_the_parts_of_a_direct_sum() -> None:
    grid = exponents.grid()
    pixels = grid["N"] ** 2
    own = grid.assign(seconds=50e-6 + 2e-9 * pixels + 1e-10 * grid["n"] ** 2 * pixels)
    own["seconds"] *= NOISE
    own.loc[5, "seconds"] *= 4  # an outlier
    parts = model.parts(own)
    assert parts.call == pytest.approx(50e-6, rel=0.15)
    assert parts.pixel == pytest.approx(2e-9, rel=0.15)
    assert parts.product == pytest.approx(1e-10, rel=0.03)
    assert sum(parts.shares(128, 3)) == pytest.approx(1.0)
    exact = model.Parts(50e-6, 2e-9, 1e-10)
    # 0.9 of the time: 1e-10·n²·N² ≥ 9·(50 µs + 2 ns·N²), so n ≥ 21.1 at N = 128, 15.9 at 256
    assert exact.mostly_products(own, 0.9) == {128: 31, 256: 21, 512: 15, 1024: 15}
    assert exact.mostly_products(own.query("n < 15"), 0.9) == dict.fromkeys(exponents.SIZES)
