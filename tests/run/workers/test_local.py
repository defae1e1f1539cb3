"""Workers share the duels of a sweep, and each kind of machine has a file of its own."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from convcross.cli import app
from convcross.errors import BadInput
from convcross.machine import cards, describe
from convcross.results.reader import read
from convcross.results.schema import DuelResult
from convcross.run.session import run
from convcross.run.workers import local
from convcross.run.workers.isolation import Isolated
from convcross.run.workers.local import VISIBLE, LocalMachine, machines
from convcross.run.workers.machine import WorkersLost
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits, Sweep
from support.runs import InProcess, ids

SWEEP = Sweep(
    name="small",
    sizes=[12, 16],
    kernels=[1, 3, 5],
    launches=1,
    contenders=["direct/numpy", "fft/numpy"],
    limits=Limits(seconds=0.001, samples=5, run_seconds=60.0),
)


@pytest.fixture(autouse=True)
def one_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVCROSS_COMMIT", "tested")


def test_workers_share_the_duels(tmp_path: Path) -> None:
    """Each duel is measured once, and two at a time."""
    path = tmp_path / "a.jsonl"
    most = 0
    together: set[str] = set()
    measure = Isolated.measure

    def counted(worker: Isolated, duel: Duel) -> DuelResult:
        nonlocal most
        together.add(duel.id)
        most = max(most, len(together))
        try:
            return measure(worker, duel)
        finally:
            together.discard(duel.id)

    here = LocalMachine(["cpu"], [{}, {}])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Isolated, "measure", counted)
        try:
            [outcome] = run(SWEEP, [here], out=path)
        finally:
            here.close()
    assert (outcome.done, outcome.left, most) == (6, 0, 2)
    assert len(ids(path)) == len(set(ids(path))) == 6
    assert {one.device for one in read(path).records} == {"cpu"}


class Away(InProcess):
    """A machine of another name, that is lost after some duels."""

    def __init__(self, name: str, duels: int) -> None:
        super().__init__()
        self.description.machine["name"] = name
        self._duels = duels

    def finished(self, seconds: float) -> list[tuple[Duel, dict[str, Any]]]:
        if self._duels == 0:
            raise WorkersLost("the last worker has left")
        self._duels -= 1
        return super().finished(seconds)


def test_each_kind_of_machine_has_a_file_and_the_whole_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told: list[tuple[int, int]] = []
    one, other = run(
        SWEEP,
        [Away("one", -1), Away("other", 2)],
        progress=lambda duel, number, of, records: told.append((number, of)),
    )
    assert [outcome.path.parent for outcome in (one, other)] == [
        Path("results/one"),
        Path("results/other"),
    ]
    assert (one.done, one.left, one.workers_lost) == (6, 0, None)
    assert (other.done, other.left, other.workers_lost) == (2, 4, "the last worker has left")
    assert told == [(number, 12) for number in range(1, 9)]
    assert [read(outcome.path).header.machine["name"] for outcome in (one, other)] == [
        "one",
        "other",
    ]
    with pytest.raises(BadInput, match="--out is one file, the machines are one, other; allowed:"):
        run(SWEEP, [Away("one", -1), Away("other", 2)], out=Path("a.jsonl"))


def test_a_machine_that_is_lost_is_told_and_left_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "machines", lambda groups: [Away("away", 2)])
    arguments = ["quick", "--sizes", "12", "--kernels", "1,3,5", "--contenders", "direct/numpy"]
    monkeypatch.setattr("sys.argv", ["convcross", "run", *arguments])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 1
    assert "the last worker has left; go on with --resume --out results/away" in (
        capsys.readouterr().out
    )


# ---- cards -----------------------------------------------------------------------------------


@pytest.fixture
def four_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of one name, and one of another."""
    names = ["NVIDIA H200", "NVIDIA A100", "NVIDIA H200", "NVIDIA H200"]
    found = tuple({"device": f"cuda:{n}", "name": name} for n, name in enumerate(names))
    monkeypatch.setattr(cards, "cards", lambda: found)
    monkeypatch.setattr(describe, "software", lambda device: {"commit": "tested"})
    monkeypatch.delenv(VISIBLE, raising=False)


def made(groups: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """(machine name, devices, what each worker sees)."""
    seen: list[list[str | None]] = []

    class Told(Isolated):
        def __init__(self, environment: Any) -> None:
            super().__init__(environment)
            seen[-1].append(environment.get(VISIBLE))

    monkeypatch.setattr(local, "Isolated", Told)
    start = LocalMachine.__init__

    def watched(self: LocalMachine, *arguments: Any) -> None:
        seen.append([])
        start(self, *arguments)

    monkeypatch.setattr(LocalMachine, "__init__", watched)
    found = machines(groups)
    return [
        (one.description.name, one.devices, visible)
        for one, visible in zip(found, seen, strict=True)
    ]


@pytest.mark.usefixtures("four_cards")
@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([["cuda:1", "cpu"]], [("nvidia-a100", ["cuda:1", "cpu"], [None])]),
        ([["cuda:3"], ["cuda:0"]], [("nvidia-h200", ["cuda:0"], ["3", "0"])]),
        (
            [["cuda:0"], ["cuda:1"], ["cuda:2"], ["cuda:3"]],
            [
                ("nvidia-h200", ["cuda:0"], ["0", "2", "3"]),
                ("nvidia-a100", ["cuda:0"], ["1"]),
            ],
        ),
    ],
)
def test_equal_cards_share_and_each_worker_sees_one(
    groups: list[list[str]], expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert made(groups, monkeypatch) == expected


@pytest.mark.usefixtures("four_cards")
def test_cards_that_the_user_has_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """cuda:0 is the first of those that this process sees."""
    monkeypatch.setenv(VISIBLE, "6, 4,GPU-0a1b,5")
    assert made([["cuda:0"], ["cuda:2"]], monkeypatch) == [
        ("nvidia-h200", ["cuda:0"], ["6", "GPU-0a1b"])
    ]


def test_what_runs_is_ended_at_once() -> None:
    here = LocalMachine(["cpu"], [{}])
    asked = threading.Event()
    worker = here._workers[0]

    def measure(duel: Duel) -> DuelResult:
        asked.set()
        worker._stopped.wait(60)
        return DuelResult(records=[], seconds={}, neighbours={})

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(worker, "measure", measure)
        here.submit(Duel.model_construct(id="a", limits=Limits()))
        assert asked.wait(60)
        assert (here.free_slots(), here.finished(0.0)) == (0, [])
        here.kill()
        assert len(here.finished(60)) == 1
        here.close()
