"""Channels are one number, or in and out: problems of both kinds stand side by side in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from convcross.analysis.claims.finding import subjects
from convcross.analysis.crossover.crossover import crossovers
from convcross.analysis.load import load
from convcross.report import report
from support import pages, synthetic

CONTENDERS = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(5)}


@pytest.fixture
def several(tmp_path: Path) -> Path:
    duels = []
    for channels in ((3, 4), (1, 1), (12, 12), (2, 2)):
        layer = dict(zip(("in_channels", "out_channels"), channels, strict=True))
        duels += synthetic.duels(CONTENDERS, sizes=[32], kernels=(3, 5, 9), problem=layer)
    return synthetic.write(tmp_path / "a.jsonl", duels)


def test_crossovers_come_in_the_order_of_channels(several: Path) -> None:
    rows = crossovers([several], pairs=[("direct", "fft")])
    assert [row.channels for row in rows] == [1, 2, (3, 4), 12]
    assert {row.verdict for row in rows} == {"crosses"}


def test_claims_are_judged_on_one_of_them(several: Path) -> None:
    [subject] = subjects(load([several]))
    assert subject.rows["channels"].nunique() == 1


@pytest.mark.torch
def test_the_report_has_them_all(several: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages.draw_nothing(monkeypatch)
    page = report.write([several], several.parent / "out")[0].read_text()
    for told in ("channels 2:", "channels (3, 4):", "channels 12:"):
        assert page.count(told) == 1  # the table of its measurements
