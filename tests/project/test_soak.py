"""Short versions of what ``make soak`` does at length, where no other test has them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from soak import __main__ as soak
from soak import failures, kills, places, size
from soak.sweeping import Faults
from soak.table import HEAD, Row, row

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and limits are Linux's")


def test_a_sweep_killed_in_every_way_and_finished(tmp_path: Path) -> None:
    found = kills.sweep(tmp_path, seed=1)
    assert found.total >= 4
    assert found.failed == []
    assert found.left == 0
    assert found.faults == Faults()


def test_a_segfault_and_a_hang_through_the_command(tmp_path: Path) -> None:
    records = failures.measured(tmp_path / "sweep", ["crashing-segfault", "crashing-holds"])
    assert [one.algorithm for one in records] == [
        "crashing-holds",
        "crashing-segfault",
        "direct",
        "fft",
    ]
    assert [one.status for one in records] == ["timeout", "error", "ok", "ok"]


def test_a_clock_that_is_set_back(tmp_path: Path) -> None:
    assert [one for one in places.set_back(tmp_path) if not one.met] == []


def test_nothing_is_lost_of_a_sweep_of_many_cells() -> None:
    *_, lost = size.rows(2 * size.LEFT)
    assert lost.figure == "0"


def test_the_table_of_all_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = Row("tried", "1 s", "< 2 s", True), Row("tried too", "3 s", "< 2 s", False)
    for name, one in (("good", good), ("bad", bad)):
        (tmp_path / f"{name}.py").write_text(
            f"print({HEAD!r})\nprint({row(one)!r})\nraise SystemExit({not one.met:d})\n"
        )
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(soak, "HERE", tmp_path)
    monkeypatch.setattr(soak, "PARTS", {"good": 60, "bad": 60, "slow": 0.5})
    assert soak.main(["good"]) == 0
    assert soak.main([]) == 1
    lines = capsys.readouterr().out.splitlines()[3:]
    assert lines[:3] == [HEAD, row(good), row(bad)]
    assert lines[3].split() == ["slow", "not", "done", "in", "0", "s", "0.5", "s", "NO"]
    assert lines[4].endswith("parts that missed a target: 2")
