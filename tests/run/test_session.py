"""Sweeps run, cut short in every way, and gone on with: no duel lost, none doubled."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from convcross.analysis.load import load
from convcross.errors import BadInput
from convcross.results.reader import read
from convcross.results.schema import Record, Telemetry
from convcross.run import session as running
from convcross.run.outcome import Outcome
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Sweep
from convkernels.discovery import load_path
from support.planted import forgotten, plant
from support.runs import ids, run, sweep


@pytest.fixture(autouse=True)
def registry_as_it_was() -> Iterator[None]:
    with forgotten():
        yield


@pytest.fixture(autouse=True)
def one_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever commits while the tests run does not change what they resume."""
    monkeypatch.setenv("CONVCROSS_COMMIT", "tested")


def test_a_sweep_from_end_to_end(tmp_path: Path) -> None:
    told: list[tuple[str, int, int, int]] = []

    def progress(duel: Duel, number: int, of: int, records: list[Any]) -> None:
        told.append((duel.id, number, of, len(records)))

    outcome = run(tmp_path / "a.jsonl", progress=progress)
    assert (outcome.done, outcome.before, outcome.left) == (6, 0, 0)
    assert not outcome.interrupted
    assert not outcome.failed
    results = read(outcome.path)
    assert [name for name, *_ in told] == ids(outcome.path)
    assert [rest for _, *rest in told] == [[number, 6, 2] for number in range(1, 7)]
    assert Sweep.model_validate(results.header.sweep) == sweep()
    assert results.header.contenders == ["direct/numpy@cpu", "fft/numpy@cpu"]
    assert results.header.machine["name"]
    assert results.header.software["commit"]
    assert {record.status for record in results.records} == {"ok"}
    assert outcome.statuses == {(name, "ok"): 6 for name in results.header.contenders}
    assert sum(outcome.seconds.values()) <= outcome.wall


def test_a_file_that_exists_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("precious")
    with pytest.raises(BadInput, match=r"a\.jsonl exists; allowed: --resume, or another --out"):
        run(path)
    with pytest.raises(BadInput, match="has no header"):
        run(path, resume=True)
    assert path.read_text() == "precious"
    with pytest.raises(BadInput, match=r"is compressed; allowed: a \.jsonl file"):
        run(tmp_path / "a.jsonl.gz", resume=True)


def test_resume_measures_what_is_left_and_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    run(path)
    whole = path.read_bytes()
    outcome = run(path, resume=True)
    assert (outcome.done, outcome.before, outcome.left) == (0, 6, 0)
    assert path.read_bytes() == whole
    ends = [place + 1 for place, byte in enumerate(whole) if byte == 10]
    cut = ends[5] + 100  # the header, a duel of 3 lines, and part of the next
    path.write_bytes(whole[:cut])
    outcome = run(path, resume=True)
    assert (outcome.done, outcome.before, outcome.left) == (5, 1, 0)
    assert len(set(ids(path))) == 6
    assert path.read_bytes().startswith(whole[: ends[3]])


@pytest.mark.parametrize("content", [None, b"", b'{"kind":"header","sch'])
def test_resume_starts_anew_where_there_is_nothing(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.jsonl"
    if content is not None:
        path.write_bytes(content)
    outcome = run(path, sweep(kernels=[3]), resume=True)
    assert (outcome.done, outcome.before) == (2, 0)
    assert len(ids(path)) == 2


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"kernels": [1, 3]}, r"kernels \[1, 3, 5\], this run \[1, 3\]"),
        ({"seed": 1}, "seed 0, this run 1"),
        ({"name": "other"}, "name 'small', this run 'other'"),
        ({"limits": {"seconds": 2.0}}, "limits"),
    ],
)
@pytest.mark.parametrize("duels", [0, 1])
def test_a_changed_sweep_is_refused(
    tmp_path: Path, keys: dict[str, Any], told: str, duels: int
) -> None:
    """Also where nothing has been measured yet: the header says what the file holds."""
    path = tmp_path / "a.jsonl"
    run(path, budget=1e-9)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: 1 + 3 * duels]))
    before = path.read_bytes()
    with pytest.raises(BadInput, match=rf"--resume: .*a\.jsonl has {told}"):
        run(path, sweep(**keys), resume=True)
    assert path.read_bytes() == before


