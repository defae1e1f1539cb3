"""Results files: written whole, read back, torn at any byte, gone on with, refused by line."""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from convcross.errors import BadInput
from convcross.results import schema as records
from convcross.results import writer as writing
from convcross.results.reader import Reader, read
from convcross.results.schema import DuelFooter, Errors, Record
from convcross.results.writer import Writer, begun
from convkernels import Problem
from support.synthetic import header, record

PROBLEM = Problem((8, 8), (3, 3), mode="same")


def duel(
    name: str, contenders: Sequence[str] = ("direct/numpy", "fft/torch")
) -> tuple[list[Record], DuelFooter]:
    found = [
        record(
            contender,
            PROBLEM,
            duel=name,
            phase_seconds={"run": [1e-6, 1.1e-6], "load": [1e-7], "plan": [], "fresh": []},
            rounds=[0, 2],
            error=Errors(rel_l2=1e-8, max_rel=2e-8, componentwise=3e-8, ulp_median=0.5, ulp_p999=2),
            provenance={"padded": [9, 10], "note": "é ∗"},
        )
        for contender in contenders
    ]
    return found, DuelFooter(duel=name, records=len(found), seconds={"measured": 0.5})


def written(path: Path, *names: str, **options: Sequence[str]) -> bytes:
    writer = Writer(path, header())
    for name in names:
        writer.append(*duel(name, **options))
    writer.close()
    return path.read_bytes()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.jsonl"
    written(path, "one", "two")
    results = read(path)
    assert results.header == header()
    assert results.records == [*duel("one")[0], *duel("two")[0]]
    assert results.footers == [duel("one")[1], duel("two")[1]]
    assert results.dropped is None
    assert results.records[1].contender == "fft/torch@cpu"
    first = json.loads(path.read_bytes().split(b"\n")[0])
    assert (first["kind"], first["schema"]) == ("header", 1)


def test_keys_of_a_later_version_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    content = written(path, "one").replace(b'"kind":"record"', b'"kind":"record","colour":"red"')
    path.write_bytes(content)
    assert [one.colour for one in read(path).records] == ["red", "red"]  # type: ignore[attr-defined]


def resumed(path: Path) -> tuple[Writer, list[tuple[list[Record], DuelFooter]]]:
    """A writer of that file, by another machine, and the duels that it found there."""
    earlier: list[tuple[list[Record], DuelFooter]] = []
    return Writer(path, header("Mine"), lambda *duel: earlier.append(duel)), earlier


def test_torn_at_every_byte(tmp_path: Path) -> None:
    """Read drops the tail with a word; a writer cuts back to the last whole duel and goes on."""
    path = tmp_path / "a.jsonl"
    content = written(path, "one", "two", contenders=["direct/numpy"])
    head = content.index(b"\n") + 1
    ends = {
        name: content.index(b"\n", content.index(f'{{"kind":"duel","duel":"{name}"'.encode())) + 1
        for name in ("one", "two")
    }
    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        expected = {name for name, end in ends.items() if size >= end}
        kept = max([head, *(end for end in ends.values() if size >= end)]) if size >= head else 0
        assert begun(path) == (header() if size >= head else None)
        if size >= head:
            results = read(path)
            assert {footer.duel for footer in results.footers} == expected
            assert {one.duel for one in results.records} == expected
            assert (results.dropped is None) == (size == kept)
        writer, earlier = resumed(path)
        assert earlier == [duel(name, ["direct/numpy"]) for name in ("one", "two")[: len(expected)]]
        if size >= head:
            assert writer.header == header()
            assert path.read_bytes() == content[:kept]
        else:
            assert writer.header == header("Mine")
            assert path.read_bytes() == records.dump([header("Mine")])
        if size % 50 == 0:
            writer.append(*duel("three"))
            again = read(path)
            assert {one.duel for one in again.records} == expected | {"three"}
            assert again.dropped is None
        writer.close()


def test_a_file_is_read_as_a_stream(tmp_path: Path) -> None:
    """Each duel is there when its closing line was read, and nothing after it."""
    content = written(tmp_path / "a.jsonl", "one", "two")
    lines = iter(content.splitlines(keepends=True))
    reader = Reader(Path("a.jsonl"), lines)  # type: ignore[arg-type]
    assert (reader.header, reader.end) == (header(), content.index(b"\n") + 1)
    assert next(iter(reader)) == duel("one")
    assert reader.end == content.index(b'{"kind":"record","duel":"two"')
    assert len(list(lines)) == 3


