"""Contenders that crashed, hung or were suspended stand in the report as what they are."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from convcross.analysis.load import load
from convcross.analysis.tables import left_out
from convcross.report import report
from convcross.results.schema import Record
from support import synthetic
from support.pages import draw_nothing

CONTENDERS = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
KERNELS = (3, 5, 7, 9, 11, 15, 21, 31, 41, 63)
CRASHED = "killed by SIGSEGV in its preparation; last output: a <b>table</b>"
HUNG = "hung: a call in its timed runs did not return within 60 s"


class Tables(HTMLParser):
    """The rows of each table below a heading, and the links of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self.links: dict[str, str] = {}
        self._heading, self._inside = "", ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        if tag == "h2":
            self._heading = ""
        elif tag == "tr":
            self.rows.setdefault(self._heading, []).append([])
        elif tag in ("td", "th"):
            self.rows[self._heading][-1].append("")
        elif tag == "a":
            self.links[str(dict(attributes)["href"])] = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "h2":
            self._heading += data
        elif self._inside in ("td", "th", "div") and self.rows.get(self._heading):
            self.rows[self._heading][-1][-1] += data.strip() + (
                "; " if self._inside == "div" else ""
            )

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def failing(duels: list[list[Record]], name: str, told: dict[int, tuple[str, str]]) -> None:
    """Add a contender to these duels, by their numbers, that came to a status and a reason."""
    for number, (status, reason) in told.items():
        problem = duels[number][0].problem
        duels[number].append(synthetic.record(name, problem, status=status, reason=reason))


def failed(folder: Path) -> Path:
    duels = synthetic.duels(CONTENDERS, kernels=KERNELS)
    crashed = dict.fromkeys(range(3), ("error", CRASHED))
    suspended = ("error", f"suspended after 3 cells: {CRASHED}")
    failing(duels, "crashes/numpy", crashed | dict.fromkeys(range(3, 20), suspended))
    hung = dict.fromkeys(range(3), ("timeout", HUNG))
    failing(duels, "hangs/numpy", hung | {3: ("error", f"suspended after 3 cells: {HUNG}")})
    failing(duels, "wrong/numpy", {0: ("wrong", "relative L2 error 0.5; allowed: 1e-6")})
    failing(duels, "odd/numpy", {0: ("unsupported", "odd kernels are dull")})
    duels[19][0].status, duels[19][0].reason = "timeout", "a run takes about 0.3 s"
    return synthetic.write(folder / "sweep.jsonl", duels)


def test_failures_are_told_with_their_cells_the_gravest_contender_first(tmp_path: Path) -> None:
    rows = left_out(load([failed(tmp_path)]).frame)
    columns = ["contender", "status", "reason", "count", "of"]
    assert list(rows[columns].itertuples(index=False, name=None)) == [
        ("crashes/numpy", "error", CRASHED, 3, 20),
        ("crashes/numpy", "error", f"suspended after 3 cells: {CRASHED}", 17, 20),
        ("hangs/numpy", "timeout", HUNG, 3, 4),
        ("hangs/numpy", "error", f"suspended after 3 cells: {HUNG}", 1, 4),
        ("wrong/numpy", "wrong", "relative L2 error 0.5; allowed: 1e-6", 1, 1),
        ("direct/numpy", "timeout", "a run takes about 0.3 s", 1, 20),
        ("odd/numpy", "unsupported", "odd kernels are dull", 1, 1),
    ]
    assert rows["cells"][0] == ["N = 256: n = 3, 5, 7"]
    assert rows["cells"][1] == [
        "N = 256: n = 9, 11, 15, 21, 31, 41, 63",
        "N = 512: n = 3 to 63 (10)",
    ]


def test_the_page_shows_them_and_points_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_nothing(monkeypatch)
    page = report.write([failed(tmp_path)], tmp_path / "out")[0].read_text()
    found = Tables(page)
    head, *rows = found.rows["Failures"]
    assert head == ["contender", "status", "cells", "first reason", "where"]
    assert [row[:4] for row in rows] == [
        ["crashes/numpy@cpu", "error", "3 of 20", CRASHED],
        ["crashes/numpy@cpu", "error", "17 of 20", f"suspended after 3 cells: {CRASHED}"],
        ["hangs/numpy@cpu", "timeout", "3 of 4", HUNG],
        ["hangs/numpy@cpu", "error", "1 of 4", f"suspended after 3 cells: {HUNG}"],
        ["wrong/numpy@cpu", "wrong", "1 of 1", "relative L2 error 0.5; allowed: 1e-6"],
        ["direct/numpy@cpu", "timeout", "1 of 20", "a run takes about 0.3 s"],
    ]
    assert rows[0][4] == "N = 256: n = 3, 5, 7; "
    assert [row[0] for row in found.rows["Left out"][1:]] == ["odd/numpy@cpu"]
    assert "#failures" in found.links
    # told at the top; the pictures come first
    assert page.index('href="#failures"') < page.index('id="chart"') < page.index('id="failures"')


def test_without_failures_nothing_points_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_nothing(monkeypatch)
    path = synthetic.write(tmp_path / "a.jsonl", synthetic.duels(CONTENDERS, kernels=(3, 31)))
    page = report.write([path], tmp_path / "out")[0].read_text()
    assert "#failures" not in page
    assert "Nothing: every measurement is usable." in page


def test_problems_off_the_grid_are_named_and_many_are_counted(tmp_path: Path) -> None:
    layers = [{"stride": (2, 2), "out_channels": count} for count in range(1, 12)]
    duels = []
    for layer in layers:
        duels += synthetic.duels(
            {"fft/numpy": synthetic.fft(9.4)}, sizes=[16], kernels=[3], problem=layer
        )
    for [record] in duels:
        record.status, record.reason = "error", "killed by SIGABRT in its first run"
    [cells] = left_out(load([synthetic.write(tmp_path / "a.jsonl", duels)]).frame)["cells"]
    assert len(cells) == 9
    assert cells[0].startswith("3×3 kernel on 16×16, ")
    assert cells[-1] == "and 3 more"
