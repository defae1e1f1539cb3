"""Directions stand side by side in a file, and in no curve, crossover or table together."""

from __future__ import annotations

from pathlib import Path

import pytest

from convcross.analysis.claims.finding import subjects
from convcross.analysis.crossover.crossover import crossovers
from convcross.analysis.crossover.words import heading
from convcross.analysis.load import load
from convcross.analysis.points import points
from convcross.report import report
from convkernels.problem import DIRECTIONS
from support import pages, synthetic

CROSSINGS = {"forward": 5, "grad_input": 7, "grad_weight": 11}


@pytest.fixture
def several(tmp_path: Path) -> Path:
    duels = []
    for direction, crossing in CROSSINGS.items():
        contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(crossing)}
        duels += synthetic.duels(
            contenders, sizes=[32], kernels=(3, 5, 9, 15), problem={"direction": direction}
        )
    return synthetic.write(tmp_path / "a.jsonl", duels)


def test_each_has_its_own_crossover(several: Path) -> None:
    rows = crossovers([several], pairs=[("direct", "fft")])
    assert {row.direction for row in rows} == set(DIRECTIONS)
    for row in rows:
        assert row.verdict == "crosses"
        assert row.n_star == pytest.approx(CROSSINGS[row.direction], rel=0.1)
        assert ("direction" in heading(row)) == (row.direction != "forward")
        assert row.to_json()["direction"] == row.direction


def test_floors_are_those_of_the_forward_pass(several: Path) -> None:
    rows = crossovers([several])
    assert {row.direction for row in rows if row.kind == "floor"} <= {"forward"}


def test_claims_are_of_the_forward_pass(several: Path) -> None:
    [subject] = subjects(load([several]))
    assert set(subject.rows["direction"]) == {"forward"}


def test_points_say_which(several: Path) -> None:
    table = points(load([several]).frame)
    assert table.groupby("direction").size().to_dict() == dict.fromkeys(DIRECTIONS, 8)


@pytest.mark.torch
def test_the_report_has_them_apart(several: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages.draw_nothing(monkeypatch)
    page = report.write([several], several.parent / "out")[0].read_text()
    for direction in DIRECTIONS[1:]:
        assert f"direction {direction}" in page
