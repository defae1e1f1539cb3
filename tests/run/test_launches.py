"""Launches of a sweep: fresh processes, each over all duels, each durable by itself."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest

from convcross.analysis.crossover.crossover import crossovers
from convcross.analysis.load import load
from convcross.errors import BadInput
from convcross.results.reader import read
from convcross.run.first_launch import TAKEN_OVER
from convcross.run.session import run as run_on
from convcross.run.workers.launch import PADDING, chance
from convcross.run.workers.local import LocalMachine
from convcross.sweeps.contenders import available
from convcross.sweeps.duels import duels, of_first_launch
from convkernels.discovery import load_path
from support.planted import forgotten
from support.runs import ids, run, sweep

# Tells the process that runs it, and what differs there by chance.
TELLS = """
import os
from convkernels import algorithm, convolve

@algorithm(name="tells", family="direct", namespaces=("numpy",), arithmetic="ieee", source="a test")
class Tells:
    def load(self, b):
        self.b = b

    def plan(self, problem, xp, device):
        self.problem = problem

    def run(self, a):
        return convolve(a, self.b, mode=self.problem.mode, algorithm="direct")

    def provenance(self):
        return {"process": os.getpid(), "hash": os.environ["PYTHONHASHSEED"]}
"""
FAILS = """
from pathlib import Path
from convkernels import algorithm, convolve

@algorithm(name="fails", family="direct", namespaces=("numpy",), arithmetic="ieee", source="a test")
def fails(x, w, problem):
    if problem.kernel == (3, 3):
        with Path("asked").open("a") as file:
            file.write(".")
        return 2 * convolve(x, w, mode=problem.mode, algorithm="direct")
    return convolve(x, w, mode=problem.mode, algorithm="direct")
"""
# Its second process dies at a 3×3 kernel.
DIES = """
import os
from pathlib import Path
from convkernels import algorithm, convolve

@algorithm(name="dies", family="direct", namespaces=("numpy",), arithmetic="ieee", source="a test")
def dies(x, w, problem):
    met = Path(__file__).with_name("met")
    processes = met.read_text().split() if met.exists() else []
    if str(os.getpid()) not in processes:
        processes.append(str(os.getpid()))
        met.write_text(" ".join(processes))
    if len(processes) > 1 and problem.kernel == (3, 3):
        os._exit(9)
    return convolve(x, w, mode=problem.mode, algorithm="direct")
