"""Forty contenders: the fastest of each family stand out, the others are there, and it is said."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.colors
import pandas as pd
import pytest
from matplotlib.figure import Figure

from convcross.analysis import tables
from convcross.analysis.load import Results, load
from convcross.errors import BadInput
from convcross.report import report
from convcross.report.emphasis import Emphasis, emphasis
from convcross.report.figures import curves, maps, style, trades
from convcross.report.figures.style import GREY
from support import synthetic
from support.pages import page_of

FOREMOST = {
    "numba-direct/numpy",  # direct/torch is faster at n = 3 only
    "numba-overlap-save/numpy",
    "im2col-gemm/torch",
    "ipp-auto/numpy",
    "numba-separable/numpy",
    "winograd-f2/numpy",
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    duels = synthetic.duels(
        synthetic.forty(), sizes=(256, 1024), kernels=(3, 7, 15, 31), rounds=8, noise=1e-3
    )
    return synthetic.write(tmp_path_factory.mktemp("many") / "sweep.jsonl", duels)


@pytest.fixture(scope="module")
def results(path: Path) -> Results:
    return load([path])


def looks(results: Results, *highlight: str) -> tuple[Emphasis, pd.DataFrame]:
    return emphasis(results, highlight), tables.by_cell(results.grid)


def time_figure(results: Results, *highlight: str) -> Figure:
    own, cells = looks(results, *highlight)
    with style.settings():
        return curves.time(cells, [], style.faded(own.appearances, own.named(cells)), "here")


def names(sheet: Figure) -> set[str]:
    return {text.get_text() for text in sheet.axes[0].texts} - {""}


def note(sheet: Figure) -> str:
    return " ".join(" ".join(text.get_text() for text in sheet.texts).split())


def test_the_synthetic_ones_are_forty_of_every_family(results: Results) -> None:
    frame = results.frame
    assert frame["contender"].nunique() == 40
    assert set(frame["family"]) == set(style.SHADES)


def test_the_fastest_of_each_family_at_most_sizes_are_named(results: Results) -> None:
    own, cells = looks(results)
    assert own.named(cells) == tables.foremost(cells) == FOREMOST
    fastest = cells[(cells["family"] == "direct") & (cells["n"] == 3)]
    assert "direct/torch" in set(tables.fastest(fastest)["contender"])


def test_the_others_are_thin_and_grey(results: Results) -> None:
    sheet = time_figure(results)
    assert names(sheet) == FOREMOST
    grey = [line for line in sheet.axes[0].lines if line.get_color() == GREY.colour]
    assert len(grey) == 34
    coloured = [line for line in sheet.axes[0].lines if line.get_color() != GREY.colour]
    assert max(line.get_linewidth() for line in grey) < min(
        line.get_linewidth() for line in coloured if line.get_linestyle() == "-"
    )
    assert max(line.get_zorder() for line in grey) < min(line.get_zorder() for line in coloured)
    assert "the contender fastest at most sizes" in note(sheet)
    assert "Grey: the 34 others." in note(sheet)


def test_what_is_highlighted_is_named_too(results: Results) -> None:
    sheet = time_figure(results, "fft-ducc", "direct/*")
    assert names(sheet) == {*FOREMOST, "fft-ducc/numpy", "direct/numpy", "direct/torch"}
    assert "Grey: the 31 others." in note(sheet)
    own, _ = looks(results, "textbook", "fft-ducc")  # have shades of their own
    shades = [own.appearances[f"{name}/numpy"] for name in ("numba-overlap-save", "fft-ducc")]
    shades += [own.appearances[name] for name in ("fft/numpy", "fft/torch")]
    assert len({look.colour for look in shades}) == 4


def test_up_to_twelve_are_all_in_colour(results: Results) -> None:
    own, cells = looks(results)
    twelve = sorted(set(cells["contender"]))[:12]
    few = cells[cells["contender"].isin(twelve)]
    assert own.named(few) == set(twelve)
    assert style.faded(own.appearances, own.appearances) == own.appearances
    thirteen = cells[cells["contender"].isin(sorted(set(cells["contender"]))[:13])]
    assert len(own.named(thirteen)) < 12


def test_no_two_look_alike(results: Results) -> None:
    own, _ = looks(results)
    assert len(set(own.appearances.values())) == 40
    crowd = pd.DataFrame({"family": "fft", "contender": [f"fft-{one}" for one in range(40)]})
    assert len(set(style.appearances(crowd).values())) == 40


def test_what_no_other_beats_is_named_beside_them(results: Results) -> None:
    own, cells = looks(results)
    slow = (cells["contender"] == "tap-loop-direct/numpy") & (cells["n"] == 15)
    cells = cells.assign(error=cells["error"].where(~slow, 1e-9))  # slow, and the most accurate
    with style.settings():
        sheet = trades.pareto(cells, trades.ERROR, own.appearances, "here", own.named(cells))
    shown = set().union(*({text.get_text() for text in axes.texts} for axes in sheet.axes)) - {""}
    assert FOREMOST | {"tap-loop-direct/numpy"} <= shown
    assert len(shown) < 12
    assert "those of the grey line" in note(sheet)


def test_the_error_figure_and_the_map_have_short_legends(results: Results) -> None:
    own, cells = looks(results)
    faded = style.faded(own.appearances, own.named(cells))
    with style.settings():
        assert names(curves.error(cells, faded, "here")) == FOREMOST
        sheet = maps.fastest_map(cells, {}, ("direct", "fft"), own.appearances, "here")
    (legend,) = [axes.get_legend() for axes in sheet.axes if axes.get_legend()]
    winners = set(tables.fastest(cells)["contender"])
    assert {text.get_text() for text in legend.get_texts()} == winners
    tiles = [patch.get_facecolor()[0] for patch in sheet.axes[0].collections]
    assert len({matplotlib.colors.to_hex(tile) for tile in tiles}) == len(winners) > 1


def test_the_whole_report(path: Path, tmp_path: Path) -> None:
    files = report.write([path], tmp_path, highlight=["scipy-oaconvolve"])
    page = page_of(files)
    chart = json.loads(page.scripts[0])
    assert len(chart["looks"]) == 40  # all have a box; those in colour are ticked
    assert set(chart["looks"]) - set(chart["hidden"]) == {*FOREMOST, "scipy-oaconvolve/numpy"}
    for kind in ("time", "crossover", "error"):
        (figure,) = tmp_path.glob(f"*-normal-{kind}.svg")
        text = figure.read_text(encoding="utf-8")
        assert "numba-direct/numpy" in text
        assert "halide-direct/numpy" not in text


def test_a_pattern_that_matches_nothing(path: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="contenders: 'ffft' matches nothing here; available: "):
        report.write([path], tmp_path / "out", highlight=["ffft"])
    assert not (tmp_path / "out").exists()
