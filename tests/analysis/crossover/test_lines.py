"""Lines of 1 × N with kernels of 1 × n: n* over their length, apart from images, and named."""

from __future__ import annotations

from pathlib import Path

import pytest

from convcross.analysis.claims.claims import claims
from convcross.analysis.crossover import words
from convcross.analysis.crossover.crossover import Crossover, crossovers
from convcross.analysis.grids import is_line
from convcross.analysis.load import load
from convcross.report import report
from convcross.results.schema import Record
from convkernels import Problem
from support import synthetic

CEILINGS = {
    "device": "cpu",
    "machine": "Test Machine",
    "measured_at": "2026-11-01T00:00:00Z",
    "threads": 2,
    "neighbours": {},
    "flops": {"float32": 1e11},
    "bytes": [[1 << 30, 1e10]],
}


def lines(
    sizes: tuple[int, ...] = (256, 4096), kernels: tuple[int, ...] = (3, 15, 63, 255)
) -> list[list[Record]]:
    """Of two contenders that cross at n = 30."""
    found = []
    for N in sizes:
        for n in kernels:
            problem = Problem((1, N), (1, n), mode="same")
            times = {"direct/numpy": 1e-9 * n * N, "fft/numpy": 1e-9 * 30 * N}
            found.append(
                [
                    synthetic.record(
                        name,
                        problem,
                        phase_seconds={"run": [seconds * (1 + k / 1000) for k in range(9)]},
                        rounds=list(range(9)),
                        median_s=seconds,
                        settled=True,
                        launch=1,
                    )
                    for name, seconds in times.items()
                ]
            )
    return found


def images() -> list[list[Record]]:
    return synthetic.duels(
        {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9)}, sizes=[256]
    )


def best(path: Path) -> list[Crossover]:
    return [row for row in crossovers([path]) if row.kind == "best"]


def test_n_star_of_lines_is_over_their_length(tmp_path: Path) -> None:
    found = best(synthetic.write(tmp_path / "lines.jsonl", lines()))
    assert [(row.N, row.dimensions) for row in found] == [(256, 1), (4096, 1)]
    assert [row.n_star for row in found] == pytest.approx([30, 30], rel=0.01)
    assert "lines 1 × N, kernels 1 × n" in words.heading(found[0])


def test_lines_and_images_make_no_common_curve(tmp_path: Path) -> None:
    found = best(synthetic.write(tmp_path / "both.jsonl", [*lines(), *images()]))
    by_dimension = {(row.dimensions, row.N): row.n_star for row in found}
    assert by_dimension[1, 256] == pytest.approx(30, rel=0.01)
    assert by_dimension[2, 256] == pytest.approx(9, rel=0.05)


def test_lines_have_no_floor_of_squares(tmp_path: Path) -> None:
    """Nor are they judged by sentences on N² pixels."""
    head = synthetic.header(ceilings=CEILINGS)
    head.machine["cpu"] = {"cache_bytes": {"L2": 1 << 20}}
    path = synthetic.write(tmp_path / "lines.jsonl", lines(), head)
    assert {row.kind for row in crossovers([path])} == {"best", "textbook"}
    squares = synthetic.write(tmp_path / "images.jsonl", images(), head)
    assert "floor" in {row.kind for row in crossovers([squares])}
    assert claims(load([path]))[0].findings[0].verdict == "not measured here"


def test_a_line_up_to_its_whole_length_is_never_overtaken(tmp_path: Path) -> None:
    found = best(synthetic.write(tmp_path / "a.jsonl", lines(sizes=(24,), kernels=(3, 7, 23))))
    assert [row.verdict for row in found] == ["never"]


def test_the_report_of_lines(tmp_path: Path) -> None:
    path = synthetic.write(tmp_path / "lines.jsonl", [*lines(), *images()])
    page, *files = report.write([path], tmp_path / "report")
    stem = "cpu-warm-float32-convolution-same-normal"
    names = {file.name for file in files}
    assert {f"{stem}-lines-time.svg", f"{stem}-time.svg"} <= names
    text = page.read_text(encoding="utf-8")
    assert "lines 1 × N, kernels 1 × n" in text
    figure = (tmp_path / "report" / f"{stem}-lines-crossover.svg").read_text(encoding="utf-8")
    assert "n × n" not in figure


@pytest.mark.parametrize(
    ("image", "kernel", "line"),
    [((1, 9), (1, 3), True), ((9, 9), (1, 3), False), ((1, 1), (1, 1), False)],
)
def test_what_is_a_line(image: tuple[int, int], kernel: tuple[int, int], line: bool) -> None:
    assert is_line(Problem(image, kernel)) == line