def test_a_header_cut_short_is_no_results_file_to_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    content = written(path)
    path.write_bytes(content[:20])
    with pytest.raises(BadInput, match=r"a\.jsonl:1: not JSON"):
        read(path)
    path.write_bytes(content[:-1])
    assert read(path).dropped == "a torn last line"


def test_a_file_that_a_tool_rewrote_keeps_its_duels(tmp_path: Path) -> None:
    """jq and Python space their JSON otherwise, and order its keys."""
    path = tmp_path / "a.jsonl"
    lines = written(path, "one", "two").decode().splitlines()
    path.write_text("".join(json.dumps(json.loads(line), sort_keys=True) + "\n" for line in lines))
    before = path.read_bytes()
    Writer(path, header()).close()
    assert path.read_bytes() == before
    assert len(read(path).records) == 4


def test_a_file_is_refused_before_anything_of_it_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    whole = written(path, "one")
    for content in (b"my notes\nand more\n", b'{"a":1}\n', whole + b'{"kind":"later"}\n'):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=r"not JSON|kind is"):
            Writer(path, header())
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", ["{}", "my notes", "[1]", '{"kind":"record"'])
def test_a_file_of_another_kind_is_not_written_over(tmp_path: Path, content: str) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text(content)
    for action in (lambda: begun(path), lambda: Writer(path, header())):
        with pytest.raises(BadInput, match=r"notes\.jsonl has no header"):
            action()
    assert path.read_text() == content


def bad(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(BadInput) as raised:
        read(path)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)
    return str(raised.value)


def test_bad_files_are_named_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    content = written(path, "one")
    first, second, third, *_ = content.split(b"\n")

    def replaced(number: int, line: bytes) -> bytes:
        lines = content.split(b"\n")
        lines[number - 1] = line
        return b"\n".join(lines)

    assert "is empty" in bad(path, b"")
    assert "is empty" in bad(path, b"\n \n")
    assert ":1: kind is 'record'; allowed in line 1: 'header'" in bad(path, second + b"\n")
    assert ":1: kind is None" in bad(path, b"{}\n")
    assert ":1: a list; allowed" in bad(path, b"[]\n")
    for schema in (2, 0, "1", None):
        told = bad(path, replaced(1, json.dumps({**json.loads(first), "schema": schema}).encode()))
        assert f":1: schema is {schema!r}; allowed: 1 to 1" in told
    assert ":1: machine" in bad(path, replaced(1, b'{"kind":"header","schema":1}'))
    assert ":3: not JSON" in bad(path, replaced(3, third[:-5]))
    assert ":3: not JSON" in bad(path, replaced(3, b"\xff\xfe"))
    assert ":3: not JSON" in bad(path, replaced(3, b"[" * 100_000))
    assert ":3: a str; allowed" in bad(path, replaced(3, b'"text"'))
    assert ":2: kind is 'note'; allowed: 'record', 'duel'" in bad(
        path, replaced(2, b'{"kind":"note"}')
    )
    told = bad(path, replaced(2, second.replace(b'"status":"ok"', b'"status":"fine"')))
    assert ":2: status: " in told
    assert "'fine'" in told
    assert "allowed: ok, unsupported" in told


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.jsonl does not exist"):
        read(tmp_path / "none.jsonl")
    assert begun(tmp_path / "none.jsonl") is None
    for function in (read, begun):
        with pytest.raises(BadInput, match="cannot be read"):
            function(tmp_path)


