"""``convcross crossover`` on a sweep by outputs, which has no n*(N)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from convcross.cli import app
from support import by_outputs, synthetic


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    return by_outputs.write(tmp_path / "grid.jsonl", by_outputs.duels())


def crossover(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["convcross", "crossover", *arguments])
    return app._main()


def test_it_prints_n_star_by_output_batch_and_channels(
    grid: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert crossover(monkeypatch, str(grid)) == 0
    heading, first, second, by_channels, *_ = capsys.readouterr().out.splitlines()
    assert heading == (
        "Test Machine (cpu): float32, correlation, valid, normal data, regime warm, phase steady "
        "(run alone)"
    )
    assert first.startswith("  outputs of 8, batch 1: n* at 16, 64 channels: 8 [")
    assert second.endswith("]; by arithmetic 8, 5")
    assert by_channels.startswith("  From 16 to 64 channels, n* of FFT over all others falls in 2")
    assert crossover(monkeypatch, str(grid), "--phase", "fresh") == 0
    assert "phase fresh" in capsys.readouterr().out


def test_as_json(
    grid: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert crossover(monkeypatch, str(grid), "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["kind"], row["batch"], row["channels"]) for row in rows] == [
        ("outputs", batch, channels) for batch in (1, 4) for channels in (16, 64)
    ]


@pytest.mark.parametrize("options", [("--pair", "direct,fft"), ("--cost", "error")])
def test_a_pair_or_another_cost_has_no_curve_over_n(
    options: tuple[str, str],
    grid: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert crossover(monkeypatch, str(grid), *options) == 2
    assert "its n* is by output, batch and channels, in time" in capsys.readouterr().err


def test_beside_images_both_are_printed(
    grid: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    images = synthetic.swept(tmp_path, synthetic.fft(9.4))
    assert crossover(monkeypatch, str(images), str(grid)) == 0
    told = capsys.readouterr().out
    assert "for N = 512" in told
    assert "outputs of 8, batch 4" in told