def test_another_machine_or_another_set_of_contenders_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    run(path, budget=1e-9)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(running.describe, "describe", lambda device: {"name": "another"})
        with pytest.raises(BadInput, match=r"has machine '.*', this run 'another'"):
            run(path, resume=True)
    lines = path.read_text().splitlines(keepends=True)
    header = json.loads(lines[0])
    header["contenders"].append("gone/numpy@cpu")
    path.write_text("".join([json.dumps(header) + "\n", *lines[1:]]))
    with pytest.raises(BadInput, match=r"has contenders .*gone/numpy@cpu"):
        run(path, resume=True)


def another_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    software = running.describe.software
    newer = {"versions": {**software("cpu")["versions"], "torch": "99.0"}}
    monkeypatch.setattr(running.describe, "software", lambda device: software(device) | newer)


def another_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    software = running.describe.software
    newer = {"cuda": {"driver": "999.1"}}
    monkeypatch.setattr(running.describe, "software", lambda device: software(device) | newer)


def another_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVCROSS_COMMIT", "newer")


def another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    described = running.describe.describe("cpu") | {"name": "another"}
    monkeypatch.setattr(running.describe, "describe", lambda device: described)


def another_os(monkeypatch: pytest.MonkeyPatch) -> None:
    described = running.describe.describe("cpu") | {"os": "Plan 9"}
    monkeypatch.setattr(running.describe, "describe", lambda device: described)


@pytest.mark.parametrize(
    ("change", "what", "now"),
    [
        (another_torch, "version of torch", "99.0"),
        (another_driver, "version of driver", "999.1"),
        (another_commit, "commit", "newer"),
        (another_machine, "machine", "another"),
        (another_os, "os", "Plan 9"),
    ],
)
def test_what_changed_is_refused_unless_anyway_and_then_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, what: str, now: str
) -> None:
    path = tmp_path / "a.jsonl"
    run(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(before := b"".join(lines[:10]))  # the header and three duels
    change(monkeypatch)
    told = rf"a\.jsonl has {what} .*, this run '{now}'; allowed: --resume-anyway, which records"
    for options in ({"resume": True}, {"retry_failed": True}):
        with pytest.raises(BadInput, match=told):
            run(path, **options)
    assert path.read_bytes() == before
    outcome = run(path, resume_anyway=True)
    assert (outcome.before, outcome.done, outcome.left) == (3, 3, 0)
    assert len(set(ids(path))) == 6
    footers = read(path).footers
    assert [list(one.changed) for one in footers] == [[]] * 3 + [[what]] * 3
    assert footers[-1].changed[what][1] == now
    with pytest.raises(BadInput, match=told):  # the header is still what it was
        run(path, resume=True)


def test_another_sweep_goes_on_with_a_file_if_asked_to(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    run(path, sweep(kernels=[1, 3]))
    outcome = run(path, sweep(kernels=[3, 5]), resume_anyway=True)
    assert (outcome.before, outcome.done, outcome.left) == (2, 2, 0)
    assert len(set(ids(path))) == 6
    assert read(path).footers[-1].changed == {"kernels": ([1, 3], [3, 5])}


FLAKY = """
import os
import numpy as np
from scipy import signal
from convkernels import algorithm

@algorithm(name="flaky", family="direct", namespaces=["numpy"], arithmetic="ieee", source="a test")
def flaky(x, w, problem):
    if w.shape == (3, 3) and os.path.exists("broken"):
        raise RuntimeError("broken")
    return signal.convolve2d(x, w, mode=problem.mode)
"""


@pytest.mark.parametrize("pair", [None, ("direct", "fft")])
def test_failures_are_done_unless_they_are_to_be_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: tuple[str, str] | None
) -> None:
    monkeypatch.chdir(tmp_path)
    source = plant(tmp_path, FLAKY)
    load_path(source)
    path, of = Path("a.jsonl"), sweep(kernels=[3, 5], contenders=["flaky", "fft/numpy"])
    options: dict[str, Any] = {"algorithm_paths": [source], "pair": pair}
    Path("broken").touch()
    first = run(path, of, **options)
    assert first.statuses["flaky/numpy@cpu", "error"] == 2
    whole = ids(path)
    assert run(path, of, resume=True, **options).done == 0
    for times in (1, 2):  # it fails again, and then it does not
        if times == 2:
            Path("broken").unlink()
        before = len(ids(path))
        outcome = run(path, of, retry_failed=True, **options)
        assert outcome.left == 0
        measured = ids(path)[before:]
        retried = [one for one in measured if "+retry" in one]
        assert [one.partition("+retry")[0] in whole for one in retried] == [True, True]
        assert {one.partition("+retry")[2] for one in retried} == {str(times)}
        # A search may look once more where a busy machine leaves it unsure who is faster.
        assert pair or measured == retried
    assert not outcome.failed
    for again in ({"resume": True}, {"retry_failed": True}):
        assert run(path, of, **again, **options).done == 0
    assert len(ids(path)) == len(set(ids(path)))
    loaded = load([path])
    assert set(loaded.frame["status"]) == {"ok"}
    assert any("found twice; the newest counts" in note for note in loaded.notes)


def test_a_spent_budget_leaves_the_rest_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    outcome = run(path, budget=1e-9)
    assert outcome.done + outcome.left == 6
    assert outcome.left >= 5
    assert not outcome.failed
    assert len(ids(path)) == outcome.done
    outcome = run(path, budget=3600.0, resume=True)
    assert outcome.left == 0
    assert len(set(ids(path))) == 6


def test_the_default_place_and_the_newest_of_the_same_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="--resume: no results of sweep 'small' in results"):
        run(None, resume=True)
    outcome = run(None, sweep(kernels=[3]))
    [machine] = (tmp_path / "results").iterdir()
    name = outcome.path.name
    assert outcome.path.parent == Path("results") / machine.name
    assert "-small-" in name
    assert name.endswith(".jsonl")
    # a newer file of a sweep whose name holds this one's is not it
    newer = outcome.path.with_name("29990101T000000Z-small-cpu-unknown.jsonl")
    run(newer, sweep(name="small-cpu", kernels=[3]))
    again = run(None, sweep(kernels=[3]), resume=True)
    assert (again.path, again.before, again.done) == (outcome.path, 2, 0)