"""


@pytest.fixture(autouse=True)
def one_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVCROSS_COMMIT", "tested")


def test_each_launch_is_a_process_that_meets_every_duel(tmp_path: Path) -> None:
    (tmp_path / "tells.py").write_text(TELLS)
    paths = [str(tmp_path / "tells.py")]
    with forgotten(), contextlib.closing(LocalMachine(["cpu"], [{}])) as machine:
        load_path(paths[0])
        machine.contenders = available(["cpu"])
        small = sweep(contenders=["tells", "direct/numpy"], launches=3)
        [outcome] = run_on(small, [machine], algorithm_paths=paths, out=tmp_path / "a.jsonl")
    assert (outcome.done, outcome.left) == (18, 0)
    assert len(set(ids(outcome.path))) == 18
    told = [record for record in read(outcome.path).records if record.algorithm == "tells"]
    cells = {of_first_launch(record.duel) for record in told}
    processes = {}
    for launch in (1, 2, 3):
        own = [record for record in told if record.launch == launch]
        assert {of_first_launch(record.duel) for record in own} == cells
        [process] = {(record.provenance.process, record.provenance.hash) for record in own}  # type: ignore[attr-defined]
        processes[launch] = process
    assert len(set(processes.values())) == 3
    assert os.getpid() not in {process for process, _ in processes.values()}
    # What need not be asked in each launch is told by the first.
    assert {record.launch for record in told if record.error} == {1}


def test_launches_after_the_first_have_orders_of_their_own() -> None:
    of = duels(sweep(sizes=[12, 14, 16, 18], launches=3), available(["cpu"]))
    orders = [[of_first_launch(duel.id) for duel in of.in_launch(launch)] for launch in (1, 2, 3)]
    assert orders[0] != orders[1] != orders[2]
    assert len({frozenset(order) for order in orders}) == 1
    first, again = of.in_launch(1)[0], of.in_launch(2)[0]
    assert (first.launch, again.launch) == (1, 2)
    assert again.id.endswith("~2")
    assert first.limits.seconds == pytest.approx(sweep().limits.seconds / 3)
    assert first.profiled
    assert not again.profiled


def test_what_chance_gives_a_launch() -> None:
    assert chance(0, 2) == chance(0, 2) != chance(0, 3)
    assert len({len(chance(0, launch)[PADDING]) for launch in range(1, 6)}) == 5


def test_a_run_cut_short_goes_on_in_its_launch(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    of = sweep(launches=2)
    run(path, of)
    lines = path.read_bytes().splitlines(keepends=True)
    ends = [place for place, line in enumerate(lines) if json.loads(line)["kind"] == "duel"]
    for whole in (3, 6, 8):  # in the first launch, at its end, in the second
        path.write_bytes(b"".join(lines[: ends[whole - 1] + 1]))
        outcome = run(path, of, resume=True)
        assert (outcome.before, outcome.done, outcome.left) == (whole, 12 - whole, 0)
        assert len(set(ids(path))) == 12


def test_another_number_of_launches_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    run(path, sweep(launches=2))
    with pytest.raises(BadInput, match="launches 2, this run 3"):
        run(path, sweep(launches=3), resume=True)
    header, *rest = path.read_text().splitlines(keepends=True)
    old = json.loads(header)
    del old["sweep"]["launches"]  # as it was before there were any
    path.write_text(json.dumps(old) + "\n" + "".join(rest))
    with pytest.raises(BadInput, match="launches 1, this run 2"):
        run(path, sweep(launches=2), resume=True)


def test_what_the_first_launch_found_wrong_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fails.py").write_text(FAILS)
    with forgotten():
        load_path("fails.py")
        outcome = run(Path("a.jsonl"), sweep(contenders=["fails", "direct/numpy"], launches=3))
    wrong = [record for record in read(outcome.path).records if record.status == "wrong"]
    assert [record.launch for record in wrong] == [1, 1, 2, 2, 3, 3]
    assert all(str(record.reason).endswith(TAKEN_OVER) for record in wrong[2:])
    assert len(Path("asked").read_text()) == 2
    assert not outcome.suspended


def test_a_worker_that_dies_in_its_second_launch(tmp_path: Path) -> None:
    """It costs its contender that cell; the other is timed in all launches of it."""
    path = tmp_path / "dies.py"
    path.write_text(DIES)
    small = sweep(contenders=["dies", "direct/numpy", "fft/numpy"], sizes=[16], launches=3)
    with forgotten(), contextlib.closing(LocalMachine(["cpu"], [{}])) as machine:
        load_path(str(path))
        machine.contenders = available(["cpu"])
        [outcome] = run_on(small, [machine], algorithm_paths=[str(path)], out=tmp_path / "a.jsonl")
    assert outcome.left == 0
    records = read(outcome.path).records
    died = [one for one in records if one.algorithm == "dies" and one.status != "ok"]
    assert {(one.launch, one.problem.kernel) for one in died} == {(2, (3, 3)), (3, (3, 3))}
    assert all("exit code 9" in str(one.reason) for one in died)
    assert {one.status for one in records if one.algorithm != "dies"} == {"ok"}
    frame = load([outcome.path]).frame.set_index(["contender", "n"])
    assert not frame.loc[("dies/numpy", 3), "usable"]
    assert frame.loc[("dies/numpy", 3), "status"] == "error"
    for name in ("direct/numpy", "fft/numpy"):
        assert set(frame.loc[(name, 3), "run_launches"]) == {1, 2, 3}
    assert crossovers([outcome.path], pairs=[("direct/numpy", "fft/numpy")])


def test_threads_are_chosen_once(tmp_path: Path) -> None:
    outcome = run(tmp_path / "a.jsonl", sweep(launches=3, sizes=[40]))
    chosen: dict[tuple[str, str], set[int | None]] = {}
    for record in read(outcome.path).records:
        key = of_first_launch(record.duel), record.contender
        chosen.setdefault(key, set()).add(record.provenance.threads)
    assert all(len(counts) == 1 for counts in chosen.values())


@pytest.mark.torch
def test_launches_are_one_measurement(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    two = ["direct/numpy", "direct/torch", "fft/numpy", "fft/torch"]
    outcome = run(tmp_path / "a.jsonl", sweep(launches=3, sizes=[16], contenders=two))
    frame = load([outcome.path]).frame
    assert len(frame) == 12
    assert not caplog.text
    for cost in ("time", "error", "workspace"):  # of a family too, here of two contenders
        assert crossovers([outcome.path], pairs=[("direct", "fft")], cost=cost)
    assert {len(set(own)) for own in frame["run_launches"]} == {3}
    assert frame["spread"].notna().all()
    assert (frame["low"] <= frame["seconds"]).all()
    assert (frame["seconds"] <= frame["high"]).all()
    assert frame["error"].notna().all()


def test_a_file_with_a_part_of_its_launches(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so, and the interval of what was launched once is wider than of the others."""
    path = run(tmp_path / "a.jsonl", sweep(launches=3)).path
    lines = path.read_text().splitlines(keepends=True)
    last = max(place for place, line in enumerate(lines) if json.loads(line)["kind"] == "duel")
    torn = [line for line in lines[:last] if json.loads(line).get("duel", "~").find("~") < 0]
    path.write_text("".join([lines[0], *torn]))
    frame = load([path]).frame
    assert "12 of 12 measurements have fewer than 3 launches" in caplog.text
    assert "say nothing of the next process" in caplog.text
    assert frame["spread"].isna().all()


def test_a_file_from_before_launches_beside_one_that_has_them(tmp_path: Path) -> None:
    """Read together, the older file's only launch gives way to the first of the newer."""
    old, new = (
        run(tmp_path / name, sweep(launches=count)).path
        for name, count in (("a.jsonl", 1), ("b.jsonl", 3))
    )
    lines = [json.loads(line) for line in old.read_text().splitlines()]
    del lines[0]["sweep"]["launches"]
    lines[0]["started_at"] = "2026-01-01T00:00:00+00:00"
    for line in lines:
        line.pop("launch", None)
    old.write_text("".join(json.dumps(line) + "\n" for line in lines))
    both, alone = load([old, new]), load([new])
    assert [list(own) for own in both.frame["run"]] == [list(own) for own in alone.frame["run"]]
    assert any("before there were launches" in note for note in both.notes)


@pytest.mark.parametrize("launches", ["many", [3], None, 10**30])
def test_a_header_may_say_anything_of_launches(tmp_path: Path, launches: object) -> None:
    path = run(tmp_path / "a.jsonl", sweep(launches=1)).path
    header, *rest = path.read_text().splitlines(keepends=True)
    told = json.loads(header)
    told["sweep"]["launches"] = launches
    path.write_text(json.dumps(told) + "\n" + "".join(rest))
    assert len(load([path]).frame) == 12
