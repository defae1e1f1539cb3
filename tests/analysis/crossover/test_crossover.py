"""Planted crossovers are found, and what is not there is not invented."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from convcross.analysis.crossover import words
from convcross.analysis.crossover.crossover import Crossover, crossovers
from convcross.analysis.crossover.verdict import Curve, judge
from convcross.cli import results as commands
from convcross.stats import simultaneous
from convcross.stats.bootstrap import Array, resampled_median
from support import synthetic
from support.synthetic import swept

PAIR = [("direct", "fft")]


def one(rows: Sequence[Crossover]) -> Crossover:
    assert len(rows) == 1
    return rows[0]


def ratio(signs: Sequence[float], spread: float = 0.001) -> Curve:
    """Log ratios at n = 3, 5, 7, …, each with replicates of the given spread."""
    points = np.array(signs)
    offsets = np.linspace(-2 * spread, 2 * spread, 101)
    sizes = 3.0 + 2 * np.arange(len(points))
    return curve_of(sizes, points, points[:, None] + offsets)


def curve_of(sizes: Array, points: Array, replicates: Array) -> Curve:
    """Of ratios that were made of 60 samples each."""
    bound = simultaneous.critical(np.full(len(points), 60.0), len(points), 0.05)
    spread = np.sqrt(np.mean((replicates - points[:, None]) ** 2, axis=1))
    return Curve(sizes, points, replicates, bound * spread)


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


def test_a_bound_lies_behind_where_a_may_be_better() -> None:
    """A is better at 7, if not significantly: n* may lie behind it."""
    points = np.array([0.2, 0.2, -0.05, 0.2, 0.2])
    spread = np.array([0.001, 0.001, 0.1, 0.001, 0.001])[:, None]
    curve = ratio(list(points))
    replicates = points[:, None] + spread * np.linspace(-2, 2, 101)
    noisy = curve_of(curve.n, points, replicates)
    assert (judge(noisy, 512).verdict, judge(noisy, 512).high) == ("beyond-grid", 9)


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
    pairs = [("direct", "fft"), ("direct/numpy", "fft"), ("scipy-convolve2d/numpy", "fft")]
    family, linear, square = (row.n_star for row in crossovers([path], pairs=pairs))
    assert linear == pytest.approx(7.5, rel=0.02)
    assert square == pytest.approx(75**0.5, rel=0.02)
    assert family == pytest.approx(75**0.5, rel=0.02)


def test_rows_have_the_keys_of_the_design(tmp_path: Path) -> None:
    row = one(crossovers([swept(tmp_path, synthetic.fft(9.4))], pairs=PAIR)).to_json()
    keys = (
        "kind machine device pair phase cost regime dtype op mode data dimensions direction batch "
    )
    keys += "channels N verdict n_star low high tie_low tie_high crossings representatives "
    keys += "share_a share_b weak beaten_by"
    assert " ".join(row) == keys
    json.dumps(row, allow_nan=False)


def test_json_has_them_and_nothing_else_on_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = swept(tmp_path, synthetic.fft(9.4))
    commands.crossover([path], pair=["direct,fft", "fft,direct"], phase="fresh", as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert "only image size" in caplog.text
    assert [row["pair"] for row in rows] == [["direct", "fft"], ["fft", "direct"]]
    assert [row["verdict"] for row in rows] == ["crosses", "beyond-grid"]
    assert rows[0]["phase"] == "fresh"


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


def test_best_textbook_library_and_floor_are_told_apart(tmp_path: Path) -> None:
    contenders = {
        "direct/numpy": synthetic.direct(),
        "numba-direct/numpy": synthetic.direct(0.1),
        "fft/numpy": synthetic.fft(9.4),
        "numba-overlap-save/numpy": synthetic.fft(3.0),
        "ipp-direct/numpy": synthetic.direct(0.2),
        "ipp-fft/numpy": synthetic.fft(5.0),
    }
    duels = synthetic.duels(contenders, sizes=[512])
    rows = crossovers([synthetic.write(tmp_path / "a.jsonl", duels)])
    assert [(row.kind, row.pair, row.phase) for row in rows] == [
        ("best", ("direct", "fft"), "steady"),
        ("textbook", ("direct/numpy", "fft/numpy"), "steady"),
        ("library", ("ipp-direct/numpy", "ipp-fft/numpy"), "fresh"),
    ]
    best, textbook, _ = rows
    assert best.representatives == (["numba-direct/numpy"], ["numba-overlap-save/numpy"])
    assert textbook.n_star == pytest.approx(9.4, rel=0.02)


def test_the_floor_is_told_where_the_file_has_ceilings(tmp_path: Path) -> None:
    """The share of its floor that a contender reaches, and the floors' own crossing."""
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    duels = synthetic.duels(contenders, sizes=[512])
    for record in (record for duel in duels for record in duel):
        assert record.median_s is not None
        record.floor_s = record.median_s * (0.1 if record.family == "direct" else 0.5)
    ceilings = {
        "machine": "m",
        "device": "cpu",
        "threads": 2,
        "measured_at": "2026-01-01T00:00:00+00:00",
        "flops": {"float32": 2e11},
        "bytes": [[16384, 1e11], [1 << 28, 2e10]],
        "neighbours": {},
    }
    head = synthetic.header("m", ceilings=ceilings)
    head.machine["cpu"] = {"cache_bytes": {"L2": 1 << 20, "L3": 32 << 20}}
    path = synthetic.write(tmp_path / "a.jsonl", duels, head)
    rows = crossovers([path])
    assert [row.kind for row in rows] == ["best", "textbook", "floor", "floor"]
    best, _, whole, tiles = rows
    assert (best.share_a, best.share_b) == (pytest.approx(0.1), pytest.approx(0.5))
    assert best.weak == {"direct/numpy": pytest.approx(0.1)}
    (caution,) = words.cautions([best])
    assert "direct/numpy reaches 10 % of its floor at n*" in caution
    assert whole.pair == ("direct", "fft (whole image)")
    assert whole.n_star == pytest.approx(7, abs=2)
    assert tiles.n_star == pytest.approx(7, abs=2)
    assert "fft (tiles) overtakes direct at n =" in words.sentence(tiles)


