"""Two files side by side: what was planted is found, noise is not, and nothing is merged."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from convcross.analysis.compare.cells import ALPHA, Cell
from convcross.analysis.compare.compare import Comparison, Shift, compare
from convcross.errors import BadInput
from convcross.stats.two_samples import least_p, mann_whitney
from convkernels import Problem
from support import synthetic
from support.synthetic import Curve, direct, fft

KERNELS = (3, 5, 7, 9, 11, 15, 21, 31)


def best(found: Comparison) -> list[Shift]:
    """The crossovers of the fastest direct sum and the fastest FFT."""
    return [shift for shift in found.crossovers if shift.a.kind == "best"]


def results(
    path: Path,
    scale: Curve | float = 1.0,
    *,
    head: Any = None,
    crossing: float = 9.0,
    contenders: tuple[str, str] = ("direct/numpy", "fft/numpy"),
    **how: Any,
) -> Path:
    """A sweep of two contenders, the first's times multiplied by ``scale``."""
    times: Curve = scale if callable(scale) else lambda N, n: scale
    curves = {
        contenders[0]: lambda N, n: direct()(N, n) * times(N, n),
        contenders[1]: fft(crossing),
    }
    how = {"sizes": [512], "kernels": KERNELS, "rounds": 100} | how
    return synthetic.write(path, synthetic.duels(curves, **how), head)


def verdicts(found: Comparison) -> Counter[tuple[str, str]]:
    return Counter((cell.contender, cell.verdict) for cell in found.cells)


def test_a_planted_slow_down_is_found_and_only_that(tmp_path: Path) -> None:
    a = results(tmp_path / "a.jsonl", seed=1)
    b = results(tmp_path / "b.jsonl", 1.05, seed=2)
    found = compare(a, b)
    assert verdicts(found) == {("direct/numpy", "slower"): 8, ("fft/numpy", "same"): 8}
    slowed, other = found.contenders
    assert (slowed.contender, slowed.slower, slowed.same) == ("direct/numpy", 8, 0)
    assert 1.04 < slowed.low < slowed.ratio < slowed.high < 1.06
    assert other.low < 1.0 < other.high
    assert {cell.verdict for cell in compare(b, a).cells} == {"faster", "same"}


def test_one_cell_stands_out_of_many(tmp_path: Path) -> None:
    a = results(tmp_path / "a.jsonl", seed=1)
    b = results(tmp_path / "b.jsonl", lambda N, n: 1.05 if n == 9 else 1.0, seed=2)
    (cell,) = compare(a, b).slower
    assert (cell.contender, cell.problem["kernel"]) == ("direct/numpy", [9, 9])
    low, ratio, high = (value or 0.0 for value in (cell.low, cell.ratio, cell.high))
    assert 1.0 < low < ratio < high < 1.1


def test_a_difference_under_two_percent_is_none_however_sure(tmp_path: Path) -> None:
    def quiet(path: Path, scale: float, seed: int) -> Path:
        rng = np.random.default_rng(seed)
        duels = []
        for n in KERNELS:
            cell, noise = Problem((64, 64), (n, n), mode="same"), rng.standard_normal((2, 100))
            times = zip(("direct/numpy", "fft/numpy"), np.exp(0.001 * noise), strict=True)
            duels.append([synthetic.timed(name, cell, scale, one, 0.0) for name, one in times])
        return synthetic.write(path, duels)

    a = quiet(tmp_path / "a.jsonl", 1.0, 1)
    found = compare(a, quiet(tmp_path / "b.jsonl", 1.01, 2))
    assert {cell.verdict for cell in found.cells} == {"same"}
    assert all(cell.p_adjusted is not None and cell.p_adjusted < ALPHA for cell in found.cells)
    assert len(compare(a, quiet(tmp_path / "c.jsonl", 1.03, 3)).slower) == 16


def test_noise_alone_finds_nothing(tmp_path: Path) -> None:
    """5 % of noise moves medians of 20 samples by more than the floor of 2 % in many cells."""
    small = {"kernels": (3, 9, 31), "rounds": 20}
    files = [results(tmp_path / f"{seed}.jsonl", seed=seed, **small) for seed in range(101)]
    clean = moved = 0
    for a, b in itertools.pairwise(files):
        cells = compare(a, b).cells
        assert len(cells) == 6
        clean += {cell.verdict for cell in cells} == {"same"}
        moved += any(abs(np.log(cell.ratio or 0.0)) > 0.02 for cell in cells)
    assert clean >= 95
    assert moved >= 50