def test_failures_are_counted_with_their_first_reason(tmp_path: Path) -> None:
    path = plant(tmp_path)
    load_path(path)
    names = ["planted-wrong", "planted-refuses", "planted-right"]
    small = sweep(sizes=[16], contenders=names)
    outcome = run(tmp_path / "a.jsonl", small, algorithm_paths=[path])
    assert outcome.failed
    assert outcome.statuses["planted-wrong/numpy@cpu", "wrong"] == 3
    assert outcome.statuses["planted-refuses/numpy@cpu", "unsupported"] == 3
    assert outcome.reasons["planted-refuses/numpy@cpu", "unsupported"] == "odd kernels are dull"
    assert len(read(outcome.path).records) == 9
    assert not run(tmp_path / "b.jsonl", sweep(contenders=["planted-refuses"])).failed


def test_interrupted_while_a_duel_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is on disk is counted."""
    path = tmp_path / "a.jsonl"
    append = running.Writer.append

    def struck(writer: Any, *lines: Any) -> None:
        append(writer, *lines)
        raise KeyboardInterrupt

    monkeypatch.setattr(running.Writer, "append", struck)
    outcome = run(path)
    assert (outcome.interrupted, outcome.done, outcome.left) == (True, 1, 5)
    outcome = run(path, resume=True)
    assert (outcome.interrupted, outcome.before, outcome.done, outcome.left) == (True, 1, 1, 4)
    assert len(ids(path)) == 2
    # where the file has duels that this sweep does not
    outcome = run(path, sweep(sizes=[12], kernels=[7, 9]), resume_anyway=True)
    assert (outcome.interrupted, outcome.before, outcome.done, outcome.left) == (True, 0, 1, 1)


def test_what_disturbed_a_card_is_noticed() -> None:
    told = {"before": {"throttle": ["idle"]}, "after": {"other_processes": 2, "throttle": ["x"]}}
    record = Record.model_construct(device="cuda:0", telemetry=Telemetry.model_validate(told))
    assert list(running._notices(record)) == [
        ("cuda:0", "other processes were on it"),
        ("cuda:0", "its clocks were held down (x)"),
    ]
    quiet = Record.model_construct(
        device="cpu", telemetry=Telemetry.model_validate({"before": {"frequency_mhz": {}}})
    )
    assert list(running._notices(quiet)) == []


def test_signals_are_as_they_were_after_a_run_and_outside_the_main_thread(tmp_path: Path) -> None:
    handlers: list[Any] = []

    def progress(duel: Duel, number: int, of: int, records: list[Any]) -> None:
        handlers.append(signal.getsignal(signal.SIGTERM))

    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    run(tmp_path / "a.jsonl", sweep(sizes=[12]), progress=progress)
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before
    assert before[1] not in handlers
    outcomes: list[Outcome] = []
    handlers.clear()
    thread = threading.Thread(
        target=lambda: outcomes.append(
            run(tmp_path / "b.jsonl", sweep(sizes=[12]), progress=progress)
        )
    )
    thread.start()
    thread.join()
    assert outcomes[0].done == len(handlers) == 3
    assert set(handlers) == {before[1]}
