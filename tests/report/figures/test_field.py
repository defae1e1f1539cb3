"""The figures that only many algorithms give: memory, padding, families."""

from __future__ import annotations

from pathlib import Path

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from convcross.analysis import tables
from convcross.analysis.load import load
from convcross.report.figures import maps, padding, style, trades
from support import synthetic

PADDED = {
    "fft/numpy": synthetic.fft(9.0),
    "fft-exact/numpy": synthetic.fft(9.0, 2.0),
    "fft-power-of-two/numpy": synthetic.fft(9.0, 1.5),
}


def cells(path: Path, contenders: dict[str, synthetic.Curve]) -> pd.DataFrame:
    duels = synthetic.duels(contenders, sizes=[128, 256], kernels=[3, 5, 9])
    return tables.by_cell(load([synthetic.write(path / "a.jsonl", duels)]).grid)


def texts(sheet: Figure) -> set[str]:
    return {text.get_text() for axes in sheet.axes for text in axes.texts} - {""}


def test_padding_is_told_beside_the_next_fast_size(tmp_path: Path) -> None:
    own = cells(tmp_path, PADDED)
    assert padding.why_not(own) is None
    with style.settings():
        sheet = padding.padding(own, "here")
    assert texts(sheet) == {"exact", "power of two"}
    usual, exact, twos = (line for line in sheet.axes[0].lines[:3])
    assert set(np.asarray(usual.get_ydata())) == {1}
    assert np.allclose(exact.get_ydata(), 2.0, rtol=0.1)
    assert np.allclose(twos.get_ydata(), 1.5, rtol=0.1)


def test_padding_of_two_libraries_names_them(tmp_path: Path) -> None:
    torch = {name.replace("numpy", "torch"): times for name, times in PADDED.items()}
    with style.settings():
        sheet = padding.padding(cells(tmp_path, PADDED | torch), "here")
    rules = ("exact", "power of two")
    assert texts(sheet) == {f"{r}, {library}" for r in rules for library in ("numpy", "torch")}


@pytest.mark.parametrize("left_out", ["fft/numpy", "fft-exact/numpy fft-power-of-two/numpy"])
def test_without_a_pair_there_is_no_padding_figure(tmp_path: Path, left_out: str) -> None:
    kept = {name: times for name, times in PADDED.items() if name not in left_out.split()}
    assert "was measured beside fft" in (padding.why_not(cells(tmp_path, kept)) or "")


def test_memory_is_the_declared_workspace(tmp_path: Path) -> None:
    own = cells(tmp_path, PADDED).assign(workspace=0.0)
    for name, size in (("fft/numpy", 1e6), ("fft-exact/numpy", 2e6)):
        own.loc[own["contender"] == name, "workspace"] = size
    looks = style.appearances(own)
    with style.settings():
        sheet = trades.pareto(own, trades.WORKSPACE, looks, "here", set(looks))
    panel = sheet.axes[0]
    points = {tuple(line.get_xdata()) for line in panel.lines if line.get_marker() not in "None"}
    assert {(1e6,), (2e6,)} <= points  # and the third, which declares none, is left out
    assert "fft-power-of-two/numpy" not in texts(sheet)
    assert panel.get_xlabel() == trades.WORKSPACE.label
    assert "kB" in panel.xaxis.get_major_formatter()(5e5)


def test_a_tile_has_the_colour_of_the_fastest_family(tmp_path: Path) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    own = cells(tmp_path, contenders)
    with style.settings():
        sheet = maps.families(own, "here")
    (legend,) = [axes.get_legend() for axes in sheet.axes if axes.get_legend()]
    winners = {text.get_text() for text in legend.get_texts()}
    assert winners == set(tables.fastest(own)["family"])
    tiles = {
        matplotlib.colors.to_hex(patch.get_facecolor()[0], keep_alpha=False).upper()
        for patch in sheet.axes[0].collections
    }
    assert tiles == {style.SHADES[family][0] for family in winners}
