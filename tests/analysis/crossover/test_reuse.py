"""n* by output, batch and channels: planted laws are found, and the arithmetic moves as they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from convcross.analysis.crossover import reuse, reuse_words
from convcross.analysis.crossover.reuse import Stars
from convcross.analysis.crossover.verdict import Verdict
from convcross.analysis.load import load
from convcross.results.schema import Record
from support import by_outputs, synthetic

GRID = [(batch, channels) for batch in (1, 4) for channels in (16, 64)]


def found(path: Path, duels: list[list[Record]], phase: str = "steady") -> list[Stars]:
    return reuse.of_results(load([by_outputs.write(path / "a.jsonl", duels)]), phase)


def one(path: Path, duels: list[list[Record]], phase: str = "steady") -> Stars:
    [stars] = found(path, duels, phase)
    return stars


@pytest.mark.parametrize("phase", ["steady", "fresh"])
@pytest.mark.parametrize("pace", [1.0, 0.7])
def test_planted_n_stars_are_found_and_the_arithmetic_beside_them(
    phase: str, pace: float, tmp_path: Path
) -> None:
    stars = one(tmp_path, by_outputs.duels(pace=pace), phase)
    assert stars.pace == pytest.approx(pace, rel=0.02)
    assert [(star.batch, star.channels) for star in stars.stars] == GRID
    for star in stars.stars:
        where = (star.output, star.batch, star.channels)
        truth = by_outputs.n_star(*where, fresh=phase == "fresh", pace=pace)
        assert star.measured.n_star == pytest.approx(truth, rel=0.02)
        assert star.measured.low is not None
        assert star.measured.high is not None
        assert star.measured.low < star.measured.n_star < star.measured.high  # type: ignore[operator]
        assert star.paced is not None
        assert star.paced.n_star == pytest.approx(truth, rel=0.02)
        assert star.alone is not None
        alone = by_outputs.n_star(*where, fresh=phase == "fresh")
        assert star.alone.n_star == pytest.approx(alone, rel=1e-6)
        assert star.representatives == (["direct/numpy"], ["fft/numpy"])


def test_channels_move_it_and_the_batch_where_filters_change(tmp_path: Path) -> None:
    steady = one(tmp_path, by_outputs.duels())
    fresh = one(tmp_path / "fresh", by_outputs.duels(), "fresh")
    for stars, by_batch in ((steady, 0), (fresh, -1)):
        for axis, wanted in (("channels", -1), ("batch", by_batch)):
            moves = reuse.moves(stars.stars, axis)
            assert len(moves) == 2
            for move in moves:
                assert reuse.sense(move.first.measured, move.last.measured) == wanted
                assert reuse.sense(_verdict(move.first.paced), _verdict(move.last.paced)) == wanted
    by_channels, by_batch_ = reuse_words.sentences(steady)
    assert by_channels.startswith(
        "From 16 to 64 channels, n* of FFT over all others falls in 2 of 2 cases (an "
        "output and batch each) and rises in 0; by arithmetic it falls in 2. For one, with outputs "
        "of 8 and batch 4, n* falls from "
    )
    told = "; by arithmetic it falls from 8 to 5; of FLOP alone it falls from 8 to 5."
    assert told in by_channels
    assert "falls in 0 of 2 cases" in by_batch_
    assert "in 2, intervals or bounds leave it open" in by_batch_


def _verdict(of: Verdict | None) -> Verdict:
    assert of is not None
    return of


def test_what_was_not_reached_is_told_as_a_bound(tmp_path: Path) -> None:
    low = one(tmp_path, by_outputs.duels(batches=[1], pace=20.0))
    high = one(tmp_path / "high", by_outputs.duels(batches=[1], pace=0.05))
    assert [reuse_words.interval(star.measured) for star in low.stars] == ["≤ 3", "≤ 3"]
    assert [reuse_words.interval(star.measured) for star in high.stars] == ["> 13", "> 13"]
    [told] = reuse_words.sentences(low)
    assert told.startswith(
        "From 16 to 64 channels, with outputs of 8 and batch 1, n* is at or below 3 at "
        "both; by arithmetic it is at or below 3 at both; of FLOP alone it falls from 8 to 5."
    )
    [told] = reuse_words.sentences(high)
    assert "n* is above 13 at both" in told


def test_a_fall_from_a_bound_is_a_fall() -> None:
    above, crosses = Verdict("beyond-grid", low=13.0), Verdict("crosses", 7.0, 6.5, 7.5)
    below, tie = Verdict("always", high=3.0), Verdict("tie", tie_low=3.0, tie_high=13.0)
    assert reuse.sense(above, crosses) == reuse.sense(crosses, below) == -1
    assert reuse.sense(below, crosses) == 1
    overlapping = Verdict("crosses", 6.0, 5.5, 6.6)
    assert reuse.sense(crosses, overlapping) == reuse.sense(crosses, tie) == 0
    rounded = Verdict("crosses", 7.0 + 1e-15 * 8), Verdict("crosses", 7.0)
    assert reuse.sense(*rounded) == reuse.sense(*rounded[::-1]) == 0
    assert reuse.sense(below, below) == reuse.sense(above, above) == 0


def test_without_such_a_grid_there_is_nothing(tmp_path: Path) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9)}
    layer = {"mode": "valid", "batch": 4, "in_channels": 16, "out_channels": 16}
    square = synthetic.write(tmp_path / "a.jsonl", synthetic.duels(contenders, problem=layer))
    assert reuse.of_results(load([square])) == []
    for family in ("fft", "direct"):
        duels = [[r for r in own if r.family == family] for own in by_outputs.duels()]
        assert found(tmp_path / family, duels) == []


@pytest.mark.parametrize("pace", [100.0, 0.001])
def test_one_cell_says_which_is_better(pace: float, tmp_path: Path) -> None:
    stars = one(tmp_path, by_outputs.duels(batches=[4], channels=[16], kernels=[5], pace=pace))
    [star] = stars.stars
    assert reuse_words.interval(star.measured) == ("≤ 5" if pace > 1 else "> 5")
    assert star.paced is not None  # the pace is that of this very cell
    assert reuse_words.sentences(stars) == []
    assert len(list(reuse_words.lines(stars))) == 3  # n*, who was compared, the pace


def test_a_file_from_before_has_no_arithmetic_of_filters(tmp_path: Path) -> None:
    duels = by_outputs.duels(declared_once_flops=None)
    assert one(tmp_path, duels).pace is not None
    for phase, samples in (("fresh", True), ("first", False)):
        stars = found(tmp_path / phase, duels, phase)
        assert bool(stars) == samples
        for own in stars:
            assert own.pace is None
            assert [(star.paced, star.alone) for star in own.stars] == [(None, None)] * 4
            assert "arithmetic" not in " ".join(reuse_words.lines(own))


def test_what_takes_kernels_of_three_alone_hides_no_crossing(tmp_path: Path) -> None:
    """At n = 3 it leads by far; from 5 on it refuses, and the sum stands for the others."""
    duels = by_outputs.duels(batches=[1], channels=[64])
    for own in duels:
        cell = own[0].problem
        more: dict[str, Any] = {"family": "winograd"}
        if cell.kernel[0] == 3:
            taken = [record.phase_seconds["run"][0] / 20 for record in own[:1] * 12]
            more |= {"phase_seconds": {"run": taken}, "rounds": list(range(12))}
        else:
            more |= {"status": "unsupported", "reason": "kernels of 3"}
        own.append(synthetic.record("winograd-4x4-3x3/numpy", cell, **more))
    [star] = one(tmp_path, duels).stars
    assert star.measured.n_star == pytest.approx(by_outputs.n_star(8, 1, 64), rel=0.05)


def test_the_fastest_that_failed_makes_no_crossing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Next to n* the fastest sum is wrong: its second best would move the crossing."""
    duels = by_outputs.duels(batches=[1], channels=[16])
    for own in duels:
        slow = own[0].model_copy(update={"namespace": "torch"})
        times = {key: [10 * t for t in own[0].phase_seconds[key]] for key in ("run", "fresh")}
        own.append(slow.model_copy(update={"phase_seconds": times}))
        if own[0].problem.kernel[0] == 7:
            untimed = {"phase_seconds": {}, "rounds": [], "fresh_rounds": [], "median_s": None}
            own[0] = own[0].model_copy(update={"status": "wrong", **untimed})
    [star] = one(tmp_path, duels).stars
    assert star.kernels == [3, 5, 9, 11, 13]
    assert star.measured.n_star == pytest.approx(8.0, rel=0.05)
    assert "family others is left out at output = 8, n = 7" in caplog.text


