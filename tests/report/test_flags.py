"""What is flagged on the page, and floors and ceilings beside it."""

import re
from pathlib import Path

import pandas as pd
import pytest

from convcross import measure
from convcross.analysis import tables
from convcross.analysis.crossover.crossover import crossovers
from convcross.analysis.load import FLAGS, load
from convcross.report import report
from convcross.results.schema import Telemetry
from convkernels import Problem
from support import synthetic
from support.pages import CONTENDERS, draw_nothing, page_of

CEILINGS = {
    "device": "cpu",
    "flops": {"float32": 1e12, "float64": 5e11},
    "bytes": [[2**16, 2e11], [2**20, 1.9e11], [2**24, 1e11], [2**28, 2e10]],
}


def flagged_sweep(path: Path) -> Path:
    duels = synthetic.duels(CONTENDERS, sizes=[256], kernels=[3, 9, 15], floor_s=1e-6)
    duels[0][2].flags = ["impossible"]
    duels[1][0].flags = ["ran-fft", "power-limited"]
    duels[2][0].settled = False
    duels[2][0].telemetry = Telemetry.model_validate({"group": 1, "pacer_ratio": 2.0})
    duels[2][1] = synthetic.record(
        "scipy-convolve2d/numpy",
        Problem((256, 256), (15, 15), mode="same"),
        status="timeout",
        reason="about 2 s",
    )
    return synthetic.write(path / "a.jsonl", duels, synthetic.header(ceilings=CEILINGS))


@pytest.fixture(scope="module")
def unflagged(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The report of ``flagged_sweep``, without what is flagged."""
    folder = tmp_path_factory.mktemp("unflagged")
    return report.write([flagged_sweep(folder)], folder / "out")


def test_every_measurement_is_in_the_table(unflagged: list[Path]) -> None:
    rows = pd.read_csv(unflagged[1]).set_index(["n", "contender"])
    assert len(rows) == 9
    assert set(rows["regime"]) == {"warm"}
    paced = rows.loc[15, "direct/numpy"]
    truth = (
        load([unflagged[0].parents[1] / "a.jsonl"])
        .frame.set_index(["n", "contender"])
        .loc[15, "direct/numpy"]
    )
    assert paced["median_s"] == pytest.approx(2 * truth["seconds"])  # as it was measured
    assert paced["low_s"] < paced["median_s"] < paced["high_s"]
    assert paced["floor_percent"] == pytest.approx(100 * 1e-6 / paced["median_s"])
    assert (paced["samples"], str(paced["settled"])) == (20, "False")
    assert rows.loc[9, "direct/numpy"]["flags"] == "ran-fft power-limited"
    assert rows.loc[15, "scipy-convolve2d/numpy"][["status", "reason"]].tolist() == [
        "timeout",
        "about 2 s",
    ]
    page = page_of(unflagged)
    assert "cpu, warm, float32, convolution, same, normal: 9 measurements" in page.text
    for told in ("ran-fft power-limited", "impossible", "256 · 9", "256 · 3", "about 2 s", "no"):
        assert told in page.text
    assert ("a", {"href": "points.csv"}) in page.tags


def test_what_is_flagged_is_left_out_and_said_unless_asked_for(
    tmp_path: Path, unflagged: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    without = page_of(unflagged).text
    told = "2 flagged measurements (1 impossible, 1 power-limited, 1 ran-fft)"
    assert f"{told} left out (--include-flagged)" in without
    assert "its time lies below the floor of the hardware" in without
    assert "power-limited, ran-fft" in without
    assert "6 of 9 measurements are usable" in without
    path = flagged_sweep(tmp_path)
    draw_nothing(monkeypatch)
    included = page_of(report.write([path], tmp_path / "with", include_flagged=True)).text
    assert f"{told} included as asked" in included
    assert "8 of 9 measurements are usable" in included


def test_nothing_flagged_is_fastest(tmp_path: Path) -> None:
    duels = synthetic.duels(CONTENDERS, sizes=[256], kernels=[31])
    duels[0][2].flags = ["impossible"]
    path = synthetic.write(tmp_path / "a.jsonl", duels)
    winners = [
        tables.fastest(tables.by_cell(load([path], include_flagged=asked).grid))["contender"].item()
        for asked in (False, True)
    ]
    assert winners == ["direct/numpy", "fft/numpy"]
    assert tables.speed_ups(load([path]).grid, ("direct", "fft")) == {}


def test_the_roofline_is_there_with_ceilings(unflagged: list[Path]) -> None:
    names = [path.name for path in unflagged if "roofline" in path.name]
    assert names == [
        f"cpu-warm-float32-convolution-same-normal-roofline{suffix}"
        for suffix in (".png", ".svg", ".pdf")
    ]


def test_flags_are_those_that_measuring_gives() -> None:
    source = "".join(file.read_text("utf-8") for file in Path(measure.__file__).parent.glob("*.py"))
    given = set(re.findall(r'(?:append\(|flags, )"([a-z-]+)"', source))
    assert given == set(FLAGS)


@pytest.mark.parametrize("flag", FLAGS)
def test_each_flag_is_told_in_the_report_and_beside_the_crossover(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    flag: str,
) -> None:
    duels = synthetic.duels(CONTENDERS, sizes=[256], kernels=[3, 9, 15, 31])
    for cell in duels:
        for record in cell:
            record.flags = [flag] if record.algorithm == "direct" and cell is duels[-1] else []
    path = synthetic.write(tmp_path / "a.jsonl", duels)
    crossovers([path])
    assert f"1 flagged measurement (1 {flag}) left out" in caplog.text
    timed = load([path]).grid[["contender", "n"]].values.tolist()
    assert ["direct/numpy", 15] in timed
    assert ["direct/numpy", 31] not in timed
    draw_nothing(monkeypatch)
    page = page_of(report.write([path], tmp_path / "out")).text
    assert FLAGS[flag] in page
