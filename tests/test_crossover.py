"""Planted crossovers are found, and what is not there is not invented."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import synthetic
from convcross.analysis import crossover
from convcross.analysis.crossover import Crossover, crossovers
from convcross.analysis.samples import resampled_median
from convcross.analysis.verdict import Curve, judge
from convcross.failures import BadInput
from convcross.records import Record

PAIR = [("direct", "fft")]
KERNELS = (3, 5, 7, 9, 11, 15, 21, 31)


def one(rows: Sequence[Crossover]) -> Crossover:
    assert len(rows) == 1
    return rows[0]


def swept(path: Path, fft: synthetic.Curve, **how: object) -> Path:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": fft}
    settings = {"sizes": [512], "noise": 0.03} | how
    return synthetic.write(path / "sweep.jsonl", synthetic.duels(contenders, **settings))


def ratio(signs: Sequence[float], spread: float = 0.001) -> Curve:
    """Log ratios at n = 3, 5, 7, …, each with replicates of the given spread."""
    points = np.array(signs)
    offsets = np.linspace(-2 * spread, 2 * spread, 101)
    return Curve(3.0 + 2 * np.arange(len(points)), points, points[:, None] + offsets)


def test_always_never_tie() -> None:
    assert judge(ratio([0.1, 0.2, 0.3]), 512).verdict == "always"
    assert judge(ratio([-0.1, -0.2, -0.3]), 8).verdict == "never"
    tie = judge(ratio([-0.001, 0.001, 0.001], spread=0.01), 512)
    assert (tie.verdict, tie.tie_low, tie.tie_high, tie.crossings) == ("tie", 3, 7, [])


@pytest.mark.parametrize(
    ("signs", "low", "high", "crossings"),
    [
        ([-0.3, -0.2, -0.1], 7, None, 0),  # A to the end of a grid short of N
        ([-0.3, -0.2, 0.0001], 5, None, 0),  # A, then ties
        ([0.0001, 0.1, 0.2], None, 5, 0),  # ties, then B
        ([0.3, 0.1, -0.1], 7, None, 1),  # B, then A
        ([-0.2, 0.2, -0.2], 7, None, 2),  # B only in between
    ],
)
def test_beyond_the_grid_gives_the_bound(
    signs: list[float], low: float | None, high: float | None, crossings: int
) -> None:
    found = judge(ratio(signs), 512)
    assert (found.verdict, found.n_star, found.low, found.high) == ("beyond-grid", None, low, high)
    assert len(found.crossings) == crossings


def test_the_last_of_several_crossings_is_the_crossover() -> None:
    found = judge(ratio([-0.2, 0.2, -0.2, 0.2]), 512)
    assert found.verdict == "crosses"
    expected = [np.sqrt(3 * 5), np.sqrt(5 * 7), np.sqrt(7 * 9)]
    np.testing.assert_allclose(found.crossings, expected)
    assert found.n_star == found.crossings[-1]


def test_ties_after_the_crossing_do_not_move_it() -> None:
    wanted = judge(ratio([-0.2, 0.2, 0.2, 0.2, 0.2]), 512).n_star
    for tie in (0.0, -0.001, -0.015):  # not significant, and significant but under 2 %
        assert judge(ratio([-0.2, 0.2, tie, 0.0, 0.2], spread=0.001), 512).n_star == wanted
    assert judge(ratio([-0.2, 0.2, -0.03, 0.0, 0.2]), 512).n_star != wanted


def test_one_sample_is_no_evidence() -> None:
    rng = np.random.default_rng(0)
    low, high = np.quantile(resampled_median(np.array([0.5]), 1000, rng), [0.025, 0.975])
    assert low < -10
    assert high > 10


def test_a_family_is_its_fastest_contender_in_each_cell(tmp_path: Path) -> None:
    contenders = {
        "direct/numpy": lambda N, n: 1e-3 * n,
        "scipy-convolve2d/numpy": lambda N, n: 1e-4 * n**2,  # the faster one below n = 10
        "fft/numpy": lambda N, n: 7.5e-3,
    }
    path = synthetic.write(tmp_path / "a.jsonl", synthetic.duels(contenders, sizes=[512]))
    rows = {row.pair: row for row in crossovers([path])}
    assert set(rows) == {
        ("direct", "fft"),
        ("direct/numpy", "fft"),
        ("scipy-convolve2d/numpy", "fft"),
    }
    family, linear, square = (rows[pair].n_star for pair in rows)
    assert linear == pytest.approx(7.5, rel=0.02)
    assert square == pytest.approx(75**0.5, rel=0.02)
    assert family == pytest.approx(75**0.5, rel=0.02)


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
                record.telemetry["energy"] = {"j_per_run": joules.tolist()}
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
    assert "becomes more energy-efficient than" in crossover.sentence(row)


def test_energy_that_no_record_has_is_told_with_its_command(tmp_path: Path) -> None:
    path = swept(tmp_path, synthetic.fft(9.4), telemetry={"energy": {"not_measured": "no counter"}})
    message = refusal([path], cost="energy")
    wanted = "energy: not measured (no counter); measure it: convcross run synthetic --energy"
    assert message == wanted


def test_workspace_is_exact(tmp_path: Path) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    duels = synthetic.duels(contenders, sizes=[512])
    for duel in duels:
        n = duel[0].problem["kernel"][0]
        duel[0].workspace_bytes, duel[1].workspace_bytes = 1000.0 * n, 10_000.0
    path = synthetic.write(tmp_path / "a.jsonl", duels)
    row = one(crossovers([path], pairs=PAIR, cost="workspace"))
    assert row.n_star == pytest.approx(10, rel=1e-3)
    assert (row.low, row.high) == (None, None)
    assert one(crossovers([path], pairs=PAIR, cost="workspace", phase="first")) != row


def test_rows_have_the_keys_of_the_design(tmp_path: Path) -> None:
    row = one(crossovers([swept(tmp_path, synthetic.fft(9.4))], pairs=PAIR)).to_json()
    keys = "machine device pair phase cost regime dtype op mode data batch channels N verdict "
    keys += "n_star low high tie_low tie_high crossings stood"
    assert " ".join(row) == keys
    json.dumps(row, allow_nan=False)


def test_the_bootstrap_is_repeatable(tmp_path: Path) -> None:
    path = swept(tmp_path, synthetic.fft(9.4))
    assert crossovers([path]) == crossovers([path])


def test_conditions_are_never_mixed(tmp_path: Path) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    double = {"direct/numpy": synthetic.direct(2), "fft/numpy": synthetic.fft(13, 2)}
    duels = synthetic.duels(contenders, sizes=[512])
    duels += synthetic.duels(double, sizes=[512], problem={"dtype": "float64"})
    duels += synthetic.duels(double, sizes=[512], problem={"boundary": "circular"})
    rows = crossovers([synthetic.write(tmp_path / "a.jsonl", duels)], pairs=PAIR)
    found = {row.dtype: row.n_star for row in rows}
    assert found == {
        "float32": pytest.approx(9.4, rel=0.02),
        "float64": pytest.approx(13, rel=0.02),
    }


def test_devices_have_their_own_rows_and_can_be_compared(tmp_path: Path) -> None:
    contenders = {"direct/torch": synthetic.direct(), "fft/torch": synthetic.fft(9.4)}
    duels = synthetic.duels(contenders, sizes=[512], regime="wall")
    for duel, other in zip(
        duels, synthetic.duels(contenders, sizes=[512], regime="wall"), strict=True
    ):
        for record in other:
            record.device = "cuda:0"
            record.phase_seconds["run"] = [1e-2 * t for t in record.phase_seconds["run"]]
        duel += other
    path = synthetic.write(tmp_path / "a.jsonl", duels)
    assert [row.device for row in crossovers([path], pairs=PAIR)] == ["cpu", "cuda:0"]
    across = crossovers([path], pairs=[("fft/torch@cpu", "fft/torch@cuda:0")])
    assert one(across).device == "cpu against cuda:0"
    assert one(across).verdict == "always"


def test_cufft_is_the_default_rival_on_cuda(tmp_path: Path) -> None:
    contenders = {
        "direct/cupy": synthetic.direct(),
        "cuda-direct/cupy": synthetic.direct(0.1),
        "fft/cupy": synthetic.fft(9.4),
        "fft/torch": synthetic.fft(9.4),
    }
    duels = synthetic.duels(contenders, sizes=[512], device="cuda:0")
    rows = crossovers([synthetic.write(tmp_path / "a.jsonl", duels)])
    assert [row.pair for row in rows] == [
        ("direct", "fft"),
        ("cuda-direct/cupy", "fft/cupy"),
        ("direct/cupy", "fft/cupy"),
    ]


def twice(folder: Path, crossing: float, seed: int = 0) -> list[Path]:
    """A sweep, and a newer one in which fft crosses at ``crossing`` in the place of 21."""
    settings = {"sizes": [512], "kernels": (3, 5, 7, 9, 11, 15, 21, 31)}
    old = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(21)}
    new = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(crossing)}
    later = {"started_at": "2026-11-02T00:00:00Z"}
    return [
        synthetic.write(folder / "new.jsonl", synthetic.duels(new, seed=seed, **later, **settings)),
        synthetic.write(folder / "old.jsonl", synthetic.duels(old, **settings)),
    ]


def test_the_newest_of_two_measurements_counts_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = twice(tmp_path, 7.5)
    for order in (paths, paths[::-1]):
        caplog.clear()
        assert one(crossovers(order, pairs=PAIR)).n_star == pytest.approx(7.5, rel=0.02)
        assert "16 measurements found twice; the newest counts" in caplog.text
        told = re.search(
            r"8 of those found twice differ by more than the 95 % intervals, most of all "
            r"fft/numpy at N = 512, n = (\d+): (\S+) s, then (\S+) s",
            caplog.text,
        )
        assert told
        assert float(told[2]) / float(told[3]) == pytest.approx((21 / 7.5) ** 2, rel=0.1)


def test_two_measurements_that_agree_contradict_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crossovers(twice(tmp_path, 21), pairs=PAIR)
    assert "found twice" in caplog.text
    assert "differ" not in caplog.text


# ---- what cannot be said -------------------------------------------------------------------


def refusal(paths: list[Path], **how: object) -> str:
    with pytest.raises(BadInput) as caught:
        crossovers(paths, **how)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_machines_are_not_mixed(tmp_path: Path) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    paths = [
        synthetic.write(
            tmp_path / f"{name}.jsonl", synthetic.duels(contenders), synthetic.header(name)
        )
        for name in ("one", "other")
    ]
    message = refusal(paths)
    assert "'one'" in message
    assert "'other'" in message


def test_thread_counts_are_not_mixed(tmp_path: Path) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    paths = [
        synthetic.write(
            tmp_path / f"{threads}.jsonl",
            synthetic.duels(contenders, seed=threads, threads=threads),
        )
        for threads in (1, 2)
    ]
    duels = synthetic.duels(contenders, sizes=[1024], threads=1)
    paths[0] = synthetic.write(tmp_path / "other-sizes.jsonl", duels)
    assert "threads are 1 and 2" in refusal(paths)


def test_one_contender_makes_no_crossover(tmp_path: Path) -> None:
    duels = synthetic.duels({"fft/numpy": synthetic.fft(9.4)})
    path = synthetic.write(tmp_path / "a.jsonl", duels)
    assert "fft/numpy is the only contender" in refusal([path])


def test_one_image_size_and_one_kernel_limit_what_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    duels = synthetic.duels(contenders, sizes=[256, 512])
    crossovers([synthetic.write(tmp_path / "both.jsonl", duels)], pairs=PAIR)
    assert not caplog.text
    duels = synthetic.duels(contenders, sizes=[512], kernels=[7])
    row = one(crossovers([synthetic.write(tmp_path / "one.jsonl", duels)], pairs=PAIR))
    assert (row.verdict, row.n_star, row.low) == ("beyond-grid", None, 7)
    assert "direct and fft share one kernel size only at N = 512" in caplog.text
    assert "N = 512 is the only image size: n* there can be said, not how it" in caplog.text


def test_a_pair_without_common_cells_is_told_beside_one_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    duels = synthetic.duels(contenders, sizes=[512])
    duels += synthetic.duels({"im2col-gemm/numpy": synthetic.direct()}, sizes=[256])
    path = synthetic.write(tmp_path / "a.jsonl", duels)
    assert len(crossovers([path], pairs=[*PAIR, ("im2col", "fft")])) == 1
    assert "pair im2col,fft: no cell in which both have a usable time" in caplog.text


def test_schemas_of_two_versions_are_not_read_as_one(tmp_path: Path) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    paths = [tmp_path / "now.jsonl", tmp_path / "later.jsonl"]
    for path in paths:
        synthetic.write(path, synthetic.duels(contenders, sizes=[512]))
    paths[1].write_text(paths[1].read_text().replace('"schema":1', '"schema":2', 1))
    message = refusal(paths)
    assert "later.jsonl:1: schema is 2; allowed: 1 to 1" in message


def test_all_censored_makes_no_crossover(tmp_path: Path) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    duels = synthetic.duels(contenders, sizes=[256], status="timeout")
    message = refusal([synthetic.write(tmp_path / "a.jsonl", duels)])
    assert "no usable time" in message
    assert "16 timeout" in message


def test_no_finished_duel(tmp_path: Path) -> None:
    assert "no finished duel" in refusal([synthetic.write(tmp_path / "a.jsonl", [])])


def test_layers_alone_make_no_crossover(tmp_path: Path) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    duels = synthetic.duels(contenders, problem={"stride": (2, 2)})
    assert "no square image" in refusal([synthetic.write(tmp_path / "a.jsonl", duels)])


def test_a_missing_family_names_what_is_there(tmp_path: Path) -> None:
    contenders = {"im2col/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    path = synthetic.write(tmp_path / "a.jsonl", synthetic.duels(contenders))
    message = refusal([path])
    assert "family direct" in message
    assert "im2col/numpy" in message


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"pairs": [("direct", "winograd")]}, "'winograd'"),
        ({"pairs": [("direct", "fft/cupy")]}, "'fft/cupy'"),
        ({"pairs": [("direct", "fft@cuda:0")]}, "'fft@cuda:0'"),
        ({"pairs": [("fft", "fft")]}, "two different sides"),
        ({"phase": "last"}, "allowed: steady, fresh, first"),
        ({"cost": "money"}, "allowed: time, error, workspace"),
        ({"cost": "energy"}, "not measured"),
        ({"cost": "energy", "phase": "fresh"}, "allowed with cost 'energy': steady"),
        ({"cost": "error", "phase": "first"}, "allowed with cost 'error': steady"),
        ({"cost": "workspace"}, "no cell in which both have a usable workspace"),
    ],
)
def test_bad_requests_name_what_is_allowed(
    tmp_path: Path, how: dict[str, object], told: str
) -> None:
    assert told in refusal([swept(tmp_path, synthetic.fft(9.4))], **how)


def test_disjoint_cells_make_no_crossover(tmp_path: Path) -> None:
    duels = synthetic.duels({"direct/numpy": synthetic.direct()}, sizes=[256])
    duels += synthetic.duels({"fft/numpy": synthetic.fft(9.4)}, sizes=[512])
    path = synthetic.write(tmp_path / "a.jsonl", duels)
    assert "no cell in which both" in refusal([path])


# ---- in words ------------------------------------------------------------------------------


def test_each_verdict_has_its_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = {
        "crosses": (synthetic.fft(9.4), "fft overtakes direct at n = 9.4 ["),
        "always": (synthetic.fft(1.5), "fft is faster than direct at every n measured (from 3)"),
        "beyond-grid": (synthetic.fft(99), "fft overtakes direct above n = 31, if at all,"),
        "tie": (synthetic.direct(), "fft and direct do not differ significantly at n = 3 to 31"),
    }
    for verdict, (curve, told) in cases.items():
        folder = tmp_path / verdict
        row = one(crossovers([swept(folder, curve, noise=0.01)], pairs=PAIR))
        assert row.verdict == verdict
        crossover.print_table([row])
        printed = capsys.readouterr().out
        assert printed.startswith("Test Machine (cpu): float32, convolution, same")
        assert told in printed
        assert "for N = 512" in printed


def test_who_stood_for_a_family_is_told(tmp_path: Path) -> None:
    """One direct contender is best up to n = 7 and another from there on: the crossover at 20 is
    the second's."""
    contenders = {
        "direct-a/numpy": lambda N, n: n**2.0 if n <= 7 else n**2.5,
        "direct-b/numpy": lambda N, n: n**2.5 if n <= 7 else n**2.0,
        "fft/numpy": lambda N, n: 400.0,
    }
    duels = synthetic.duels(contenders, sizes=[64], noise=0.01)
    for duel in duels:
        for record in duel[:-1]:
            record.family = "direct"
    path = synthetic.write(tmp_path / "a.jsonl", duels)
    row = one(crossovers([path], pairs=[("direct", "fft")]))
    assert row.n_star == pytest.approx(20, rel=0.02)
    assert row.stood == (["direct-b/numpy"], ["fft/numpy"])
    assert crossover.sentence(row).endswith("(fft/numpy against direct-b/numpy)")
    named = one(crossovers([path], pairs=[("direct-b/numpy", "fft/numpy")]))
    assert "against" not in crossover.sentence(named)


def test_several_crossings_are_all_told(tmp_path: Path) -> None:
    def wavy(N: int, n: int) -> float:
        return synthetic.direct()(N, n) * (2.0 if n in (3, 11) else 0.5)

    row = one(crossovers([swept(tmp_path, wavy)], pairs=PAIR))
    told = crossover.sentence(row)
    assert "for the last time" in told
    assert told.count(",") >= 2
    assert len(row.crossings) == 3


def test_a_kernel_as_large_as_the_image_reaches_never(tmp_path: Path) -> None:
    path = swept(tmp_path, synthetic.fft(99), sizes=[32])
    assert one(crossovers([path], pairs=PAIR)).verdict == "never"
