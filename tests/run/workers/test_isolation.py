"""Contenders that crash, hang, hoard and meddle cost their own cells, and leave nothing behind.

All of them, through the command, by ``make soak``; here one of a kind.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil
import pytest

from convcross.measure.timing.sampling import LEAST
from convcross.run.workers import child as process
from convcross.run.workers import isolation
from convcross.run.workers.child import Stopped
from convcross.run.workers.isolation import Isolated
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits
from convkernels import Problem
from soak.sweeping import start, workers
from support.crashing import AT_IT, FAILURES, HARMLESS, LEFT, crashing

HONEST = ("direct", "fft")
LETHAL = (
    "crashing-exit-0",
    "crashing-closes-all",
    "crashing-babbles",
    "crashing-stops",
    "crashing-leaves-thread",
)
RAISED = (
    "crashing-sys-exit",
    "crashing-interrupt",
    "crashing-100-gib",
    "crashing-payload",
    "crashing-unspeakable",
    "crashing-endless-message",
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is planted is Linux's")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("planted")


@pytest.fixture(scope="module")
def source(folder: Path) -> str:
    return crashing(folder)


@pytest.fixture(scope="module")
def isolated() -> Iterator[Isolated]:
    """One for all tests, each of which has to leave it fit to measure."""
    with contextlib.closing(Isolated()) as one:
        yield one


def duel(source: str, *names: str, **limits: float) -> Duel:
    """Of contenders by their algorithms' names."""
    return Duel.model_validate(
        {
            "id": "16x16-3x3",
            "problem": Problem((16, 16), (3, 3), mode="same"),
            "contenders": [f"{name}/numpy@cpu" for name in names],
            "image_data": "normal",
            "kernel_data": "normal",
            "seed": 0,
            "regime": None,
            "threads": 1,
            "limits": {"seconds": 0.001, "samples": 8, "cell_seconds": 2.0, **limits},
            "algorithm_paths": [source],
        }
    )


def measured(isolated: Isolated, duel: Duel) -> dict[str, tuple[str, str]]:
    """(status, reason) by name, of a duel whose honest contenders are measured and paired."""
    records = isolated.measure(duel).records
    found = {one.algorithm: (one.status, one.reason or "") for one in records}
    assert [f"{name}/numpy@cpu" for name in found] == duel.contenders
    for name in HONEST:
        assert found.pop(name) == ("ok", "")
    for rounds in (one.rounds for one in records if one.algorithm in HONEST):
        assert rounds == list(range(len(rounds)))
        assert len(rounds) >= LEAST
    return found


def failed_as_expected(found: dict[str, tuple[str, str]]) -> None:
    for name, (status, reason) in found.items():
        expected, words = FAILURES.get(name, ("ok", ""))
        assert status == expected, (name, reason)
        assert words in reason, (name, reason)
        assert len(reason) < 1000


@pytest.mark.parametrize("name", LETHAL)
def test_a_process_lost_costs_one_cell(isolated: Isolated, source: str, name: str) -> None:
    """The worker is replaced, and the others measured again."""
    failed_as_expected(measured(isolated, duel(source, "direct", name, "fft")))


def test_several_of_one_duel(isolated: Isolated, source: str) -> None:
    names = ("crashing-exit", "direct", "crashing-holds", "crashing-again", "fft")
    failed_as_expected(measured(isolated, duel(source, *names)))


def test_a_crash_is_told_with_where_and_the_last_output(isolated: Isolated, source: str) -> None:
    found = measured(isolated, duel(source, "direct", "crashing-segfault", "fft"))
    failed_as_expected(found)
    (_, reason) = found["crashing-segfault"]
    where = r"at __init__\.py:\d+ in string_at, crashing\.py:\d+ in segfault"
    assert re.search(rf"; {where}; last output: the last words$", reason)


def test_what_is_raised_costs_no_process(isolated: Isolated, source: str) -> None:
    measured(isolated, duel(source, *HONEST))
    before = isolated._child
    failed_as_expected(measured(isolated, duel(source, "direct", *RAISED, "fft")))
    assert isolated._child is before


def test_what_a_worker_and_the_other_contenders_outlive(isolated: Isolated, source: str) -> None:
    measured(isolated, duel(source, *HONEST))
    before = isolated._child
    for names in (HARMLESS, HARMLESS[::-1]):
        found = measured(isolated, duel(source, "direct", *names, "fft", cell_seconds=60.0))
        assert found == dict.fromkeys(names, ("ok", ""))
    assert isolated._child is before


