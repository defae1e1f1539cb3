"""Advice from a planted calibration: order, limits, reasons, the crossover near by."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from convcross.advice import design, words
from convcross.advice.advise import advise, among, require
from convcross.advice.weights import PHASE_WEIGHTS, total, weights
from convcross.advice.worth import loss, predicted
from convcross.errors import BadInput
from convkernels import Problem, calibration
from convkernels.calibration import Calibration
from convkernels.discovery import find
from convkernels.prediction import Prediction
from support.calibrated import planted

STEADY, FIRST = PHASE_WEIGHTS["steady"], PHASE_WEIGHTS["first"]


@pytest.fixture(scope="module")
def known() -> Calibration:
    return planted()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CONVCROSS_CACHE", str(tmp_path))
    calibration.forget()
    yield
    calibration.forget()


def square(N: int, n: int) -> Problem:
    return Problem((N, N), (n, n), mode="same")


@pytest.mark.parametrize(("n", "fastest"), [(3, "direct/numpy"), (31, "fft/numpy")])
def test_the_fastest_is_first(known: Calibration, n: int, fastest: str) -> None:
    first, second = advise(square(512, n), known, STEADY).ranked
    assert first.contender == fastest
    assert first.seconds < second.seconds
    assert first.why is None
    assert second.why is not None


@pytest.mark.parametrize(("N", "n"), [(200, 5), (700, 21), (1500, 63)])
def test_seconds_are_those_that_were_planted(known: Calibration, N: int, n: int) -> None:
    for one in advise(square(N, n), known, STEADY).ranked:
        truth = 1e-6 + N * N * (n * n / 1e10 if one.contender == "direct/numpy" else 8e-9)
        assert one.seconds == pytest.approx(truth, rel=0.1)
        assert one.low <= truth <= one.high


def test_a_plan_is_spread_over_the_calls(known: Calibration) -> None:
    problem = square(64, 31)  # a run of 33 µs, after a plan of 1 ms
    many, once = (advise(problem, known, weights(None, calls)) for calls in (100000, 1))
    assert many.ranked[0].contender == "fft/numpy"
    assert once.ranked[0].contender == "direct/numpy"
    assert once.ranked[1].seconds == pytest.approx(1.13e-3, rel=0.1)
    assert once.ranked[1].why == "plan takes 1 ms of it"


def test_phases_and_calls_are_weights() -> None:
    assert weights(None, None) == (0, 0, 1)
    assert weights("fresh", None) == (0, 1, 1)
    assert weights(None, 4) == (0.25, 0.25, 1)
    with pytest.raises(BadInput, match="phase is 'warm'; allowed: steady, fresh, first"):
        weights("warm", None)
    with pytest.raises(BadInput, match="--phase and --calls are both given"):
        weights("first", 3)


def test_parts_that_do_not_count_widen_no_interval() -> None:
    wide, sharp = Prediction(1.0, 0.1, 9.0), Prediction(2.0, 1.9, 2.1)
    assert total([wide, wide, sharp], (0, 0, 1)) == pytest.approx(sharp)
    assert total([sharp, sharp, sharp], (1, 1, 1)).high == pytest.approx(6 + 0.1 * 3**0.5)


def test_limits_come_first(known: Calibration) -> None:
    problem = square(512, 31)
    fastest, other = advise(problem, known, STEADY).ranked
    assert fastest.contender == "fft/numpy"
    limited = advise(problem, known, STEADY, max_workspace=fastest.workspace - 1)
    assert [one.contender for one in limited.ranked] == ["direct/numpy", "fft/numpy"]
    assert limited.ranked[1].beyond is not None
    assert limited.ranked[1].why == f"beyond the limit: {limited.ranked[1].beyond}"
    least = min(fastest.error, other.error)
    precise = advise(problem, known, STEADY, max_error=1.01 * least)
    assert precise.ranked[0].error == least


def test_where_none_is_within_the_limits_the_nearest_is_named(known: Calibration) -> None:
    with pytest.raises(BadInput, match="no contender is within error 1e-12; the nearest is "):
        advise(square(512, 5), known, STEADY, max_error=1e-12)


def test_what_no_contender_takes_is_told_with_reasons(known: Calibration) -> None:
    other = Problem((64, 64), (3, 3), mode="same", direction="grad_weight")
    with pytest.raises(BadInput, match="it: direct/numpy: the calibration has no grad_weight"):
        advise(other, among(known, "direct/*"), STEADY)


@pytest.fixture(scope="module")
def trained() -> Calibration:
    """Gradients of layers, in which the direct sum is slow to the filters alone."""
    slow = {"grad_input": 1e-10, "grad_weight": 1e-8}

    def direct(p: Problem) -> tuple[float, float, float]:
        return (1e-6, 1e-6, 1e-6 + slow[p.direction] * p.flops)

    def fft(p: Problem) -> tuple[float, float, float]:
        return (1e-6, 1e-6, 1e-6 + 1e-9 * p.flops)

    kinds = [design.gradient(design.layer, direction) for direction in slow]
    return planted({"direct/numpy": direct, "fft/numpy": fft}, kinds=kinds, samples=80)


@pytest.mark.parametrize(
    ("direction", "fastest"), [("grad_input", "direct/numpy"), ("grad_weight", "fft/numpy")]
)
def test_a_pass_has_its_own_order(
    trained: Calibration, direction: str, fastest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = Problem(
        (28, 28), (3, 3), batch=4, in_channels=32, out_channels=64, mode="same", direction=direction
    )
    advice = advise(problem, trained, STEADY)
    assert next(one.contender for one in advice.ranked) == fastest
    assert Problem.from_json(advice.to_json()["problem"]).direction == direction
    words.print_advice(advice)
    assert f"{direction} of 28×28 by 3×3, 32→64 channels, batch 4" in capsys.readouterr().out
    others = [held for held in trained.held_out if held.problem.direction == direction]
    told = loss(predicted(trained, STEADY), others, sorted(trained.contenders), STEADY)
    assert told.mean < 1.05


def test_the_crossover_is_where_it_was_planted(known: Calibration) -> None:
    near = advise(square(512, 3), known, STEADY).crossover
    assert near is not None
    assert near.n == pytest.approx(8.9, abs=0.6)
    assert near.low is not None
    assert near.high is not None
    assert near.low <= 8.9 <= near.high
    assert near.pair == ("direct/numpy", "fft/numpy")
    assert "FFT overtakes the direct sum at about n = 9" in words.sentence(near)


@pytest.mark.parametrize(("slower", "ahead"), [("fft/numpy", "direct"), ("direct/numpy", "fft")])
def test_families_that_do_not_cross(slower: str, ahead: str) -> None:
    known = planted(
        {
            name: (lambda p, s=(1.0 if name == slower else 1e-4): (s, s, s))
            for name in ("direct/numpy", "fft/numpy")
        },
        samples=20,
    )
    near = advise(square(64, 3), known, STEADY).crossover
    assert near is not None
    assert (near.n, near.ahead, near.largest) == (None, ahead, 63)
    assert "stays ahead" in words.sentence(near)


def test_what_a_refusal_puts_ahead_has_overtaken_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"direct/numpy": 1e-4, "fft/numpy": 2e-4, "toeplitz-gemm/numpy": 9e-4}
    known = planted(
        {name: (lambda p, s=taken: (s, s, s)) for name, taken in seconds.items()}, samples=20
    )
    direct = find("direct").implementation
    monkeypatch.setattr(
        direct,
        "refuses",
        staticmethod(lambda problem, *_: "large" if problem.kernel[0] > 5 else None),
    )
    near = advise(square(64, 3), known, STEADY).crossover
    assert near is not None
    assert (near.n, near.ahead, near.largest) == (None, "direct", 5)


def test_one_family_alone_has_no_crossover(known: Calibration) -> None:
    assert advise(square(64, 3), among(known, "direct/*"), STEADY).crossover is None


def test_contenders_are_chosen_by_patterns(known: Calibration) -> None:
    assert set(among(known, "fft/*").contenders) == {"fft/numpy"}
    assert among(known, None) is known
    with pytest.raises(BadInput, match="'fftt' matches nothing here"):
        among(known, "fftt")


def test_spare_contenders_come_last_unless_they_are_named(known: Calibration) -> None:
    problem = Problem((512, 512), (31, 31), mode="same")
    fits = {
        name: dataclasses.replace(fit, spare=("forward",) if name == "fft/numpy" else ())
        for name, fit in known.contenders.items()
    }
    spared = dataclasses.replace(known, contenders=fits)

    def order(among_: Calibration) -> list[str]:
        return [one.contender for one in advise(problem, among_, (0, 0, 1)).ranked]

    assert order(known)[0] == "fft/numpy" == order(spared)[-1]
    assert spared.leading() == sorted(fits.keys() - {"fft/numpy"})
    assert order(among(spared, "*/numpy"))[-1] == "fft/numpy"
    assert order(among(spared, "fft/numpy,direct/numpy"))[0] == "fft/numpy"


def test_json_is_json(known: Calibration) -> None:
    told = json.loads(json.dumps(advise(square(512, 7), known, FIRST).to_json(), allow_nan=False))
    assert told["weights"] == {"plan": 1.0, "load": 1.0, "run": 1.0}
    assert told["ranked"][0].keys() >= {"contender", "seconds", "low", "high", "workspace", "why"}
    assert Problem.from_json(told["problem"]) == square(512, 7)


def test_the_table_says_it_in_words(known: Calibration, capsys: pytest.CaptureFixture[str]) -> None:
    words.print_advice(advise(square(512, 31), known, STEADY))
    told = capsys.readouterr().out
    assert "512×512 by 31×31, same, float32 on cpu: a run; calibrated 2026-01-02" in told
    assert "Not in the running: scipy-convolve2d/numpy (3 samples, at best 9.0 times" in told


def test_none_stale_and_foreign_calibrations_are_refused(known: Calibration) -> None:
    with pytest.raises(BadInput, match="no calibration of cpu is kept here; convcross calibrate"):
        require("cpu")
    calibration.write(known)
    assert require("cpu").contenders.keys() == known.contenders.keys()
    for change, named in (
        ({"machine": "another"}, "machine is 'another'"),
        ({"threads": 999}, "threads is 999"),
        ({"versions": {**known.key.versions, "numpy": "0.1"}}, "numpy is '0.1'"),
    ):
        other = dataclasses.replace(known, key=dataclasses.replace(known.key, **change))
        calibration.write(other)
        with pytest.raises(BadInput, match=f"{named}; allowed: .*; convcross calibrate makes one"):
            require("cpu")
    calibration.path("cpu").write_text("{")
    calibration.forget()
    with pytest.raises(BadInput, match="is damaged"):
        require("cpu")


def test_a_busy_machine_is_told() -> None:
    assert words.disturbed({"others": 0.02, "stolen": 0.01}) == []
    (told,) = words.disturbed({"others": 0.2, "stolen": 0.1})
    assert told.startswith("Others took 30% of the cores meanwhile")
