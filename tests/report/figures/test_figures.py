"""What the figures show: gaps, marks, floors, names at the ends of lines, ceilings."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convcross.analysis import roofline as roof
from convcross.analysis import tables
from convcross.analysis.load import load
from convcross.report.figures import curves, roofline, style
from convcross.report.figures.style import Appearance
from convcross.results.schema import Record
from convkernels import Problem
from support import synthetic

CONTENDERS = {
    "direct/numpy": synthetic.direct(),
    "scipy-convolve2d/numpy": synthetic.direct(1.5),
    "fft/numpy": synthetic.fft(9.4),
}
CEILINGS = {
    "flops": {"float32": 1e12},
    "bytes": [[2**16, 2e11], [2**20, 1.9e11], [2**24, 1e11], [2**28, 2e10]],
}


def time_figure(
    path: Path, duels: list[list[Record]], *, include_flagged: bool = False
) -> tuple[Figure, dict[str, Appearance]]:
    results = load([synthetic.write(path / "a.jsonl", duels)], include_flagged=include_flagged)
    frame = results.frame
    cells = tables.with_gaps(tables.by_cell(results.grid), frame[~frame["usable"]])
    appearances = style.appearances(frame)
    with style.settings():
        return curves.time(cells, [], appearances, "here"), appearances


def drawn(sheet: Figure, appearance: Appearance) -> list[Line2D]:
    return [line for line in sheet.axes[0].lines if line.get_color() == appearance.colour]


def test_a_line_breaks_where_its_contender_timed_out(tmp_path: Path) -> None:
    duels = synthetic.duels(CONTENDERS, sizes=[256], kernels=[3, 5, 7, 9])
    duels[2][0] = synthetic.record(
        "direct/numpy", Problem((256, 256), (7, 7), mode="same"), status="timeout"
    )
    sheet, appearances = time_figure(tmp_path, duels)
    line, markers, *_ = drawn(sheet, appearances["direct/numpy"])
    assert np.isnan(np.asarray(line.get_ydata())).tolist() == [False, False, True, False]
    assert np.asarray(markers.get_xdata()).tolist() == [3, 5, 9]
    whole = drawn(sheet, appearances["fft/numpy"])[0]
    assert not np.isnan(np.asarray(whole.get_ydata())).any()


def test_unsettled_points_are_hollow_and_flagged_ones_are_crosses(tmp_path: Path) -> None:
    duels = synthetic.duels(CONTENDERS, sizes=[256], kernels=[3, 5, 7])
    duels[0][0].settled = False
    duels[1][0].flags = ["power-limited"]
    sheet, appearances = time_figure(tmp_path, duels, include_flagged=True)
    appearance = appearances["direct/numpy"]
    _, full, hollow, cross, *_ = drawn(sheet, appearance)
    assert (list(full.get_xdata()), full.get_markerfacecolor()) == ([7], appearance.colour)
    assert (list(hollow.get_xdata()), hollow.get_markerfacecolor()) == ([3], "white")
    assert (list(cross.get_xdata()), cross.get_marker()) == ([5], "x")
    note = " ".join(" ".join(text.get_text() for text in sheet.texts).split())
    assert curves.MARKS in note
    assert curves.FLAGGED in note
    plain, appearances = time_figure(tmp_path / "without", duels)
    assert [line.get_marker() for line in drawn(plain, appearance)].count("x") == 0
    assert np.isnan(np.asarray(drawn(plain, appearances["direct/numpy"])[0].get_ydata())[1])


def test_the_floor_is_the_least_of_the_contenders(tmp_path: Path) -> None:
    duels = synthetic.duels(CONTENDERS, sizes=[256], kernels=[3, 5])
    assert not drawn(time_figure(tmp_path / "none", duels)[0], curves.FLOOR)
    for record, floor in zip(duels[0], (3e-6, 2e-6, 4e-6), strict=True):
        record.floor_s = floor
    duels[1][2].floor_s = 5e-6
    (floor_line,) = [
        line for line in drawn(time_figure(tmp_path, duels)[0], curves.FLOOR) if line.is_dashed()
    ]
    assert floor_line.get_xydata().tolist() == [[3, 2e-6], [5, 5e-6]]


@pytest.mark.parametrize("count", [12, 13])
def test_up_to_twelve_lines_are_named_at_their_ends(tmp_path: Path, count: int) -> None:
    names = [f"{letter}/numpy" for letter in "abcdefghijklm"[:count]]
    duels = synthetic.duels(dict.fromkeys(names, synthetic.direct()), sizes=[64], kernels=[3, 5])
    sheet, _ = time_figure(tmp_path, duels)
    at_ends = {text.get_text() for text in sheet.axes[0].texts} - {""}
    legends = [axes.get_legend() for axes in sheet.axes if axes.get_legend()]
    if count == 12:
        assert at_ends == set(names)
        assert not legends
    else:
        assert not at_ends
        assert {text.get_text() for text in legends[0].get_texts()} == set(names)


def test_many_image_sizes_have_some_panels_and_it_is_said(tmp_path: Path) -> None:
    sizes = [32 * k for k in range(1, 13)]
    duels = synthetic.duels(CONTENDERS, sizes=sizes, kernels=[3], rounds=2)
    sheet, _ = time_figure(tmp_path, duels)
    titles = [axes.get_title(loc="left") for axes in sheet.axes]
    assert len(titles) == 6
    assert (titles[0], titles[-1]) == ("N = 32", "N = 384")
    assert any("6 of 12 image sizes" in text.get_text() for text in sheet.texts)


def test_errors_of_several_seeds_have_bands(tmp_path: Path) -> None:
    for seeds in ([], [1e-7, 3e-7, 2e-7]):
        duels = synthetic.duels(CONTENDERS, sizes=[256], kernels=[3, 5])
        for duel in duels:
            duel[0].error_seeds = seeds
        results = load([synthetic.write(tmp_path / f"{len(seeds)}.jsonl", duels)])
        cells = tables.by_cell(results.grid)
        with style.settings():
            sheet = curves.error(cells, style.appearances(results.frame), "here")
        bands = [one for one in sheet.axes[0].collections if one.get_paths() and one.get_alpha()]
        assert len(bands) == bool(seeds)
        for band in bands:
            heights = band.get_paths()[0].vertices[:, 1]
            assert (heights.min(), heights.max()) == (1e-7, 3e-7)
        told = " ".join(" ".join(text.get_text() for text in sheet.texts).split())
        assert ("Bands: range over data seeds." in told) == bool(seeds)


def test_the_roofline_draws_the_ceilings(tmp_path: Path) -> None:
    duels = synthetic.duels(CONTENDERS)
    results = load([synthetic.write(tmp_path / "a.jsonl", duels)])
    above = roof.over(CEILINGS, "cpu", "float32", "warm")
    assert above is not None
    points = roof.points(results.grid)
    with style.settings():
        sheet = roofline.roofline(points, above, style.appearances(results.frame), "here")
    panel = sheet.axes[0]
    told = {text.get_text() for text in panel.texts}
    assert "peak arithmetic, 1 TFLOP/s" in told
    assert {"main memory, 20 GB/s", "cache, 16 MiB, 100 GB/s", "cache, 1 MiB, 190 GB/s"} <= told
    assert "cache, 64 KiB, 200 GB/s" not in told  # hardly faster than the level below
    slopes = [
        y / x
        for line in panel.lines
        if line.get_linestyle() != "None" and len(line.get_xydata()) == 2
        for (x, y), (_, top) in [line.get_xydata()]
        if top > y
    ]
    assert sorted(slopes) == pytest.approx([2e10, 1e11, 1.9e11])


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (8e-8, 4.2e-7, ["10⁻⁷", "2×10⁻⁷"]),  # 1.5 and 2.5 would read 2 and 2
        (2e-7, 3e-7, ["2×10⁻⁷"]),
        (1e-7, 1e-5, ["10⁻⁷", "10⁻⁶", "10⁻⁵"]),
    ],
)
def test_a_cost_is_labelled_at_round_values(low: float, high: float, labels: list[str]) -> None:
    made = Figure()
    panel = made.subplots()
    panel.set_xscale("log")
    panel.plot([low, high], [1, 2])
    panel.set_xlim(low, high)
    style.cost_ticks(panel.xaxis)
    made.canvas.draw()
    left, right = panel.get_xlim()
    assert [
        label.get_text()
        for label in panel.get_xticklabels()
        if left <= label.get_position()[0] <= right
    ] == labels