def test_a_copy_of_a_worker_does_not_answer(isolated: Isolated, source: str) -> None:
    measured(isolated, duel(source, *HONEST))
    child = isolated._child
    assert child is not None
    process_of = psutil.Process(child._process.pid)
    before = process_of.children()
    found = measured(isolated, duel(source, "direct", "crashing-forks", "fft"))
    assert found == {"crashing-forks": ("ok", "")}
    (copy,) = set(process_of.children()) - set(before)
    assert gone(copy.pid)
    assert measured(isolated, duel(source, *HONEST)) == {}
    assert isolated._child is child


def test_what_one_that_raises_has_ruined(isolated: Isolated, source: str) -> None:
    """The next one finds a temporary folder, and a stream to print to."""
    names = ("crashing-ruins", "crashing-changes-folder", "crashing-garbage", *HONEST)
    failed_as_expected(measured(isolated, duel(source, *names)))


def test_a_contender_that_another_one_dies_of(isolated: Isolated, source: str) -> None:
    found = measured(isolated, duel(source, "direct", "crashing-poisons", "fft"))
    (status, reason) = found["crashing-poisons"]
    assert status == "error"
    assert reason.startswith("killed by SIGSEGV")


def test_a_fluke_is_not_held_against_its_contender(isolated: Isolated, source: str) -> None:
    found = measured(isolated, duel(source, "direct", "crashing-fluke", "fft"))
    assert found == {"crashing-fluke": ("ok", "")}


def gone(pid: int) -> bool:
    """Whether the process is no more, within seconds."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.02)
                continue
        return True
    return False


@pytest.mark.parametrize("name", ["crashing-leaves-child", "crashing-leaves-daemon"])
def test_nothing_is_left_running(source: str, folder: Path, name: str) -> None:
    with contextlib.closing(Isolated()) as isolated:
        measured(isolated, duel(source, "direct", name, "fft"))
        left = int((folder / LEFT).read_text())
        assert psutil.pid_exists(left)
        assert isolated._child is not None
        child = isolated._child._process.pid
        temporary = Path(psutil.Process(child).environ()["TMPDIR"])
        assert temporary.is_dir()
    assert gone(left)
    assert gone(child)
    assert not temporary.exists()


@contextlib.contextmanager
def at_it(folder: Path) -> Iterator[Callable[[], None]]:
    """A function that waits until a contender does what is planted in it."""
    mark = folder / AT_IT
    mark.unlink(missing_ok=True)

    def wait() -> None:
        deadline = time.monotonic() + 60
        while not mark.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    yield wait


def test_a_worker_that_a_stranger_kills(isolated: Isolated, source: str, folder: Path) -> None:
    """It is no contender's fault."""
    measured(isolated, duel(source, *HONEST))
    child = isolated._child
    assert child is not None
    with at_it(folder) as wait:

        def kill() -> None:
            wait()
            os.kill(child._process.pid, signal.SIGKILL)

        thread = threading.Thread(target=kill)
        thread.start()
        found = measured(isolated, duel(source, "direct", "crashing-sleeps", "fft"))
        thread.join()
    assert found == {"crashing-sleeps": ("ok", "")}
    assert isolated._child is not child


def test_killed_from_another_thread(source: str, folder: Path) -> None:
    isolated, ended = Isolated(), []

    def measure() -> None:
        with pytest.raises(Stopped):
            isolated.measure(duel(source, "crashing-holds", cell_seconds=300.0))
        ended.append(True)

    thread = threading.Thread(target=measure)
    with at_it(folder) as wait:
        thread.start()
        wait()
    assert isolated._child is not None
    pid = isolated._child._process.pid
    isolated.kill()
    thread.join(20)
    assert ended == [True]
    assert gone(pid)
    with pytest.raises(Stopped):
        isolated.measure(duel(source, *HONEST))
    isolated.close()


PLAIN = "from convcross.cli.app import main; main()"


