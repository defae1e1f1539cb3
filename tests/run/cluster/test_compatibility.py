"""Which workers measure together, and what is said of those that do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from convcross.errors import BadInput
from convcross.run.cluster.compatibility import Requirements, mismatch
from convcross.run.workers.description import describe, described, digest
from support.clusters import CODE, answer, description, play_code


@pytest.fixture
def required(monkeypatch: pytest.MonkeyPatch) -> Requirements:
    play_code(monkeypatch)
    return Requirements([])


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (
            ModuleNotFoundError("No module named 'convcross'"),
            "has no convcross; allowed: convcross 0.1, commit abc",
        ),
        (Exception(repr(ModuleNotFoundError("No module named 'convcross'"))), "has no convcross"),
        (
            ModuleNotFoundError("No module named 'convcross.run'"),
            "cannot tell what it is (ModuleNotFoundError: No module named 'convcross.run'); ",
        ),
        (TimeoutError(), "cannot tell what it is (no answer in time); allowed: convcross 0.1"),
        (
            answer(("0.2", "abc")),
            "has convcross 0.2, commit abc; allowed: convcross 0.1, commit abc",
        ),
        (answer(("0.1", "abd")), "has convcross 0.1, commit abd"),
        (answer(commit="abd"), "has convcross 0.1, commit abd; allowed"),
        ({"process": "p", "version": CODE, "refused": "no card"}, "cannot measure: no card"),
        (answer(contenders=["mine/numpy@cpu"]), "has mine/numpy@cpu, which is not here"),
    ],
)
def test_what_a_worker_tells_is_held_against_what_runs_here(
    told: Any, said: str, required: Requirements
) -> None:
    unmet = required.unmet(told)
    assert unmet is not None
    assert said in unmet


def test_a_worker_with_the_same_code_meets_what_is_required(required: Requirements) -> None:
    assert required.unmet(answer()) is None


def test_algorithm_files_are_compared_by_what_they_hold(
    tmp_path: Path, required: Requirements
) -> None:
    mine, theirs = tmp_path / "mine.py", tmp_path / "theirs.py"
    mine.write_text("1")
    theirs.write_text("2")
    required = Requirements([str(mine)])
    assert required.unmet(answer(algorithms={str(mine): digest(str(mine))})) is None
    unmet = required.unmet(answer(algorithms={str(mine): digest(str(theirs))}))
    assert unmet == f"has another {mine}; allowed: the same file here and on every worker"


def test_a_folder_is_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    before = digest(str(tmp_path))
    (tmp_path / "notes.txt").write_text("2")
    assert digest(str(tmp_path)) == before
    (tmp_path / "b.py").write_text("2")
    assert digest(str(tmp_path)) != before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"os": "Linux 6.2"}, "has os 'Linux 6.2', first 'Linux 6.1', and both are epyc"),
        ({"python": "CPython 3.13.0"}, "has Python 'CPython 3.13.0'"),
        ({"versions": {"convcross": "0.1", "torch": "2.8"}}, "has version of torch '2.8'"),
        ({"versions": {"convcross": "0.1"}}, "has version of torch None"),
        ({"cuda": {"driver": "580"}}, "has version of driver '580', first None"),
        ({"cores": 4}, "has usable cores 4"),
        ({"contenders": []}, "has direct/numpy@cpu None, first 'available'"),
        ({"devices": ["cuda:0"], "name": "h200"}, "would measure on cuda:0, first on cpu"),
    ],
)
def test_workers_of_one_kind_do_not_differ(changes: dict[str, Any], said: str) -> None:
    told = mismatch(description(**changes), [("first", description())])
    assert told is not None
    assert said in told


def test_another_kind_of_machine_may_differ() -> None:
    other = description(name="xeon", os="Linux 5.4", cores=64)
    assert mismatch(other, [("first", description())]) is None
    assert mismatch(description(), [("first", description())]) is None


def test_a_card_is_told_without_its_hosts_cores() -> None:
    card = {"devices": ["cuda:0"], "name": "h200"}
    assert mismatch(description(**card, cores=4), [("first", description(**card))]) is None


def test_a_new_process_tells_what_this_one_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVCROSS_COMMIT", "tested")
    loud = tmp_path / "loud.py"
    loud.write_text("print('not part of the answer')")
    told = described("cpu", [str(loud)], 120.0)
    here = describe("cpu", [])
    assert told.machine == here.machine
    assert told.software["versions"] == here.software["versions"]
    assert told.software["commit"] == "tested"
    assert told.contenders == here.contenders
    assert told.algorithms == {str(loud): digest(str(loud))}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, r"--algorithms .*file\.py: algorithms path is .* allowed: a \.py file"),
        ("import nowhere", r"file\.py:1: ModuleNotFoundError: No module named 'nowhere'"),
        ("import os; os._exit(3)", r"could not tell what it is \(exit code 3\)"),
        ("import time; time.sleep(60)", r"did not tell what it is within 1 s"),
    ],
)
def test_a_file_that_cannot_be_loaded_there_is_told(
    source: str | None, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "file.py"
    if source is not None:
        path.write_text(source)
    with pytest.raises(BadInput, match=said):
        described("cpu", [str(path)], 1.0 if source and "sleep" in source else 60.0)
