"""The figure of stages: shares that add up, in the order of a run, named beside the last bar."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from convcross.analysis.stages import by_stage, ordered, shares
from convcross.report.figures import stages, style

FFT = {"forward": 2.0, "multiply": 1.0, "inverse": 2.0, "crop": 0.5, "rest": 0.5, "kernel": 4.0}


def rows(*cells: tuple[int, int, Mapping[str, float] | None]) -> pd.DataFrame:
    """As of a loaded grid; the samples of a stage have this median."""
    return pd.DataFrame(
        [
            {
                "contender": "fft/numpy",
                "family": "fft",
                "N": N,
                "n": n,
                "stages": seconds
                and {name: [value, 9 * value, 0.1 * value] for name, value in seconds.items()},
            }
            for N, n, seconds in cells
        ]
    )


def test_shares_are_of_load_and_run_or_of_the_run_alone() -> None:
    cells = by_stage(rows((64, 3, FFT), (64, 5, {}), (64, 7, None)))
    assert set(cells["n"]) == {3}
    assert cells.set_index("stage")["seconds"].to_dict() == FFT
    assert cells.set_index("stage")["share"].to_dict() == {k: v / 10 for k, v in FFT.items()}
    steady = shares(cells, without=["kernel"]).set_index("stage")["share"]
    assert steady["multiply"] == pytest.approx(1 / 6)
    assert steady.sum() == pytest.approx(1.0)
    assert by_stage(rows((64, 3, None))).empty
    several = by_stage(rows((64, 3, FFT), (64, 5, FFT), (128, 5, FFT)))
    assert several["share"].sum() == pytest.approx(3.0)


def test_stages_stand_in_the_order_of_a_run() -> None:
    mixed = ["kernel", "crop", "mine", "rest", "inverse", "forward", "pad"]
    assert ordered(mixed) == ["pad", "forward", "inverse", "crop", "mine", "rest", "kernel"]


def bars(panel: object) -> list[Rectangle]:
    return [patch for patch in panel.patches if isinstance(patch, Rectangle)]  # type: ignore[attr-defined]


def test_bars_add_up_and_lines_tell_the_times() -> None:
    grown = {name: 4 * value for name, value in FFT.items()}
    cells = by_stage(rows((64, 3, FFT), (128, 3, grown), (128, 9, grown), (128, 15, grown)))
    with style.settings():
        figure = stages.stages(cells, "here")
    along_n, along_N, times_n, times_N = figure.axes
    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert titles == ["N = 128", "n = 3", "N = 128", "n = 3"]
    assert [text.get_text() for text in along_n.get_xticklabels()] == ["3", "9", "15"]
    assert [text.get_text() for text in along_N.get_xticklabels()] == ["64", "128"]
    for panel in (along_n, along_N):
        assert max(bar.get_y() + bar.get_height() for bar in bars(panel)) == pytest.approx(1.0)
    forward = next(
        line for line in times_N.lines if line.get_color() == stages.APPEARANCES["forward"].colour
    )
    assert forward.get_xydata().tolist() == [[64, 2.0], [128, 8.0]]
    for panel in figure.axes:
        assert {text.get_text() for text in panel.texts} >= set(FFT)
    assert len(times_n.lines) >= len(FFT)
    told = " ".join(" ".join(text.get_text() for text in figure.texts).split())
    assert stages.PADS in told


def test_the_lowest_bar_is_the_first_stage() -> None:
    with style.settings():
        panel = stages.stages(by_stage(rows((64, 3, FFT), (64, 5, FFT))), "here").axes[0]
    lowest = [bar for bar in bars(panel) if bar.get_y() == 0]
    colours = {style.matplotlib.colors.to_hex(bar.get_facecolor()).upper() for bar in lowest}
    assert colours == {stages.APPEARANCES["forward"].colour}
    assert [bar.get_height() for bar in lowest] == pytest.approx([0.2, 0.2])


def test_many_sizes_are_thinned_and_unknown_stages_drawn() -> None:
    own = {"pad": 1.0, "forward": 1.0, "twiddle": 2.0}
    cells = by_stage(rows(*((64, n, own) for n in range(3, 43, 2))))
    with style.settings():
        figure = stages.stages(cells, "here")
    assert len(figure.axes[0].get_xticklabels()) <= stages.MOST_BARS
    assert "twiddle" in {text.get_text() for text in figure.axes[0].texts}
    told = " ".join(" ".join(text.get_text() for text in figure.texts).split())
    assert stages.PADS not in told