def test_not_a_number_is_never_written(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    content = written(path, "one")
    for value in (float("nan"), float("inf")):
        found, footer = duel("two")
        found[0].median_s = value
        writer = Writer(path, header())
        with pytest.raises(ValueError, match="JSON"):
            writer.append(found, footer)
        writer.close()
    assert path.read_bytes() == content


@pytest.mark.parametrize("room", [0, 1, 300, 1000])
def test_a_full_disk_is_told_and_what_is_whole_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """A disk that takes so many bytes of the second duel, as write(2) does: short, then ENOSPC."""
    path = tmp_path / "a.jsonl"
    content = written(path, "one")
    writer = Writer(path, header())
    write = writer._file.write

    class Disk:
        def __init__(self, room: int) -> None:
            self.room = room

        def write(self, data: bytes) -> int:
            if self.room == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            taken = write(data[: self.room])
            self.room -= taken
            return taken

    monkeypatch.setattr(writer, "_file", Disk(room))
    with pytest.raises(BadInput, match=r"a\.jsonl cannot be written: No space left on device"):
        writer.append(*duel("two"))
    writer.close()
    assert path.stat().st_size == len(content) + room
    assert read(path).records == duel("one")[0]
    Writer(path, header()).close()
    assert path.read_bytes() == content
    assert written(path, "two") == written(tmp_path / "b.jsonl", "one", "two")


@pytest.mark.parametrize("folder_too", [False, True])
def test_a_file_that_is_removed_meanwhile_is_written_anew(tmp_path: Path, folder_too: bool) -> None:
    path = tmp_path / "results" / "a.jsonl"
    writer = Writer(path, header())
    writer.append(*duel("one"))
    if folder_too:
        shutil.rmtree(path.parent)
    else:
        path.unlink()
    with pytest.raises(BadInput, match=r"a\.jsonl was removed by somebody; all of it is written"):
        writer.append(*duel("two"))
    writer.close()
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == written(tmp_path / "b.jsonl", "one", "two")


def test_another_file_in_the_place_of_a_removed_one_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    writer = Writer(path, header())
    path.unlink()
    path.write_text("precious")
    with pytest.raises(BadInput, match=r"a\.jsonl cannot be written: File exists"):
        writer.append(*duel("one"))
    writer.close()
    assert path.read_text() == "precious"


def test_a_disk_that_fails_to_synchronise_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    content = written(path, "one")
    writer = Writer(path, header())

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(writing.os, "fsync", fail)
    with pytest.raises(BadInput, match=r"a\.jsonl cannot be written: Input/output error"):
        writer.append(*duel("two"))
    writer.close()
    assert path.read_bytes().startswith(content)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    # Linux lets nobody, root included, make a file or a folder in /sys.
    read_only = [Path("/sys/a.jsonl"), Path("/sys/new/a.jsonl")] * (sys.platform == "linux")
    for path in (tmp_path, tmp_path / "file" / "a.jsonl", *read_only):
        with pytest.raises(BadInput, match=f"results file {re.escape(str(path))} cannot be"):
            Writer(path, header())


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path, lock = tmp_path / "a.jsonl", tmp_path / "a.jsonl.lock"
    first = Writer(path, header())
    first.append(*duel("one"))
    content = path.read_bytes()
    owner = f"process {os.getpid()} on {platform.node()} since {header().started_at}"
    told = re.escape(f"a.jsonl is being written by {owner}")
    for _ in range(2):  # the one refused takes nothing from the one that writes
        with pytest.raises(BadInput, match=told):
            Writer(path, header())
    assert path.read_bytes() == content
    for unreadable in ("", "[]", "{}"):
        lock.write_text(unreadable)
        with pytest.raises(BadInput, match=r"a\.jsonl is being written by another run"):
            Writer(path, header())
    first.close()
    assert list(tmp_path.iterdir()) == [path]
    Writer(path, header()).close()


def test_a_lock_left_by_a_killed_run_does_not_hinder(tmp_path: Path) -> None:
    path, lock = tmp_path / "a.jsonl", tmp_path / "a.jsonl.lock"
    left = json.dumps({"pid": os.getppid(), "host": "gone", "started_at": "2020"})
    lock.write_text(left)
    writer = Writer(path, header())
    with pytest.raises(BadInput, match=f"by process {os.getpid()} on "):
        Writer(path, header())
    writer.close()
    assert not lock.exists()


def test_a_folder_that_takes_no_lock_file(tmp_path: Path) -> None:
    """The run is locked all the same, by one that is not named."""
    path, lock = tmp_path / "a.jsonl", tmp_path / "a.jsonl.lock"
    lock.mkdir()
    writer = Writer(path, header())
    with pytest.raises(BadInput, match=r"a\.jsonl is being written by another run"):
        Writer(path, header())
    writer.close()
    assert len(written(path, "one")) > 0


def test_a_file_system_without_locks_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(writing.fcntl, "flock", refuse)
    written(tmp_path / "a.jsonl", "one")
    assert len(read(tmp_path / "a.jsonl").records) == 2


def test_each_append_is_on_disk_when_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines of a duel are synchronised after they were written."""
    sizes: list[int] = []
    path = tmp_path / "a.jsonl"
    monkeypatch.setattr(writing.os, "fsync", lambda descriptor: sizes.append(path.stat().st_size))
    writer = Writer(path, header())
    writer.append(*duel("one"))
    assert sizes[-1] == path.stat().st_size
    assert len(sizes) == 2
    writer.close()
