"""What subnormal numbers cost, planted: the claim's verdict, and its figure."""

from __future__ import annotations

from pathlib import Path

import pytest

from convcross.analysis.claims import denormals
from convcross.analysis.claims.finding import Finding
from convcross.analysis.load import load
from convcross.report import report
from support import synthetic


def written(path: Path, direct: float, fft: float) -> Path:
    """A sweep whose contenders take so many times as long on subnormal numbers."""
    curves = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.0)}
    slow = {
        "direct/numpy": synthetic.direct(direct),
        "fft/numpy": synthetic.fft(9.0, fft),
    }
    kernels = (3, 7, 15, 31)
    duels = synthetic.duels(curves, sizes=[256], kernels=kernels, image_data="normal")
    duels += synthetic.duels(slow, sizes=[256], kernels=kernels, image_data="denormal")
    return synthetic.write(path, duels)


def finding(path: Path) -> Finding:
    (found,) = denormals.judge(load([path]))
    return found


@pytest.mark.parametrize(
    ("direct", "fft", "verdict"),
    [
        (3.0, 1.0, "holds"),
        (1.0, 1.0, "false"),
        (3.0, 2.0, "holds only if"),
    ],
)
def test_what_is_planted_is_judged(direct: float, fft: float, verdict: str, tmp_path: Path) -> None:
    found = finding(written(tmp_path / "a.jsonl", direct, fft))
    assert found.verdict == verdict
    assert found.values["direct/numpy"]["mean"] == pytest.approx(direct, rel=0.05)
    assert found.values["fft/numpy"]["mean"] == pytest.approx(fft, rel=0.05)
    assert len(found.numbers) == 2


def test_without_both_kinds_it_is_not_measured(tmp_path: Path) -> None:
    curves = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.0)}
    found = finding(synthetic.write(tmp_path / "a.jsonl", synthetic.duels(curves)))
    assert found.verdict == "not measured here"
    assert found.command == "convcross run denormal"


def test_grids_of_equal_and_unequal_channels(tmp_path: Path) -> None:
    curves = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.0)}
    duels = []
    for kind in ("normal", "denormal"):
        for outs in (3, 4):
            layer = {"in_channels": 3, "out_channels": outs}
            duels += synthetic.duels(curves, sizes=[64], problem=layer, image_data=kind)
    found = finding(synthetic.write(tmp_path / "a.jsonl", duels))
    assert found.verdict == "false"
    assert "over 16 cells" in found.numbers[0]


def test_the_figure_is_in_the_report(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", 3.0, 1.0)
    page, *_ = report.write([path], tmp_path / "report", include_flagged=False, highlight=())
    assert (tmp_path / "report" / "claim-9-denormal-cpu.png").stat().st_size > 10_000
    assert "What subnormal numbers cost" in page.read_text()
