"""n* by output, batch and channels on the page, as a table and as a figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convcross.analysis.crossover import reuse
from convcross.analysis.load import load
from convcross.report import report
from convcross.report.figures import style
from convcross.report.figures.reuse import ALONE, DASHES, PACED
from convcross.report.figures.reuse import reuse as drawn
from support import by_outputs, synthetic
from support.pages import page_of

OUTPUTS = (4, 8)


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    """With outputs of 8, n* is 8 at 16 channels and 5 at 64; of 4, above 13 and 10."""
    return by_outputs.write(tmp_path / "grid.jsonl", by_outputs.duels(OUTPUTS), OUTPUTS)


def test_the_figure_has_measured_and_arithmetic(grid: Path) -> None:
    [stars] = reuse.of_results(load([grid]))
    with style.settings():
        figure = drawn(stars, "here")
    *panels, _ = figure.axes
    assert [panel.get_title(loc="left") for panel in panels] == ["output 4", "output 8"]
    panel = panels[1]
    for dash in DASHES.values():
        lines = [line for line in panel.lines if line.get_linestyle() == dash]
        assert len(lines) == 2  # a batch each
        for line in lines:
            assert np.asarray(line.get_xdata()).tolist() == [16, 64]
            assert np.asarray(line.get_ydata()) == pytest.approx([8, 5], rel=0.02)
    names = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
    assert names == ["batch 1", "batch 4", PACED, ALONE]
    arrows = [text for text in panels[0].texts if getattr(text, "arrow_patch", None)]
    assert len(arrows) == 2  # at 16 channels, of either batch, n* lies above 13
    assert panel.get_ylim() == panels[0].get_ylim()


@pytest.mark.parametrize("kernels", [(3,), (3, 5)])
def test_one_point_is_drawn(kernels: tuple[int, ...], tmp_path: Path) -> None:
    duels = by_outputs.duels(batches=[4], channels=[16], kernels=kernels)
    [stars] = reuse.of_results(load([by_outputs.write(tmp_path / "a.jsonl", duels)]))
    with style.settings():
        figure = drawn(stars, "here")
        assert len(style.save(figure, tmp_path / "one")) == 3


def test_the_page_has_table_figure_and_sentence(grid: Path, tmp_path: Path) -> None:
    files = report.write([grid], tmp_path / "out")
    names = [file.name for file in files if file.name.startswith("reuse-")]
    assert len(names) == 6  # steady and fresh
    page = page_of(files)
    assert page.text.count("n* by output, batch and channels") == 1
    told = "From 16 to 64 channels, n* of FFT over all others falls in {} of 4 cases"
    assert page.text.count(told.format(4)) == 2  # at the top, and in phase steady
    assert page.text.count(told.format(3)) == 1  # in phase fresh: one is above 13 at both
    assert "phase fresh (load and run, as when the filter changed)" in page.text
    assert "> 13" in page.text
    assert "no n*(N)" not in page.text.partition("Interactive chart")[0]


def test_a_page_without_such_a_grid_has_none_of_it(tmp_path: Path) -> None:
    file = synthetic.swept(tmp_path, synthetic.fft(9.4))
    page = page_of(report.write([file], tmp_path / "out"))
    assert "by output, batch and channels" not in page.text


def test_the_page_says_what_was_scaled(tmp_path: Path) -> None:
    scaled = {"scaled": "batch 4, channels 16; in the sweep's grid 128, 64"}
    duels = by_outputs.duels(batches=[4], channels=[16], provenance=scaled)
    files = report.write([by_outputs.write(tmp_path / "a.jsonl", duels)], tmp_path / "out")
    told = "Scaled to this device: batch 4, channels 16 (in the sweep's grid 128, 64)."
    assert told in page_of(files).text
    for name in ("outputs-", "reuse-steady-"):
        [figure] = [f for f in files if f.name.startswith(name) and f.suffix == ".svg"]
        text = figure.read_text()
        assert "Scaled to this device" in text, name
        assert "in the sweep's grid 128, 64" in text.replace("\n", " ")