def test_p_is_adjusted_for_all_cells(tmp_path: Path) -> None:
    a = results(tmp_path / "a.jsonl", seed=1)
    cells = compare(a, results(tmp_path / "b.jsonl", lambda N, n: 1 + n / 500, seed=2)).cells
    p = np.array([cell.p for cell in cells], dtype=float)
    adjusted = np.array([cell.p_adjusted for cell in cells], dtype=float)
    order = np.argsort(p)
    steps = p[order] * len(p) / np.arange(1, len(p) + 1)
    expected = np.minimum.accumulate(steps[::-1])[::-1]  # Benjamini & Hochberg 1995
    np.testing.assert_allclose(adjusted[order], expected)
    assert (adjusted > p * 1.5).any()


def test_p_of_samples_that_do_not_overlap_is_exact() -> None:
    assert mann_whitney(np.arange(5.0), np.arange(5.0, 10.0)) == pytest.approx(2 / 252)
    assert least_p(10, 10) == pytest.approx(2 / 184756)
    assert mann_whitney(np.ones(9), np.ones(9)) == 1.0
    tied = np.array([1.0, 1.0, 1.0, 2.0]), np.array([2.0, 2.0, 3.0, 3.0])
    assert mann_whitney(*tied) == stats.mannwhitneyu(*tied, method="asymptotic").pvalue


def test_too_few_samples_are_said(tmp_path: Path) -> None:
    a = results(tmp_path / "a.jsonl", rounds=4, seed=1)
    found = compare(a, results(tmp_path / "b.jsonl", 3.0, rounds=4, seed=2))
    assert found.slower == []
    assert any("16 of 16 cells have too few samples" in note for note in found.notes)
    enough = compare(results(tmp_path / "c.jsonl", seed=3), results(tmp_path / "d.jsonl", seed=4))
    assert ["too few" in note for note in enough.notes] == [False]


def one_cell(path: Path, status: str, n: int = 3, **changes: Any) -> Path:
    """Of two contenders on one problem, the second of this status."""
    cell = Problem((64, 64), (n, n), mode="same")
    shared = np.linspace(0.99, 1.01, 20) * (1 + 1e-6 * ord(path.stem[0]))  # no two files alike
    first = synthetic.timed("direct/numpy", cell, 1.0, shared, 0.0)
    second = synthetic.timed("fft/numpy", cell, 1.0, shared, 0.0, **changes)
    if status != "ok":
        second = synthetic.record("fft/numpy", cell, status=status, reason=f"it was {status}")
    return synthetic.write(path, [[first, second]])


def status_of(found: Comparison) -> Cell:
    (cell,) = (cell for cell in found.cells if cell.contender == "fft/numpy")
    return cell


@pytest.mark.parametrize("status", ["wrong", "oom", "timeout", "error"])
def test_what_was_ok_and_fails_counts_as_slower(tmp_path: Path, status: str) -> None:
    a, b = one_cell(tmp_path / "a.jsonl", "ok"), one_cell(tmp_path / "b.jsonl", status)
    found = compare(a, b)
    cell = status_of(found)
    assert (cell.verdict, cell.status, cell.reason[1]) == (
        "failed",
        ("ok", status),
        f"it was {status}",
    )
    assert (cell.seconds[0] is None, cell.seconds[1] is None) == (False, True)
    assert found.slower == [cell]
    recovered = compare(b, a)
    assert (status_of(recovered).verdict, recovered.slower) == ("changed", [])


def test_what_is_refused_or_flagged_or_lacking_is_listed_and_not_slower(tmp_path: Path) -> None:
    a = one_cell(tmp_path / "a.jsonl", "ok")
    refused = compare(a, one_cell(tmp_path / "b.jsonl", "unsupported"))
    flagged = compare(a, one_cell(tmp_path / "c.jsonl", "ok", flags=["impossible"]))
    assert (status_of(refused).status, refused.slower) == (("ok", "unsupported"), [])
    assert (status_of(flagged).status, flagged.slower) == (("ok", "impossible"), [])
    asked = compare(a, tmp_path / "c.jsonl", include_flagged=True)
    assert status_of(asked).verdict == "same"
    few = results(tmp_path / "d.jsonl", kernels=(3, 5), seed=4)
    lacking = compare(results(tmp_path / "e.jsonl", kernels=(3, 5, 7), seed=5), few)
    lone = [cell for cell in lacking.cells if cell.status == ("ok", None)]
    assert [(cell.problem["kernel"], cell.verdict) for cell in lone] == [([7, 7], "changed")] * 2
    assert lacking.slower == []


def test_what_neither_can_do_is_left_out(tmp_path: Path) -> None:
    a, b = (one_cell(tmp_path / f"{name}.jsonl", "error") for name in "ab")
    assert {cell.contender for cell in compare(a, b).cells} == {"direct/numpy"}


def on_card(card: str, driver: str) -> Any:
    head = synthetic.header(machine=card)
    head.machine["gpus"] = [{"device": "cuda:0", "name": card}]
    head.software["cuda"] = {"driver": driver, "runtime": "13.0"}
    head.software["threads"] = {"pools": [card]}  # their order is any: the records' number counts
    return head


