"""The ranking behind ``auto``: by calibration and by arithmetic, for one call and for many."""

from __future__ import annotations

import pytest

from convkernels.problem import Problem
from convkernels.selection import ranked, room
from support.calibrations import SMALL, made


def names(calls: int = 1, **seconds: tuple[float, float, float]) -> list[str]:
    contenders = {f"{name.replace('_', '-')}/numpy": phases for name, phases in seconds.items()}
    ranking = ranked(SMALL, "numpy", "cpu", calls=calls, calibration=made(contenders))
    return [one.algorithm.name for one in ranking.taken]


def test_a_calibration_ranks_by_what_a_call_takes() -> None:
    assert names(fft=(1.0, 1.0, 1.0), direct=(0.1, 0.1, 3.0), overlap_save=(2.0, 0.1, 0.1)) == [
        "overlap-save",
        "fft",
        "direct",
    ]


@pytest.mark.parametrize(
    ("calls", "first"), [(1, "direct"), (3, "direct"), (4, "fft"), (1000, "fft")]
)
def test_a_plan_is_spread_over_the_calls(calls: int, first: str) -> None:
    assert names(calls, fft=(7.0, 1.0, 1.0), direct=(0.0, 0.0, 4.0))[0] == first


def test_seconds_are_of_the_phases() -> None:
    calibration = made({"fft/numpy": (8.0, 2.0, 1.0)})
    (one,) = ranked(SMALL, "numpy", "cpu", calls=4, calibration=calibration).taken
    assert (one.plan, one.load, one.run, one.seconds) == pytest.approx((8.0, 2.0, 1.0, 5.0))
    assert (one.fits, one.source) == (True, "calibrated")


def test_what_the_calibration_does_not_know_is_not_taken() -> None:
    ranking = ranked(SMALL, "numpy", "cpu", calibration=made({"fft/numpy": (9.0, 9.0, 9.0)}))
    assert [one.algorithm.name for one in ranking.taken] == ["fft"]
    assert ranking.refusals["direct"] == (
        "the calibration does not know it; convcross calibrate makes one"
    )


def test_where_it_knows_none_that_takes_the_problem_arithmetic_does() -> None:
    strided = Problem((32, 32), (5, 5), stride=(2, 2))
    calibration = made({"scipy-fftconvolve/numpy": (0.0, 0.0, 1e-9), "fft/torch": (0.0, 0.0, 0.0)})
    ranking = ranked(strided, "numpy", "cpu", calibration=calibration)
    assert {one.source for one in ranking.taken} == {"arithmetic"}
    assert ranking == ranked(strided, "numpy", "cpu")


def test_without_a_calibration_it_is_arithmetic() -> None:
    for one in ranked(SMALL, "numpy", "cpu").taken:
        assert one.source == "arithmetic"
        assert one.seconds == one.plan + one.load + one.run > 0


def test_what_fits_in_memory_comes_first() -> None:
    large = Problem((128, 128), (31, 31), in_channels=64, out_channels=64, mode="same")
    calibration = made({"fft/numpy": (0.0, 0.0, 1e-9), "im2col-chunked/numpy": (9.0, 9.0, 9.0)})
    first, second = ranked(large, "numpy", "cpu", calibration=calibration).taken
    assert (first.algorithm.name, first.fits) == ("im2col-chunked", True)
    assert (second.algorithm.name, second.fits) == ("fft", False)
    assert second.workspace > room(large)


def test_everybody_is_ranked_or_refused() -> None:
    calibration = made({"fft/numpy": (1.0, 1.0, 1.0), "separable/numpy": (0.0, 0.0, 0.0)})
    for given in (None, calibration):
        ranking = ranked(SMALL, "numpy", "cpu", calibration=given)
        taken = {one.algorithm.name for one in ranking.taken}
        assert not taken & set(ranking.refusals)
        assert {"fft", "direct", "separable", "fft-mkl"} <= taken | set(ranking.refusals)
        assert ranking.refusals["separable"].startswith("for some kernels alone")