def test_a_library_that_beats_both_is_named(tmp_path: Path) -> None:
    contenders = {
        "direct/numpy": synthetic.direct(),
        "fft/numpy": synthetic.fft(9.4),
        "opencv-filter2d/numpy": synthetic.direct(0.1),
    }
    path = synthetic.write(tmp_path / "a.jsonl", synthetic.duels(contenders, sizes=[512]))
    for row in crossovers([path]):
        assert row.beaten_by == ["opencv-filter2d/numpy"]
        (caution,) = words.cautions([row])
        assert "opencv-filter2d/numpy, a library that chooses, is faster than both" in caution


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
        words.print_table([row])
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
    assert row.representatives == (["direct-b/numpy"], ["fft/numpy"])
    assert words.sentence(row).endswith("(fft/numpy against direct-b/numpy)")
    named = one(crossovers([path], pairs=[("direct-b/numpy", "fft/numpy")]))
    assert "against" not in words.sentence(named)


def test_several_crossings_are_all_told(tmp_path: Path) -> None:
    def wavy(N: int, n: int) -> float:
        return synthetic.direct()(N, n) * (2.0 if n in (3, 11) else 0.5)

    row = one(crossovers([swept(tmp_path, wavy)], pairs=PAIR))
    told = words.sentence(row)
    assert "for the last time" in told
    assert told.count(",") >= 2
    assert len(row.crossings) == 3


def test_a_kernel_as_large_as_the_image_reaches_never(tmp_path: Path) -> None:
    path = swept(tmp_path, synthetic.fft(99), sizes=[32])
    assert one(crossovers([path], pairs=PAIR)).verdict == "never"
