"""Runs on Dask clusters of real processes on this machine, and what is said where there is none."""

from __future__ import annotations

import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from convcross.errors import BadInput
from convcross.results.reader import read
from convcross.results.schema import DuelResult
from convcross.run.cluster import cluster, scheduler
from convcross.run.cluster.pool import Pool
from convcross.run.workers import isolation
from convcross.run.workers.machine import WorkersLost
from convcross.sweeps.duels import Duel, duels, of_first_launch
from convcross.sweeps.spec import Limits, Sweep
from support import clusters
from support.planted import forgotten

remote = pytest.importorskip(
    "convcross.run.cluster.remote"
)  # a machine that only visits has no Dask

SWEEP = """
sizes = [12, 16]
launches = 2
kernels = [1, 3, 5]
contenders = ["direct/numpy", "fft/numpy"]
[limits]
seconds = 0.001
samples = 5
"""

# Where "hold" is in the folder, it tells which worker's process has it, and does not end.
HOLDING = """
import os, pathlib, time
from scipy import signal
from convkernels import algorithm

@algorithm(name="planted-holding", family="direct", namespaces=["numpy"], arithmetic="ieee",
           source="a test")
def holding(x, w, problem):
    folder = pathlib.Path(__file__).parent
    if (folder / "hold").exists():
        (folder / "held").write_text(str(os.getppid()))
        while (folder / "hold").exists():
            time.sleep(0.01)
    return signal.convolve2d(x, w, mode=problem.mode)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """A scheduler with two workers."""
    with (
        clusters.scheduler(folder) as (where, _),
        clusters.worker(where, folder, MALLOC_TRIM_THRESHOLD_="65536"),
        clusters.worker(where, folder, MALLOC_TRIM_THRESHOLD_="65536"),
    ):
        yield where


@pytest.fixture(autouse=True)
def as_there(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CONVCROSS_COMMIT", clusters.COMMIT)
    monkeypatch.setattr(cluster, "FIRST", clusters.WAIT)
    with forgotten():
        yield


def one_duel(**changes: object) -> Duel:
    sweep = Sweep.model_validate(
        {"name": "one", "sizes": [16], "kernels": [3], "contenders": ["direct/numpy"]}
        | {"limits": Limits(seconds=0.001, samples=5, run_seconds=60.0)}
    )
    from convcross.sweeps.contenders import available

    return duels(sweep, available(["cpu"]))[0].model_copy(update=changes)


def until(what: Callable[[], bool], seconds: float = clusters.WAIT) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def measured(pool: Pool) -> list[tuple[str, list[str]]]:
    """The next duels that end: id and statuses."""
    deadline = time.monotonic() + clusters.WAIT
    while not (ended := pool.finished(0.5)):
        assert time.monotonic() < deadline, "nothing ended"
    return [(duel.id, [one.status for one in result.records]) for duel, result in ended]


# ---- no cluster ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["", "tcp://", "host", "host:8786", "tcp://host", "tcp://h:99999", "http://h:80", "tcp://h:0"],
)
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"--scheduler is .*; allowed: tcp://host:port or tls://"):
        cluster.connect(text)


def test_a_port_on_which_nobody_listens_is_refused_at_once() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        where = f"tcp://127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(BadInput, match=f"{where} is not reached: Connection refused; allowed"):
            cluster.connect(where)


def test_what_listens_and_never_answers_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "SECONDS", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        where = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(BadInput, match=rf"no Dask scheduler answers at {where} \(no answer in"):
            cluster.connect(where)


def test_a_worker_is_no_scheduler(address: str) -> None:
    with cluster.connect(address, "cpu") as connected:
        worker = next(iter(connected.workers))
    with pytest.raises(BadInput, match=rf"no Dask scheduler answers at {worker} \(.* a Worker\)"):
        cluster.connect(worker)


def test_without_dask_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BadInput, match=r"not installed: pip install 'convcross\[cluster\]'"):
        cluster.connect("tcp://127.0.0.1:1")


def test_all_cards_of_a_worker_are_refused() -> None:
    with pytest.raises(BadInput, match=r"device is 'cuda:all' with --scheduler; allowed: cpu"):
        cluster.connect("tcp://127.0.0.1:1", "cuda:all")


def test_a_scheduler_alone_or_with_unfit_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with clusters.scheduler(tmp_path) as (where, _):
        monkeypatch.setattr(cluster, "FIRST", 0.1)
        with pytest.raises(BadInput, match=rf"{where} has no workers: waited 0 s; start one: dask"):
            cluster.connect(where)
        monkeypatch.setattr(cluster, "FIRST", clusters.WAIT)
        bare = clusters.without("convcross", tmp_path)
        for options, said in (
            ({"resources": "CPU=1"}, "has no resource GPU; allowed: dask worker --resources"),
            (bare, "has no convcross; allowed: convcross .*, commit tested"),
            ({"CONVCROSS_COMMIT": "other"}, "has convcross .*, commit other; allowed: conv"),
        ):
            with (
                clusters.worker(where, tmp_path, **options),
                pytest.raises(BadInput, match=rf"worker tcp://127\.0\.0\.1:\d+ {said}"),
            ):
                cluster.connect(where)


def test_a_scheduler_that_cannot_load_convcross(tmp_path: Path) -> None:
    bare = clusters.without("convcross", tmp_path)
    with (
        clusters.scheduler(tmp_path, **bare) as (where, _),
        pytest.raises(BadInput, match=rf"scheduler at {where} cannot load this convcross \(Module"),
    ):
        cluster.connect(where)


def test_a_device_and_a_file_that_workers_do_not_have(address: str, tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"worker tcp:.* cannot measure: device is 'cuda:7'; allowed"
    ):
        cluster.connect(address, "cuda:7")
    mine = tmp_path / "mine.txt"
    mine.touch()
    with pytest.raises(BadInput, match=r"worker tcp:.* cannot measure: --algorithms .*mine\.txt: "):
        cluster.connect(address, "cpu", [str(mine)])


# ---- a run ------------------------------------------------------------------------------------


def test_a_run_from_end_to_end(address: str, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SWEEP)
    command = ["-m", "convcross", "run", "small.toml", "--out", "a.jsonl"]
    ran = subprocess.run(
        [sys.executable, *command, "--scheduler", address],
        cwd=tmp_path,
        env=clusters.environment(),
        capture_output=True,
        text=True,
        timeout=clusters.WAIT,
    )
    assert ran.returncode == 0, ran.stderr
    note = "convcross: note: workers on one host measure on its CPU at the same time\n"
    assert ran.stderr == note
    assert ran.stdout.splitlines()[-1] == "a.jsonl"
    results = read(tmp_path / "a.jsonl")
    assert len({footer.duel for footer in results.footers}) == len(results.footers) == 12
    launches: dict[str, list[int | None]] = {}
    for record in results.records:
        launches.setdefault(of_first_launch(record.duel), []).append(record.launch)
    assert [sorted(own, key=int) for own in launches.values()] == [[1, 1, 2, 2]] * 6  # type: ignore[arg-type]
    assert {record.status for record in results.records} == {"ok"}
    assert results.header.software["commit"] == clusters.COMMIT
    assert results.header.contenders == ["direct/numpy@cpu", "fft/numpy@cpu"]


def test_a_run_leaves_nothing_at_its_workers(address: str) -> None:
    with cluster.connect(address, "cpu") as connected:
        (pool,) = connected.machines
        assert pool.free_slots() == 2
        for name in ("one", "two"):
            pool.submit(one_duel(id=name))
        ended = measured(pool)
        while len(ended) < 2:
            ended += measured(pool)
        assert sorted(ended) == [("one", ["ok"]), ("two", ["ok"])]
        pids = connected.client.run(os.getpid).values()
        children = [one for pid in pids for one in psutil.Process(pid).children(recursive=True)]
        assert len(children) == 2
        assert not any("MALLOC_TRIM_THRESHOLD_" in one.environ() for one in children)
    psutil.wait_procs(children, timeout=10)
    assert not any(one.is_running() for one in children)


def test_what_is_killed_ends_and_its_worker_goes_on(address: str, tmp_path: Path) -> None:
    path = planted(tmp_path)
    with cluster.connect(address, "cpu", [path]) as connected:
        (pool,) = connected.machines
        (tmp_path / "hold").touch()
        pool.submit(held_duel(path))
        until(held(tmp_path))
        children = psutil.Process(int((tmp_path / "held").read_text())).children()
        assert children
        pool.kill()
        psutil.wait_procs(children, timeout=10)
        assert not any(one.is_running() for one in children)
        assert pool.free_slots() == 2
        (tmp_path / "hold").unlink()
        pool.submit(one_duel(id="another"))
        pool.submit(one_duel(id="yet another"))
        ended = measured(pool)
        while len(ended) < 2:
            ended += measured(pool)
        assert sorted(name for name, _ in ended) == ["another", "yet another"]


def planted(folder: Path) -> str:
    from convkernels.discovery import load_path

    path = folder / "holding.py"
    path.write_text(HOLDING)
    load_path(path)
    return str(path)


def held(folder: Path) -> Callable[[], bool]:
    """Whether a worker has told that it holds the duel."""
    return lambda: (folder / "held").exists() and (folder / "held").read_text() != ""


def held_duel(path: str) -> Duel:
    return one_duel(contenders=["planted-holding/numpy@cpu"], algorithm_paths=[path], id="held")


def test_workers_come_and_go_and_so_does_the_scheduler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "SECONDS", 3.0)
    logged: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = logged.append  # type: ignore[method-assign]
    monkeypatch.setattr(logging.getLogger("distributed.client"), "handlers", [handler])
    said: queue.SimpleQueue[str] = queue.SimpleQueue()
    path = planted(tmp_path)
    with (
        clusters.scheduler(tmp_path) as (where, its_process),
        clusters.worker(where, tmp_path),
        clusters.worker(where, tmp_path),
        cluster.connect(where, "cpu", [path], said.put) as connected,
    ):
        (pool,) = connected.machines
        until(lambda: pool.free_slots() == 2)
        while not said.empty():
            said.get()
        (tmp_path / "hold").touch()
        pool.submit(held_duel(path))
        until(held(tmp_path))
        (tmp_path / "hold").unlink()
        os.kill(int((tmp_path / "held").read_text()), signal.SIGKILL)
        assert measured(pool) == [("held", ["ok"])]
        assert "its duel held is measured by another" in said.get(timeout=1)
        assert pool.free_slots() == 1
        with (
            clusters.worker(where, tmp_path),
            clusters.worker(where, tmp_path, CONVCROSS_COMMIT="x"),
        ):
            until(lambda: pool.free_slots() == 2 and not said.empty())
            assert "is left alone: it has convcross" in said.get()
        until(lambda: pool.free_slots() == 1)
        (tmp_path / "hold").touch()
        (tmp_path / "held").unlink()
        pool.submit(held_duel(path))
        until(held(tmp_path))
        its_process.kill()
        with pytest.raises(WorkersLost, match=rf"the scheduler {where} is lost"):
            measured(pool)
    assert not logged  # Dask's own words


# ---- in a worker's process ---------------------------------------------------------------------


def test_a_process_that_was_not_asked_does_not_measure() -> None:
    assert remote.measure({}, "another process", "run") is None


def test_each_run_has_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(isolation, "close_isolated", lambda: done.append("closed"))
    nothing = DuelResult(records=[], seconds={}, neighbours={})
    monkeypatch.setattr(isolation, "measure_isolated", lambda duel: done.append(duel.id) or nothing)
    monkeypatch.setattr(remote, "_run", None)
    for name, run in (("a", "first"), ("b", "first"), ("c", "second")):
        asked = one_duel(id=name).model_dump(mode="json")
        assert remote.measure(asked, remote.PROCESS, run) == nothing.model_dump(mode="json")
    assert done == ["closed", "a", "b", "closed", "c"]


def test_what_a_nanny_sets_does_not_reach_contenders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MKL_NUM_THREADS", "3")  # the user's own
    remote._forget_environment()
    assert "MALLOC_TRIM_THRESHOLD_" not in os.environ
    assert "OMP_NUM_THREADS" not in os.environ
    assert os.environ["MKL_NUM_THREADS"] == "3"
