"""Layers by pass, and FFT's speed-up over a grid by outputs."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from convcross.analysis import passes, tables
from convcross.analysis.claims import layers
from convcross.analysis.crossover.crossover import crossovers
from convcross.analysis.load import load
from convcross.errors import BadInput
from convcross.report import report
from convcross.report.figures import style
from convcross.report.figures.outputs import outputs
from convcross.results.schema import Record
from convkernels import Problem
from convkernels.problem import DIRECTIONS
from support import synthetic

SECONDS = {  # of each pass, in the order of DIRECTIONS; NaN: refused
    "fft/numpy": (3e-3, 3e-3, 4e-3),
    "direct/numpy": (2e-3, 5e-3, 6e-3),
    "scipy-convolve2d/numpy": (1e-3, None, None),
}


def measured(name: str, problem: Problem, seconds: float | None, **changes: Any) -> Record:
    if seconds is None:
        return synthetic.record(name, problem, status="unsupported", reason="no", **changes)
    samples = [seconds] * 6
    phases = {"run": samples, "fresh": samples}
    rounds = list(range(6))
    return synthetic.record(
        name,
        problem,
        phase_seconds=phases,
        rounds=rounds,
        fresh_rounds=rounds,
        median_s=seconds,
        settled=True,
        workspace_bytes=float(1 << 20),
        **changes,
    )


LAYER = Problem((16, 16), (3, 3), batch=2, in_channels=4, out_channels=8, mode="valid")


def passes_of_layer() -> list[list[Record]]:
    return [
        [
            measured(name, dataclasses.replace(LAYER, direction=way), times[place])
            for name, times in SECONDS.items()
        ]
        for place, way in enumerate(DIRECTIONS)
    ]


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """One layer in three passes."""
    return synthetic.write(tmp_path / "layer.jsonl", passes_of_layer())


@pytest.fixture
def stepped(tmp_path: Path) -> Path:
    """And in a step, which takes FFT 0.7 of its passes; the others have none, or all of theirs."""
    step = dataclasses.replace(LAYER, direction="step")
    times = {"fft/numpy": 7e-3, "direct/numpy": 13e-3, "scipy-convolve2d/numpy": None}
    rows = [measured(name, step, seconds) for name, seconds in times.items()]
    return synthetic.write(tmp_path / "steps.jsonl", [*passes_of_layer(), rows])


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    """Outputs of 2 and 4, kernels of 3 and 5, one and two images; FFT is n·output/10 as fast."""
    duels = []
    for batch in (1, 2):
        for output in (2, 4):
            for n in (3, 5):
                side = output + n - 1
                problem = Problem(
                    (side, side), (n, n), batch=batch, in_channels=3, out_channels=3, mode="valid"
                )
                times = {"fft/numpy": 1e-3, "direct/numpy": 1e-4 * n * output, "im2col-gemm/x": 1.0}
                duels.append([measured(name, problem, time) for name, time in times.items()])
    head = synthetic.header()
    head.sweep["outputs"] = [2, 4]
    return synthetic.write(tmp_path / "grid.jsonl", duels, head)


def test_a_layer_has_a_table_of_its_passes(layer: Path) -> None:
    [table] = passes.of_layers(load([layer]))
    assert table.directions == list(DIRECTIONS)
    assert list(table.contenders) == ["fft/numpy", "direct/numpy", "scipy-convolve2d/numpy"]
    assert table.total("fft/numpy") == pytest.approx(1e-2)
    fastest = {
        way: [name for name, ways in table.contenders.items() if ways[way].fastest]
        for way in DIRECTIONS
    }
    assert fastest["forward"] == ["scipy-convolve2d/numpy"]
    assert fastest["grad_input"] == fastest["grad_weight"] == ["fft/numpy"]
    assert table.contenders["scipy-convolve2d/numpy"]["grad_weight"].why == "unsupported"
    assert table.contenders["direct/numpy"]["forward"].workspace == 1 << 20


def test_the_page_shows_it(layer: Path, tmp_path: Path) -> None:
    html, *_ = report.write([layer], tmp_path / "out")
    page = html.read_text(encoding="utf-8")
    part = page[page.index("<h2>Layers by pass</h2>") :]
    rows = part[: part.index("</table>")].split("<tr>")[1:]
    assert [row.count("<strong>") for row in rows] == [0, 2, 0, 1]
    assert "passes apart" in rows[0]
    assert "1 MiB" in rows[1]
    assert "unsupported" in rows[3]


def test_a_step_stands_beside_its_passes_apart(stepped: Path, tmp_path: Path) -> None:
    [table] = passes.of_layers(load([stepped]))
    assert table.directions == [*DIRECTIONS, "step"]
    assert table.total("fft/numpy") == pytest.approx(1e-2)  # without the step
    shares = [table.step_share(name) for name in table.contenders]
    assert shares == pytest.approx([0.7, 1.0, math.nan], nan_ok=True)
    assert table.contenders["fft/numpy"]["step"].fastest
    html, *_ = report.write([stepped], tmp_path / "out")
    page = html.read_text(encoding="utf-8")
    part = page[page.index("<h2>Layers by pass</h2>") :]
    head, *rows = part[: part.index("</table>")].split("<tr>")[1:]
    assert "step ÷ apart" in head
    assert '<td class="number">0.70</td>' in rows[0]
    assert {row.count("<td") for row in rows} == {head.count("<th")}


def test_a_grid_by_outputs_is_no_grid_of_images(grid: Path) -> None:
    results = load([grid])
    assert results.grid.empty
    assert not passes.of_layers(results)
    assert not tables.layers(results.frame)
    assert layers.ratios(results).empty


def test_a_grid_by_outputs_has_no_crossover_and_says_why(grid: Path) -> None:
    with pytest.raises(BadInput, match="a grid by outputs has another N for each n"):
        crossovers([grid])


def test_speed_ups_of_a_grid_by_outputs(grid: Path, tmp_path: Path) -> None:
    [(conditions, table)] = passes.speed_ups(load([grid]))
    assert conditions["direction"] == "forward"
    assert len(table) == 8
    for row in table.to_dict("records"):
        assert row["ratio"] == pytest.approx(0.1 * row["kernel"] * row["output"])
        assert (row["fft"], row["other"]) == ("fft/numpy", "direct/numpy")
    with style.settings():
        figure = outputs(table, "here")
    assert [panel.get_title(loc="left") for panel in figure.axes] == [
        "batch 1, 3 channels",
        "batch 2, 3 channels",
    ]
    told = [text.get_text() for text in figure.axes[1].texts]
    assert told == ["0.60", "1.2", "1.0", "2.0"]  # a row a kernel, a column an output
    html, *files = report.write([grid], tmp_path / "out")
    assert [file.suffix for file in files if file.name.startswith("outputs-")] == [
        ".png",
        ".svg",
        ".pdf",
    ]
    page = html.read_text(encoding="utf-8")
    assert "FFT by outputs, kernel, batch and channels" in page
    assert "Layers by pass" not in page
