"""Crossovers of what a run costs beside time, each with the statistics that fit it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from convcross.analysis.crossover import words
from convcross.analysis.crossover.crossover import Crossover, crossovers
from convcross.errors import BadInput
from convcross.results.schema import Energy, Record
from support import synthetic
from support.synthetic import swept

PAIR = [("direct", "fft")]


def one(rows: Sequence[Crossover]) -> Crossover:
    assert len(rows) == 1
    return rows[0]


def test_phases_add_up_what_a_user_pays(tmp_path: Path) -> None:
    path = swept(tmp_path, synthetic.fft(9.4), noise=0.01)
    for phase in ("steady", "fresh", "first"):  # each side's phases are in the same proportion
        row = one(crossovers([path], pairs=PAIR, phase=phase))
        assert row.phase == phase
        assert row.n_star == pytest.approx(9.4, rel=0.02)


def with_costs(duels: list[list[Record]], seeds: int = 0, windows: int = 0) -> list[list[Record]]:
    """Errors over data seeds and energies of windows, of 30 % and 2 % noise; seeds are shared."""
    rng = np.random.default_rng(3)
    for duel in duels:
        data = np.exp(0.3 * rng.standard_normal(seeds))
        for record in duel:
            assert record.error is not None
            assert record.median_s is not None
            own = np.exp(0.01 * rng.standard_normal(seeds))
            record.error_seeds = (record.error.rel_l2 * data * own).tolist()
            joules = 50 * record.median_s * np.exp(0.02 * rng.standard_normal(windows))
            if windows:
                record.telemetry.energy = Energy(j_per_run=joules.tolist())
    return duels


def costly(path: Path, **how: int) -> Path:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    duels = synthetic.duels(contenders, sizes=[512])
    return synthetic.write(path / "sweep.jsonl", with_costs(duels, **how))


@pytest.mark.parametrize("seeds", [0, 4])
def test_error_has_no_interval_from_few_seeds_and_it_is_said(
    tmp_path: Path, seeds: int, caplog: pytest.LogCaptureFixture
) -> None:
    row = one(crossovers([costly(tmp_path, seeds=seeds)], pairs=PAIR, cost="error"))
    assert row.verdict == "crosses"
    assert row.n_star == pytest.approx(25, rel=0.05)
    assert (row.low, row.high) == (None, None)
    assert "fewer than 5 data seeds" in caplog.text


def test_error_has_an_interval_from_five_seeds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The seeds differ by 30 %, alike for both: unpaired, the interval would be far wider."""
    row = one(crossovers([costly(tmp_path, seeds=5)], pairs=PAIR, cost="error"))
    assert row.low is not None
    assert row.high is not None
    assert row.low <= 25 <= row.high
    assert row.high / row.low < 1.2
    assert "data seeds" not in caplog.text


def test_five_seeds_may_come_from_five_duels(tmp_path: Path) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    duels: list[list[Record]] = []
    for seed in range(5):
        duels += synthetic.duels(contenders, sizes=[512], seed=seed)
        for duel in duels[-8:]:
            for record in duel:
                record.seed = seed
    path = synthetic.write(tmp_path / "a.jsonl", duels)
    row = one(crossovers([path], pairs=PAIR, cost="error"))
    assert row.low is not None
    assert row.n_star == pytest.approx(25, rel=0.02)


def test_energy_is_compared_by_its_windows(tmp_path: Path) -> None:
    row = one(crossovers([costly(tmp_path, windows=3)], pairs=PAIR, cost="energy"))
    assert row.verdict == "crosses"
    assert row.low is not None
    assert row.high is not None
    assert row.low <= 9.4 <= row.high
    assert "becomes more energy-efficient than" in words.sentence(row)


def test_energy_that_no_record_has_is_told_with_its_command(tmp_path: Path) -> None:
    path = swept(tmp_path, synthetic.fft(9.4), telemetry={"energy": {"not_measured": "no counter"}})
    with pytest.raises(BadInput) as caught:
        crossovers([path], cost="energy")
    wanted = "energy: not measured (no counter); measure it: convcross run synthetic --energy"
    assert str(caught.value) == wanted


def test_workspace_is_exact(tmp_path: Path) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    duels = synthetic.duels(contenders, sizes=[512])
    for duel in duels:
        n = duel[0].problem.kernel[0]
        duel[0].workspace_bytes, duel[1].workspace_bytes = 1000.0 * n, 10_000.0
    path = synthetic.write(tmp_path / "a.jsonl", duels)
    row = one(crossovers([path], pairs=PAIR, cost="workspace"))
    assert row.n_star == pytest.approx(10, rel=1e-3)
    assert (row.low, row.high) == (None, None)
    assert one(crossovers([path], pairs=PAIR, cost="workspace", phase="first")) != row