def test_a_second_ctrl_c_ends_a_worker_that_hangs(tmp_path: Path) -> None:
    toml = "sizes = [16]\nlaunches = 1\nkernels = [3]\n[limits]\ncell_seconds = 300.0\n"
    more = ["--algorithms", crashing(tmp_path), "--contenders", "direct/numpy,crashing-holds"]
    with at_it(tmp_path) as wait, start(tmp_path, *more, toml=toml, driver=PLAIN) as process:
        wait()
        there = workers(process)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.readline().startswith("stopping after this duel")
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    assert "0 duels measured, 0 found finished, 1 left" in output
    assert there
    assert all(gone(one.pid) for one in there)


PARENT = """
import sys, threading
from convcross.run.workers.isolation import Isolated
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits

isolated = Isolated()
asked = Duel.model_validate_json(sys.argv[1])
thread = threading.Thread(target=isolated.measure, args=[asked], daemon=True)
thread.start()
while isolated._child is None:
    pass
print(isolated._child._process.pid, flush=True)
thread.join()
"""


@pytest.mark.parametrize("name", ["crashing-holds", "crashing-deaf"])
def test_a_worker_does_not_outlive_its_parent(source: str, folder: Path, name: str) -> None:
    """Not even one in which no thread of Python's can run, or to which no signal comes."""
    asked = duel(source, name, cell_seconds=300.0).model_dump_json()
    command = [sys.executable, "-c", PARENT, asked]
    with (
        at_it(folder) as wait,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent,
    ):
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait()
        assert psutil.pid_exists(pid)
        parent.kill()
    assert gone(pid)


@pytest.mark.parametrize("name", ["crashing-hoards-shared", "crashing-hoards-in-child"])
def test_memory_that_runs_out(
    isolated: Isolated, source: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Shared memory has no limit of a process's own: the parent looks how much is left."""
    nothing_left = types.SimpleNamespace(total=3 * 2**30, available=0)
    monkeypatch.setattr(process.psutil, "virtual_memory", lambda: nothing_left)
    found = measured(isolated, duel(source, "direct", name, "fft", cell_seconds=60.0))
    (status, reason) = found[name]
    assert status == "oom"
    assert re.fullmatch(r"held .* GiB in its preparation: nearly all of the memory", reason)


def test_a_limit_of_memory_makes_an_allocation_fail(source: str) -> None:
    """Under a limit as a shell's ulimit or a batch system sets, which a worker keeps to."""
    limited = """
import resource, sys
from convcross.run.workers.isolation import Isolated
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits

resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30))
print(Isolated().measure(Duel.model_validate_json(sys.argv[1])).model_dump_json())
"""
    asked = duel(source, "direct", "crashing-hoards", "fft", cell_seconds=60.0).model_dump_json()
    answer = subprocess.check_output([sys.executable, "-c", limited, asked])
    records = json.loads(answer)["records"]
    assert [one["status"] for one in records] == ["ok", "oom", "ok"]
    assert records[1]["reason"].startswith("MemoryError")


def test_what_a_process_has_started_is_gone_when_it_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed is not gone: what it held of a card is held until then."""
    waited: set[int] = set()
    real = psutil.wait_procs

    def wait_procs(processes: Iterable[psutil.Process], timeout: float) -> object:
        found = list(processes)
        waited.update(one.pid for one in found)
        return real(found, timeout=timeout)

    monkeypatch.setattr(psutil, "wait_procs", wait_procs)
    child = process.Child({})
    environment = {**os.environ, process.MARK: child._mark}
    left = subprocess.Popen(["sleep", "600"], env=environment, start_new_session=True)
    child.close()
    assert waited == {left.pid}
    assert not psutil.pid_exists(left.pid)
    left.wait(timeout=10)


def test_one_launch_ends_before_the_next_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    class Stub:
        def __init__(self, environment: dict[str, str]) -> None:
            order.append("begin")

        def ask(self, duel: Duel) -> str:
            return f"launch {duel.launch}"

        def close(self) -> None:
            order.append("gone")

    monkeypatch.setattr(isolation, "Child", Stub)
    isolated = Isolated()
    duel = Duel(
        id="a-duel",
        problem=Problem((16, 16), (3, 3), mode="same"),
        contenders=["direct/numpy@cpu"],
        image_data="normal",
        kernel_data="normal",
        seed=0,
        regime=None,
        threads=1,
        limits=Limits(),
        algorithm_paths=[],
    )
    for launch in (1, 1, 2):
        isolated._ask(duel.relaunched(launch) if launch > 1 else duel, {})
    isolated.close()
    assert order == ["begin", "gone", "begin", "gone"]