def test_scaled_grids_say_so(tmp_path: Path) -> None:
    words = "batch 1, channels 16; in the sweep's grid 16, 128"
    duels = by_outputs.duels(batches=[1], channels=[16], provenance={"scaled": words})
    stars = one(tmp_path, duels)
    told = "Scaled to this device: batch 1, channels 16 (in the sweep's grid 16, 128)."
    assert stars.scaled == told
    assert list(reuse_words.lines(stars))[-1] == told


def test_rows_are_json(tmp_path: Path) -> None:
    rows = reuse_words.to_json(one(tmp_path, by_outputs.duels()))
    assert len(rows) == 4
    first = rows[0]
    assert (first["kind"], first["output"], first["batch"], first["channels"]) == (
        "outputs",
        8,
        1,
        16,
    )
    assert (first["verdict"], first["pair"]) == ("crosses", ["others", "fft"])
    assert first["paced"]["n_star"] == pytest.approx(8.0, rel=0.02)
    assert all(type(first[key]) is int for key in ("output", "batch", "channels", "dimensions"))


def test_stars_are_in_order(tmp_path: Path) -> None:
    duels = by_outputs.duels(outputs=(16, 4), batches=(4, 1), channels=(64, 8))[::-1]
    stars = one(tmp_path, duels).stars
    keys = [(star.output, star.batch, star.channels) for star in stars]
    assert keys == sorted(keys)
    assert len(keys) == 8