def test_two_cards_stand_side_by_side(tmp_path: Path) -> None:
    """Each file has one device: cuda:0 there is compared with cuda:1 here."""
    a = results(tmp_path / "a.jsonl", head=on_card("h100", "580"), device="cuda:0", seed=1)
    b = results(
        tmp_path / "b.jsonl", 0.5, head=on_card("h200", "590"), device="cuda:1", threads=4, seed=2
    )
    found = compare(a, b)
    assert found.machines == ("h100", "h200")
    assert found.differences == {
        "machine.name": ("h100", "h200"),
        "machine.gpus.0.name": ("h100", "h200"),
        "cuda.driver": ("580", "590"),
        "threads": ("2", "4"),
    }
    assert found.contenders[0].device == ("cuda:0", "cuda:1")
    assert verdicts(found) == {("direct/numpy", "faster"): 8, ("fft/numpy", "same"): 8}
    (shift,) = best(found)
    assert (shift.a.machine, shift.b.machine) == ("h100", "h200")


def test_of_files_with_several_devices_each_is_matched_with_its_own(tmp_path: Path) -> None:
    def both(path: Path, scale: float, seed: int) -> Path:
        how = {"sizes": [512], "kernels": (3, 9), "rounds": 100, "noise": 0.01}
        slow = {"direct/torch": direct(scale)}
        cpu = synthetic.duels({"direct/torch": direct()}, seed=seed, **how)
        card = synthetic.duels(slow, seed=seed + 50, device="cuda:0", **how)
        return synthetic.write(path, [one + other for one, other in zip(cpu, card, strict=True)])

    found = compare(both(tmp_path / "a.jsonl", 1.0, 1), both(tmp_path / "b.jsonl", 1.2, 2))
    assert {cell.device for cell in found.slower} == {("cuda:0", "cuda:0")}
    assert [one.device for one in found.contenders] == [("cpu", "cpu"), ("cuda:0", "cuda:0")]


def test_crossovers_move(tmp_path: Path) -> None:
    a = results(tmp_path / "a.jsonl", seed=1, sizes=[256, 512])
    b = results(tmp_path / "b.jsonl", seed=2, sizes=[256, 512], crossing=18.0)
    c = results(tmp_path / "c.jsonl", seed=3, sizes=[256, 512])
    moved, still = best(compare(a, b)), best(compare(a, c))
    assert [shift.a.N for shift in moved] == [256, 512]
    for shift in moved:
        assert shift.a.n_star == pytest.approx(9, rel=0.1)
        assert shift.ratio == pytest.approx(2, rel=0.1)
        assert not shift.overlap
    assert all(shift.overlap for shift in still)


def test_crossovers_are_those_of_the_cells_that_both_have(tmp_path: Path) -> None:
    a = results(tmp_path / "a.jsonl", seed=1)
    b = results(tmp_path / "b.jsonl", seed=2, kernels=(3, 5))
    (shift,) = best(compare(a, b))
    assert (shift.a.verdict, shift.a.low, shift.ratio) == ("beyond-grid", 5, None)


def test_without_crossovers_the_cells_remain(tmp_path: Path) -> None:
    a, b = (
        synthetic.write(
            tmp_path / f"{seed}.jsonl",
            synthetic.duels({"direct/numpy": direct()}, sizes=[64], kernels=[3], seed=seed),
        )
        for seed in (1, 2)
    )
    found = compare(a, b)
    assert (len(found.cells), found.crossovers) == (1, [])
    assert any("no crossovers: " in note and "only contender" in note for note in found.notes)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"regime": "flushed"}, "they differ in regime: warm against flushed"),
        (
            {"contenders": ("direct/torch", "fft/torch")},
            "contender: direct/numpy, fft/numpy against",
        ),
        ({"sizes": [128]}, "they differ in problem"),
    ],
)
def test_nothing_in_common(tmp_path: Path, how: dict[str, Any], told: str) -> None:
    a, b = results(tmp_path / "a.jsonl"), results(tmp_path / "b.jsonl", **how)
    with pytest.raises(BadInput, match=told):
        compare(a, b)


def test_the_same_measurements_are_not_compared_with_themselves(tmp_path: Path) -> None:
    a = results(tmp_path / "a.jsonl")
    with pytest.raises(BadInput, match="is given twice"):
        compare(a, tmp_path / ".." / tmp_path.name / "a.jsonl")
    shutil.copy(a, tmp_path / "copy.jsonl")
    with pytest.raises(BadInput, match="hold the same measurements"):
        compare(a, tmp_path / "copy.jsonl")


