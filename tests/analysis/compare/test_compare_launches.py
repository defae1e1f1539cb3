"""Two files of several launches: what differs between processes is no difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from convcross.analysis.compare.compare import Comparison, compare
from convcross.machine import repeatability
from convcross.machine.repeatability import Repeat, Repeatability
from support import synthetic
from support.synthetic import direct, fft

KERNELS = (3, 5, 7, 9, 11, 15, 21, 31)


def verdicts(found: Comparison) -> Counter[tuple[str, str]]:
    return Counter((cell.contender, cell.verdict) for cell in found.cells)


def several(path: Path, levels: Sequence[float], scale: float = 1.0, seed: int = 0) -> Path:
    """A sweep of two contenders, the first ``scale`` times slower; a factor for each launch."""
    curves = {"direct/numpy": lambda N, n: scale * direct()(N, n), "fft/numpy": fft(9.0)}
    duels = synthetic.launched(curves, levels, seed=seed, sizes=[512], kernels=KERNELS, rounds=200)
    return synthetic.write(path, duels, synthetic.header(launches=len(levels)))


def test_a_slow_process_is_no_difference(tmp_path: Path) -> None:
    """Process 2 of B is slower by half throughout: by its samples alone, all cells would differ."""
    a = several(tmp_path / "a.jsonl", [1.0, 1.02, 0.99], seed=1)
    b = several(tmp_path / "b.jsonl", [1.01, 1.5, 1.03], seed=2)
    found = compare(a, b)
    assert {cell.verdict for cell in found.cells} == {"same"}
    assert all(cell.samples is None for cell in found.cells)
    assert all(tally.smallest > 0.2 for tally in found.contenders)
    alone = [several(tmp_path / f"{name}.jsonl", [level]) for name, level in (("c", 1), ("d", 1.5))]
    judged = compare(*alone)
    assert {cell.verdict for cell in judged.cells} == {"slower"}
    assert any("16 of 16 cells have one launch" in note for note in judged.notes)


def test_a_slow_down_beyond_the_launches_is_found(tmp_path: Path) -> None:
    a = several(tmp_path / "a.jsonl", [1.0, 1.01, 0.99], seed=1)
    found = compare(a, several(tmp_path / "b.jsonl", [1.01, 1.0, 0.99], 1.1, seed=2))
    assert verdicts(found) == {("direct/numpy", "slower"): 8, ("fft/numpy", "same"): 8}
    assert all((cell.smallest or 0.0) < 0.1 for cell in found.cells)


@pytest.mark.parametrize(("deviation", "verdict"), [(0.05, "same"), (0.002, "slower")])
def test_what_the_machine_cannot_tell_is_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deviation: float, verdict: str
) -> None:
    monkeypatch.chdir(tmp_path)
    repeat = Repeat(
        contender="direct/numpy",
        device="cpu",
        regime="warm",
        N=256,
        deviation=deviation,
        within=0.01,
        launches=10,
        cells=8.0,
    )
    known = Repeatability(
        machine="Test Machine", measured_at="", commit="", sweep="", repeats=[repeat]
    )
    repeatability.write(known)
    a = several(tmp_path / "a.jsonl", [1.0, 1.001, 0.999], seed=1)
    found = compare(a, several(tmp_path / "b.jsonl", [1.001, 1.0, 0.999], 1.04, seed=2))
    floors = {cell.contender: cell.floor or 0.0 for cell in found.cells}
    assert floors["direct/numpy"] == pytest.approx(np.expm1(repeat.smallest(3, 3)))
    assert floors["fft/numpy"] == pytest.approx(0.02)  # not measured
    assert verdicts(found)["direct/numpy", verdict] == 8
