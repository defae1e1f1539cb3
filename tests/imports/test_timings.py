"""A table that anybody made becomes a results file that everything reads."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from convcross.analysis.claims.claims import claims
from convcross.analysis.compare.compare import compare
from convcross.analysis.crossover.crossover import Crossover, crossovers
from convcross.analysis.load import load
from convcross.errors import BadInput
from convcross.imports.timings import import_timings
from convcross.report import report
from convcross.results.reader import read

HEAD = "contender,family,N,n,seconds"
KERNELS = (3, 5, 7, 9, 13, 19, 31)


def direct(N: int, n: int) -> float:
    return 1e-9 * n**2 * N**2


def fft(N: int, n: int) -> float:
    """Equal to ``direct`` at n = 8."""
    return direct(N, 8)


def rows(scale: float = 1.0) -> list[str]:
    """Two contenders at two N, crossing at n = 8."""
    return [
        f"{name},{family},{N},{n},{scale * time(N, n):.6g}"
        for N, n in itertools.product((256, 512), KERNELS)
        for name, family, time in (("loops", "direct", direct), ("fftw", "FFT", fft))
    ]


def imported(folder: Path, lines: list[str], name: str = "plot") -> Path:
    table = folder / f"{name}.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path, _ = import_timings(
        table, source="a plot", machine="theirs", device="cpu", out=folder / f"{name}.jsonl"
    )
    return path


def best(path: Path) -> list[Crossover]:
    return [row for row in crossovers([path]) if row.kind == "best"]


def test_the_crossover_of_a_table_has_no_interval(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = imported(tmp_path, [HEAD, *rows()])
    found = best(path)
    assert [row.N for row in found] == [256, 512]
    for row in found:
        assert row.verdict == "crosses"
        assert row.n_star == pytest.approx(8, rel=0.01)
        assert (row.low, row.high) == (None, None)
        assert row.representatives == (["loops/imported"], ["fftw/imported"])
    assert "no test of significance, and n* no interval" in caplog.text
    assert "imported from a plot" in caplog.text
    assert "before there were launches" not in caplog.text


def test_the_file_says_that_it_is_imported_and_from_where(tmp_path: Path) -> None:
    header = read(imported(tmp_path, [HEAD, *rows(), "loops,direct,256,3,-1"])).header
    assert header.imported is not None
    assert header.imported.source == "a plot"
    assert header.imported.rows == 29
    assert header.imported.left_out == ["1 row left out: seconds is 0 or less (line 30)"]


def test_samples_have_an_interval(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = [f"{HEAD},sample"]
    for line, sample in itertools.product(rows(), range(20)):
        *cell, seconds = line.split(",")
        lines.append(
            ",".join([*cell, str(float(seconds) * rng.lognormal(0, 0.02)), f"{sample + 1}"])
        )
    path = imported(tmp_path, lines)
    assert set(load([path]).frame["run"].map(len)) == {20}
    for row in best(path):
        assert row.low is not None
        assert row.high is not None
        assert 7 < row.low < row.n_star < row.high < 9


def test_launches_have_an_interval_without_samples(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    lines = [f"{HEAD},launch"]
    for line, launch in itertools.product(rows(), range(1, 6)):
        *cell, seconds = line.split(",")
        lines.append(",".join([*cell, str(float(seconds) * rng.lognormal(0, 0.02)), str(launch)]))
    for row in best(imported(tmp_path, lines)):
        assert row.low is not None
        assert row.high is not None
        assert 7 < row.low < row.n_star < row.high < 9


def test_what_is_optional_arrives(tmp_path: Path) -> None:
    lines = [f"{HEAD},low,high,dtype,mode,error", "a/torch,direct,64,3,2,1.5,3,float64,valid,1e-9"]
    (record,) = read(imported(tmp_path, lines)).records
    assert (record.algorithm, record.namespace) == ("a", "torch")
    assert (record.median_s, record.ci_low_s, record.ci_high_s) == (2, 1.5, 3)
    assert (record.problem.dtype, record.problem.mode) == ("float64", "valid")
    assert record.error is not None
    assert record.error.rel_l2 == 1e-9
    row = load([tmp_path / "plot.jsonl"]).frame.iloc[0]
    assert (row["low"], row["high"], row["error"]) == (1.5, 3, 1e-9)


def test_report_claims_and_compare_work_on_it(tmp_path: Path) -> None:
    path = imported(tmp_path, [HEAD, *rows()])
    page = report.write([path], tmp_path / "report")[0].read_text(encoding="utf-8")
    assert "imported.source" in page
    assert "a plot" in page
    assert "no test of significance, and n* no interval" in page
    speed_up = claims(load([path]))[7].findings[0]
    assert speed_up.verdict == "holds only if"
    other = imported(tmp_path, [HEAD, *rows(2.0)], "twice")
    found = compare(path, other)
    assert {cell.verdict for cell in found.cells} == {"same"}  # nothing can be tested
    assert all(math.isclose(cell.ratio or 0, 2, rel_tol=1e-4) for cell in found.cells)
    assert {cell.low for cell in found.cells} == {None}
    assert {tally.low for tally in found.contenders} == {None}
    assert any("stand out at all" in note for note in found.notes)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("loops,direct,256,3,0", "seconds is 0 or less"),
        ("loops,direct,256,3,-2", "seconds is 0 or less"),
        ("loops,direct,256,3,3 ms", "seconds is no number (in seconds, without a unit)"),
        ("loops,direct,256,3,", "seconds is no number (in seconds, without a unit)"),
        ("loops,direct,256,3,nan", "seconds is no number (in seconds, without a unit)"),
        ("loops,direct,256,3,inf", "seconds is more than 1e+09"),
        ("loops,direct,256,3.5,1", "n is no whole number from 1 to 131072"),
        ("loops,direct,0,3,1", "N is no whole number from 1 to 131072"),
        (",direct,256,3,1", "contender is no printable name"),
        ("a/b/c,direct,256,3,1", "contender is no printable name"),
        ("loops,,256,3,1", "family is no printable name"),
        ("loops\x1b[2J,direct,256,3,1", "contender is no printable name"),
        ("loops,direct,256,3", "seconds is no number"),
        ("loops,direct,256,3,9", "a second time of the same cell; the first counts"),
    ],
)
def test_a_bad_row_is_left_out_with_its_number(tmp_path: Path, row: str, fault: str) -> None:
    good = rows()
    header = read(imported(tmp_path, [HEAD, *good, row])).header
    assert header.imported is not None
    (told,) = header.imported.left_out
    assert told.startswith(f"1 row left out: {fault}")
    assert told.endswith(f"(line {len(good) + 2})")


def test_many_bad_rows_are_counted_and_the_first_told(tmp_path: Path) -> None:
    bad = ["loops,direct,256,3,-1"] * 1000
    header = read(imported(tmp_path, [HEAD, *bad, *rows()])).header
    assert header.imported is not None
    (told,) = header.imported.left_out
    assert told == "1000 rows left out: seconds is 0 or less (lines 2, 3, 4, 5, 6, …)"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        (f"{HEAD}\n", "has no row"),
        ("contender,family,N,n,ms\na,direct,3,3,1\n", "no column seconds (there are: contender"),
        (f"{HEAD}\na,direct,3,3,-1\n", "no sound row; 1 row left out: seconds is 0 or less"),
        (f"{HEAD}\na,direct,3,3,1\na,direct,3,3,1,2,3,4,5\n", "no CSV: .*line 3"),
        ("\xff\xfe\x00", "no CSV"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    table = tmp_path / "table.csv"
    table.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput, match=complaint.replace("(", r"\(")) as refusal:
        import_timings(table, source=None, machine="m", device="cpu", out=tmp_path / "new.jsonl")
    assert "\n" not in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_a_place_that_is_taken_is_refused(tmp_path: Path) -> None:
    imported(tmp_path, [HEAD, *rows()])
    with pytest.raises(BadInput, match=r"exists; allowed: a new one"):
        imported(tmp_path, [HEAD, *rows()])


def test_too_many_problems_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convcross.imports.timings.MOST", 13)
    with pytest.raises(BadInput, match="has 14 problems, each launch counted; allowed: up to 13"):
        imported(tmp_path, [HEAD, *rows()])


def test_chunks_of_a_table_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convcross.imports.table.ROWS", 5)
    again = rows()[0]
    results = read(imported(tmp_path, [HEAD, *rows(), again]))
    assert len(results.records) == 28
    assert results.header.imported is not None
    assert results.header.imported.left_out[0].endswith("(line 30)")