def spoiled(folder: Path, seconds: str) -> tuple[Path, Path]:
    """Two files; a sample of the second has this value."""
    a, b = results(folder / "a.jsonl", seed=1), results(folder / "b.jsonl", seed=2)
    b.write_text(re.sub(r'"run":\[[^,]*', f'"run":[{seconds}', b.read_text(), count=1))
    return a, b


@pytest.mark.parametrize("seconds", ["1e400", "1e300", "-1.0", "NaN"])
def test_times_that_cannot_be_are_refused(tmp_path: Path, seconds: str) -> None:
    with pytest.raises(BadInput, match=r"b\.jsonl:2: phase_seconds\.run\.0: .* \(got "):
        compare(*spoiled(tmp_path, seconds))


@pytest.mark.parametrize("seconds", ["0.0", "1e-300"])
def test_less_than_a_clock_can_tell_is_no_time(tmp_path: Path, seconds: str) -> None:
    untimed = [cell for cell in compare(*spoiled(tmp_path, seconds)).cells if cell.ratio is None]
    assert [cell.status for cell in untimed] == [("ok", "no time")]


# ---- the command ---------------------------------------------------------------------------


def test_exit_codes(tmp_path: Path, convcross: Callable[..., tuple[int, str, str]]) -> None:
    a, b = results(tmp_path / "a.jsonl", seed=1), results(tmp_path / "b.jsonl", 1.05, seed=2)
    assert convcross(a, b)[0] == 0
    assert convcross(a, b, "--fail-on-slower")[0] == 1
    assert convcross(b, a, "--fail-on-slower")[0] == 0
    ok, wrong = one_cell(tmp_path / "o.jsonl", "ok"), one_cell(tmp_path / "w.jsonl", "wrong")
    assert convcross(ok, wrong, "--fail-on-slower")[0] == 1
    for bad in ([a, a], [a, tmp_path / "none.jsonl"], [a], [a, ok]):
        code, out, err = convcross(*bad)
        assert (code, out, err.count("\n")) == (2, "", 1)


def test_json_round_trip(tmp_path: Path, convcross: Callable[..., tuple[int, str, str]]) -> None:
    a = results(tmp_path / "a.jsonl", seed=1)
    b = results(tmp_path / "b.jsonl", 1.05, seed=2, kernels=(3, 5, 7, 9, 63))
    code, out, _ = convcross(a, b, "--json", "--fail-on-slower")
    assert code == 1
    assert Comparison.model_validate(json.loads(out)) == compare(a, b)


def test_plain_lines(tmp_path: Path, convcross: Callable[..., tuple[int, str, str]]) -> None:
    a = results(tmp_path / "a.jsonl", head=on_card("h100", "580"), seed=1)
    b = results(
        tmp_path / "b.jsonl",
        lambda N, n: {9: 1.1, 15: 1.2}.get(n, 1.0),
        head=on_card("h100", "590"),
        kernels=(3, 5, 7, 9, 15, 63),
        seed=2,
    )
    _, out, _ = convcross(a, b)
    lines = out.splitlines()
    assert lines[:3] == [
        "A: h100, a.jsonl",
        "B: h100, b.jsonl",
        "   cuda.driver: 580 in A, 590 in B",
    ]
    slower = [line for line in lines if line.endswith("slower")]
    assert [line.split(":")[1].split()[0] for line in slower[-2:]] == ["15×15", "9×9"]
    assert any(line.split() == ["fft/numpy@cpu", "A", "3"] for line in lines)
    assert any(line.split()[:4] == ["direct/numpy@cpu", "2", "0", "3"] for line in lines)
    assert lines[-1] == "2 slower, 0 faster, 8 same, 0 failed, 8 changed"


def test_a_strangers_text_stays_on_its_line(
    tmp_path: Path, convcross: Callable[..., tuple[int, str, str]]
) -> None:
    a = one_cell(tmp_path / "a.jsonl", "ok")
    cell = Problem((64, 64), (3, 3), mode="same")
    head = synthetic.header(machine="x\x1b[2Jy")
    failed = synthetic.record("fft/numpy", cell, status="error", reason="one\n0 slower\x07")
    _, out, _ = convcross(a, synthetic.write(tmp_path / "b.jsonl", [[failed]], head))
    assert "B: x?[2Jy, b.jsonl" in out
    assert any(line.endswith("failed   one 0 slower?") for line in out.splitlines())


def test_tables_on_a_terminal(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    convcross: Callable[..., tuple[int, str, str]],
) -> None:
    a, b = one_cell(tmp_path / "a.jsonl", "ok"), one_cell(tmp_path / "b.jsonl", "error")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = convcross(a, b)
    assert code == 0
    assert "┏━" in out
    assert "it was error" in out
    assert out.splitlines()[-1] == "0 slower, 0 faster, 1 same, 1 failed, 0 changed"
