"""What is flagged stays out of crossovers, and memory groups are compared by their pacer."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from convcross.analysis.crossover.crossover import Crossover, crossovers
from convcross.analysis.load import load
from convcross.errors import BadInput
from convcross.results.schema import Telemetry
from support import synthetic

PAIR = [("direct", "fft")]


def only(rows: Sequence[Crossover]) -> Crossover:
    (row,) = rows
    return row


def test_what_is_flagged_enters_when_asked_for_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    contenders["scipy-fftconvolve/numpy"] = lambda N, n: 1e-9
    duels = synthetic.duels(contenders, sizes=[512])
    for duel in duels:
        duel[2].flags = ["impossible"]
    duels[0][2].flags = ["impossible", "power-limited"]
    path = synthetic.write(tmp_path / "a.jsonl", duels)
    assert only(crossovers([path], pairs=PAIR)).verdict == "crosses"
    told = "8 flagged measurements (8 impossible, 1 power-limited)"
    assert f"{told} left out (--include-flagged)" in caplog.text
    caplog.clear()
    assert only(crossovers([path], pairs=PAIR, include_flagged=True)).verdict == "always"
    assert f"{told} included as asked" in caplog.text


def test_a_flag_does_not_make_a_wrong_result_usable(tmp_path: Path) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    duels = synthetic.duels(contenders, sizes=[512], status="wrong", flags=["impossible"])
    path = synthetic.write(tmp_path / "a.jsonl", duels)
    with pytest.raises(BadInput, match="16 wrong"):
        crossovers([path], include_flagged=True)


def test_only_flagged_makes_no_crossover(tmp_path: Path) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    duels = synthetic.duels(contenders, sizes=[256], flags=["ran-fft"])
    path = synthetic.write(tmp_path / "a.jsonl", duels)
    with pytest.raises(BadInput, match=r"no usable time, so no crossover \(16 ran-fft\)"):
        crossovers([path])


def in_groups(path: Path, **telemetry: float) -> Path:
    """A sweep in which fft was timed in a second memory group, on a machine then half as fast,
    by a disturbance in each round that is not that of direct's rounds."""
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    duels = synthetic.duels(contenders, sizes=[512], noise=0.03)
    for duel in duels:
        duel[0].telemetry = Telemetry.model_validate({"group": 0})
        duel[1].telemetry = Telemetry.model_validate({"group": 1, **telemetry})
        for phase in ("run", "fresh"):
            times = duel[1].phase_seconds[phase]
            duel[1].phase_seconds[phase] = [2 * t for t in times[3:] + times[:3]]
    return synthetic.write(path / "groups.jsonl", duels)


@pytest.mark.parametrize("phase", ["steady", "fresh", "first"])
def test_groups_are_compared_by_their_common_pacer(tmp_path: Path, phase: str) -> None:
    unpaced = only(crossovers([in_groups(tmp_path / "u")], pairs=PAIR, phase=phase))
    assert unpaced.n_star is None or unpaced.n_star > 10.5
    row = only(crossovers([in_groups(tmp_path / "p", pacer_ratio=2.0)], pairs=PAIR, phase=phase))
    assert row.n_star == pytest.approx(9.4, rel=0.06)


def test_rounds_of_two_groups_are_not_paired(tmp_path: Path) -> None:
    frame = load([in_groups(tmp_path, pacer_ratio=2.0)]).frame
    for column in ("rounds", "fresh_rounds"):
        assert not np.intersect1d(frame[column][0], frame[column][1]).size
    np.testing.assert_allclose(frame["seconds"][1] * 2, np.median(frame["run"][1]) * 2)
    assert frame["pacer"].tolist()[:2] == [1.0, 2.0]
