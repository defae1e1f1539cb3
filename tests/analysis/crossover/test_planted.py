"""Crossovers planted in noise are covered by their intervals; what fails never moves one.

The full tables by ``make proofs``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcross.analysis.crossover.crossover import Crossover, crossovers
from convcross.analysis.crossover.curves import Grid
from convcross.analysis.crossover.sides import representative
from convcross.analysis.load import load
from convcross.results.schema import Record
from convcross.stats.bootstrap import in_rounds, log_ratio
from convkernels import Problem
from proofs.crossovers import CROSSING, NONE, disturbed, draw, timed, trials, verdict
from support import synthetic

PAIR = [("direct", "fft")]
KERNELS = (3, 5, 7, 9, 11, 15, 21, 31)


def one(rows: Sequence[Crossover]) -> Crossover:
    assert len(rows) == 1
    return rows[0]


# ---- in noise ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*CROSSING, *NONE])
def test_planted_crossovers_are_covered(kind: str) -> None:
    """200 trials: 93 % less two standard errors, which is 89 %."""
    found = trials(kind, 200)
    if kind in NONE:
        assert found.false <= 0.11
    else:
        assert found.covered >= 0.89
        assert found.extreme <= 0.01


@pytest.mark.parametrize("kind", ["n² against flat", "families of near-equals"])
def test_trials_go_the_way_of_records(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(5)
    planted = draw(kind, rng)
    sides = timed(planted, rng)
    duels: list[list[Record]] = []
    for n in sides[0]:
        problem = Problem((planted.N, planted.N), (n, n), mode="same")
        duels.append(
            [
                synthetic.record(
                    f"{family}{number}/numpy",
                    problem,
                    family=family,
                    phase_seconds={"run": samples.tolist()},
                    rounds=list(range(len(samples))),
                )
                for family, side in zip("ab", sides, strict=True)
                for number, samples in enumerate(side[n])
            ]
        )
    path = synthetic.write(tmp_path / "a.jsonl", duels)
    row = one(crossovers([path], pairs=[("a", "b")]))
    wanted = vars(verdict(sides, planted.N))
    assert {key: getattr(row, key) for key in wanted} == wanted
    assert row.verdict == "crosses"


def swept(path: Path, fft: synthetic.Curve) -> Path:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": fft}
    return synthetic.write(path / "a.jsonl", synthetic.duels(contenders, sizes=[512], noise=0.03))


@pytest.mark.parametrize("planted", [4.3, 9.4, 13.0, 25.0])
def test_a_planted_crossover_lies_in_its_interval(tmp_path: Path, planted: float) -> None:
    row = one(crossovers([swept(tmp_path, synthetic.fft(planted))], pairs=PAIR))
    assert row.verdict == "crosses"
    assert row.low is not None
    assert row.high is not None
    assert row.tie_low is not None
    assert row.tie_high is not None
    assert row.low <= planted <= row.high
    assert row.high - row.low < 0.1 * planted
    assert row.tie_low <= row.low
    assert row.high <= row.tie_high
    assert row.crossings == [row.n_star]


def test_equal_contenders_are_not_favoured_by_the_choice_among_them(tmp_path: Path) -> None:
    """Four equal direct contenders against one fft as fast: choosing and timing on the same
    rounds would make family direct look faster."""
    names = ["a/numpy", "b/numpy", "c/numpy", "d/numpy"]
    contenders = dict.fromkeys([*names, "fft/numpy"], lambda N, n: 1e-3)
    settings = {"sizes": [64], "kernels": range(3, 43, 2), "rounds": 8, "noise": 0.05}
    duels = synthetic.duels(contenders, **settings)
    for duel in duels:
        for record in duel[:-1]:
            record.family = "direct"
    path = synthetic.write(tmp_path / "a.jsonl", duels)
    [(_, _, curve)] = Grid(load([path]).grid, "steady", "time").curves(("direct", "fft"))
    standard_error = curve.ratio.std() / len(curve.ratio) ** 0.5
    assert abs(curve.ratio.mean()) < 3 * standard_error


def test_near_equals_of_a_family_are_covered_in_each_cell() -> None:
    """Three contenders of A, 1 % apart, against one of B, in 1000 cells. Chosen by medians that
    rounds disturb, 89 % are covered."""
    rng = np.random.default_rng(7)
    cells = np.ones((4, 1000)) * np.array([1.0, 1.01, 1.02, 1.0])[:, None]
    times = disturbed(rng, cells, 41, spread=0.02)
    covered = 0
    for cell in range(1000):
        a, b, c, rival = (in_rounds(times[who, cell], np.arange(41)) for who in range(4))
        _, family = representative({"a": a, "b": b, "c": c})
        replicates = log_ratio(family, rival, 400, rng).replicates
        low, high = np.quantile(replicates, [0.025, 0.975])
        covered += low <= 0 <= high
    assert covered >= 940


# ---- what fails -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spoiled",
    [
        {"status": "wrong", "reason": "error past its bound"},
        {"flags": ["impossible"]},
        {"flags": ["ran-fft"]},
        {"flags": ["power-limited"]},
        {"flags": ["of a later version"]},
        {"status": "timeout", "phase_seconds": {}, "rounds": []},
    ],
)
def test_a_spoiled_record_never_moves_a_crossover(
    tmp_path: Path, spoiled: dict[str, object]
) -> None:
    """A contender of family fft that would win everywhere, were its records usable."""
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    honest = synthetic.duels(contenders, sizes=[512])
    before = crossovers([synthetic.write(tmp_path / "honest.jsonl", honest)], pairs=PAIR)
    for duel in honest:
        template = duel[1]
        fast = {
            "phase_seconds": {"run": [1e-9] * len(template.rounds)},
            "rounds": template.rounds,
        }
        problem = template.problem
        duel.append(synthetic.record("scipy-fftconvolve/numpy", problem, **(fast | spoiled)))
    after = crossovers([synthetic.write(tmp_path / "spoiled.jsonl", honest)], pairs=PAIR)
    assert [row.to_json() for row in after] == [row.to_json() for row in before]
    for duel in honest:  # the same record, unspoiled, does move it
        duel[2] = duel[2].model_copy(update={"status": "ok", "flags": [], **fast})
    moved = crossovers([synthetic.write(tmp_path / "moved.jsonl", honest)], pairs=PAIR)
    assert one(moved).verdict == "always"


CENSORED = st.sampled_from(["timeout", "oom", "unsupported", "wrong", "error"])


def censor(record: Record, status: str) -> Record:
    """The record as a contender that came to this end leaves it."""
    gone = {"phase_seconds": {}, "rounds": [], "fresh_rounds": [], "error": None, "median_s": None}
    return record.model_copy(update={"status": status, "reason": "planted", **gone})


def found(duels: list[list[Record]], pairs: list[tuple[str, str]] = PAIR) -> list[Crossover]:
    with TemporaryDirectory() as folder:
        return crossovers([synthetic.write(Path(folder) / "a.jsonl", duels)], pairs=pairs)


def honest(**more: synthetic.Curve) -> list[list[Record]]:
    """direct/numpy and fft/numpy, which cross at n = 9.4, and more of torch."""
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    contenders |= {f"{name}/torch": curve for name, curve in more.items()}
    return synthetic.duels(contenders, sizes=[512], kernels=KERNELS)


@settings(max_examples=15, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 7), st.integers(0, 1)), CENSORED, min_size=1, max_size=6
    )
)
def test_a_censored_cell_is_as_one_never_measured(ends: dict[tuple[int, int], str]) -> None:
    """A timeout says that a cell is slow, not how slow: there is nothing to interpolate."""
    duels = honest()
    for (cell, side), status in ends.items():
        duels[cell][side] = censor(duels[cell][side], status)
    cells = {cell for cell, _ in ends}
    assert found(duels) == found([duel for cell, duel in enumerate(honest()) if cell not in cells])


@pytest.mark.parametrize("status", ["timeout", "oom", "unsupported"])
@pytest.mark.parametrize("side", [0, 1])
def test_cells_censored_beyond_the_crossover_leave_it(status: str, side: int) -> None:
    duels, wanted = honest(), one(found(honest()))
    for cell in range(5, 8):
        duels[cell][side] = censor(duels[cell][side], status)
    row = one(found(duels))
    assert row == wanted
    assert row.verdict == "crosses"


def test_a_timeout_of_the_direct_sum_bounds_nothing() -> None:
    """direct is faster wherever both were timed: n* lies beyond, and it is not said where."""
    duels = honest()
    for cell in range(3, 8):
        duels[cell][0] = censor(duels[cell][0], "timeout")
    row = one(found(duels))
    assert (row.verdict, row.n_star, row.low, row.high) == ("beyond-grid", None, 7, None)


@settings(max_examples=15, deadline=None)
@given(st.dictionaries(st.integers(0, 7), st.sampled_from(["wrong", "error", "flag"]), max_size=7))
def test_a_defect_of_the_fastest_never_moves_a_familys_crossover(ends: dict[int, str]) -> None:
    """direct/torch takes a tenth of direct/numpy's time: where it fails, the slow one would stand
    for the family, and fft overtake it."""
    fast = {"direct": synthetic.direct(0.1), "fft": synthetic.fft(9.4, 0.1)}
    wanted = one(found(honest(**fast)))
    duels = honest(**fast)
    for cell, end in ends.items():
        record = duels[cell][2]
        if end == "flag":
            record.flags = ["impossible"]
        else:
            duels[cell][2] = censor(record, end)
    rows = found(duels)
    row = one(rows)
    assert row.verdict in ("crosses", "beyond-grid", "always")
    if row.verdict == "crosses":
        assert row.low is not None
        assert row.high is not None
        assert row.low <= 9.5
        assert row.high >= 9.3
        assert len(row.crossings) == 1
        assert row.representatives == wanted.representatives
    else:  # too few cells are left: a bound, and a true one
        assert row.low is None or row.low < 9.5
        assert row.high is None or row.high > 9.3


def test_what_is_left_out_of_a_family_is_told(caplog: pytest.LogCaptureFixture) -> None:
    fast = {"direct": synthetic.direct(0.1), "fft": synthetic.fft(9.4, 0.1)}
    duels = honest(**fast)
    for cell in (4, 5):
        duels[cell][2].flags = ["impossible"]
    row = one(found(duels))
    assert row.n_star == pytest.approx(9.4, rel=0.05)
    told = "family direct is left out at N = 512, n = 11, 15: direct/torch, its fastest next to it,"
    assert told in caplog.text


def test_what_the_fastest_refuses_makes_no_crossover(caplog: pytest.LogCaptureFixture) -> None:
    """direct/torch, ten times as fast as direct/numpy, ends at n = 7: fft is ahead of the other
    from there on, and would be behind it up to 9.4."""
    fast = {"direct": synthetic.direct(0.1), "fft": synthetic.fft(9.4, 0.1)}
    duels = honest(**fast)
    for cell in duels:
        if cell[2].problem.kernel[0] > 7:
            cell[2] = censor(cell[2], "unsupported")
    row = one(found(duels))
    assert (row.verdict, row.n_star, row.low) == ("beyond-grid", None, 7)
    told = "direct/torch, its fastest up to there, refuses such kernels, and fft is ahead by the"
    assert told in caplog.text


def test_a_refusal_past_the_crossover_moves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    fast = {"direct": synthetic.direct(0.1), "fft": synthetic.fft(9.4, 0.1)}
    wanted = one(found(honest(**fast)))
    for last in (11, 21):
        for refusing in (2, 3):  # the fastest direct sum, and the fastest FFT
            duels = honest(**fast)
            for cell in duels:
                if cell[refusing].problem.kernel[0] > last:
                    cell[refusing] = censor(cell[refusing], "unsupported")
            caplog.clear()
            row = one(found(duels))
            assert row.n_star == pytest.approx(wanted.n_star)
            assert (row.low, row.high) == pytest.approx((wanted.low, wanted.high), rel=0.02)
            # fft was ahead before: what is measured without the fastest direct sum stays.
            assert ("refuses such kernels" in caplog.text) is ((last, refusing) == (11, 3))
