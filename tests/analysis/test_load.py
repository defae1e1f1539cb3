"""What of results files counts: the newest, of one machine, as measured; and what is said of it."""

from pathlib import Path
from typing import Any

import pytest

from convcross.analysis.load import load
from convcross.errors import BadInput
from convcross.results.schema import DuelFooter, Record
from convcross.results.writer import Writer
from convkernels import Problem
from support import synthetic

SMALL, LARGE = Problem((8, 8), (3, 3), mode="same"), Problem((8, 8), (5, 5), mode="same")
MONDAY, TUESDAY, WEDNESDAY = (f"2026-11-0{day}T00:00:00Z" for day in (2, 3, 4))


def measured(problem: Problem, microseconds: float, **changes: Any) -> Record:
    """A record whose one run took so long."""
    seconds = microseconds * 1e-6
    return synthetic.record(
        "direct/numpy",
        problem,
        **{
            "phase_seconds": {"run": [seconds]},
            "rounds": [0],
            "ci_low_s": seconds,
            "ci_high_s": seconds,
            **changes,
        },
    )


def microseconds(*paths: Path) -> list[float]:
    """Of the measurements that count, in the order of their kernels."""
    frame = load(paths).frame.sort_values("n")
    return [round(seconds * 1e6, 3) for seconds in frame["seconds"]]


def test_a_clock_set_back_inside_a_file_does_not_make_the_newest_old(tmp_path: Path) -> None:
    """Measured on Wednesday; then the clock went back to Monday, and both were measured again."""
    duels = [measured(SMALL, 1, started_at=WEDNESDAY), measured(LARGE, 2, started_at=WEDNESDAY)]
    duels += [
        measured(SMALL, 3, duel="a+retry1", started_at=MONDAY),
        measured(LARGE, 4, duel="b+1", started_at=MONDAY),  # as a search names it
    ]
    path = synthetic.write(tmp_path / "a.jsonl", [[one] for one in duels])
    assert microseconds(path) == [3, 4]
    doubled, differs = load([path]).notes
    assert doubled == "a.jsonl: 1 measurement found twice; the newest counts"
    assert "1 of those found twice differs by more than" in differs


def test_of_two_files_the_one_begun_last_counts(tmp_path: Path) -> None:
    """Also over a cell that a search measured again, and in any order of the files."""
    old = synthetic.write(
        tmp_path / "old.jsonl",
        [[measured(SMALL, 1)], [measured(SMALL, 2, duel="a+1")]],
        synthetic.header(started_at=MONDAY),
    )
    new = synthetic.write(
        tmp_path / "new.jsonl", [[measured(SMALL, 3)]], synthetic.header(started_at=TUESDAY)
    )
    for paths in ((old, new), (new, old)):
        assert microseconds(*paths) == [3]
        assert not any("bear a later time" in note for note in load(paths).notes)


def test_a_doubtful_order_of_two_files_is_said(tmp_path: Path) -> None:
    """The one begun first was gone on with after the other."""
    old = synthetic.write(
        tmp_path / "old.jsonl",
        [[measured(SMALL, 1, started_at=WEDNESDAY)], [measured(LARGE, 1, started_at=MONDAY)]],
        synthetic.header(started_at=MONDAY),
    )
    new = synthetic.write(
        tmp_path / "new.jsonl",
        [[measured(one, 3, started_at=TUESDAY)] for one in (SMALL, LARGE)],
        synthetic.header(started_at=TUESDAY),
    )
    for paths in ((old, new), (new, old)):
        assert microseconds(*paths) == [3, 3]
        assert load(paths).notes[1].startswith("1 of those found twice bear a later time in the")


def resumed(path: Path, *changes: dict[str, tuple[Any, Any]]) -> Path:
    """A file whose duels say in turn what had changed: ever larger kernels, 1, 2, … µs."""
    writer = Writer(path, synthetic.header("Mine"), lambda *duel: None)
    for number, changed in enumerate(changes, start=1):
        one = measured(Problem((64, 64), (number, number), mode="same"), number)
        footer = DuelFooter(duel=one.duel, records=1, seconds={"measured": 1.0}, changed=changed)
        writer.append([one], footer)
    writer.close()
    return path


def test_what_changed_in_a_file_is_said_once(tmp_path: Path) -> None:
    newer: dict[str, tuple[Any, Any]] = {"version of torch": ("2.9", "2.10")}
    more = newer | {"kernels": ([1, 3], list(range(1, 99)))}
    path = resumed(tmp_path / "a.jsonl", {}, newer, more, {})
    assert microseconds(path) == [1, 2, 3, 4]
    (note,) = load([path]).notes
    assert note == (
        "a.jsonl: 2 duels measured after a change (--resume-anyway): version of torch '2.9', then "
        "'2.10'; kernels [1, 3], then [1, 2, 3, 4, 5, 6, ...]"
    )


def test_what_another_machine_measured_is_left_out_and_said(tmp_path: Path) -> None:
    """Its times never make one curve with those of the header's machine."""
    elsewhere: dict[str, tuple[Any, Any]] = {"machine": ("Mine", "Yours")}
    path = resumed(tmp_path / "a.jsonl", {}, elsewhere, elsewhere, {})
    assert microseconds(path) == [1, 4]
    (note,) = load([path]).notes
    assert note.endswith(": machine 'Mine', then 'Yours'; 2 duels of another machine left out")
    with pytest.raises(BadInput, match=r"b\.jsonl: no finished duel of 'Mine'"):
        load([resumed(tmp_path / "b.jsonl", elsewhere)])
