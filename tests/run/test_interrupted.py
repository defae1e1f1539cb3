"""Runs cut short from outside: signals, a second run, a disk that fills up. Nothing is lost."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from convcross.results.reader import read
from support.planted import plant
from support.runs import ids


@pytest.fixture(autouse=True)
def one_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever commits while the tests run does not change what they resume."""
    monkeypatch.setenv("CONVCROSS_COMMIT", "tested")


TOML = """
sizes = [12, 16, 20, 24]
launches = 1
kernels = [1, 3, 5]
contenders = ["direct/numpy", "fft/numpy"]
[limits]
seconds = 0.04
samples = 40
run_seconds = 60.0
"""

MAIN = """
import sys
sys.modules["torch"] = None  # not needed, and slow to import
from convcross.cli.app import main
main()
"""


@contextlib.contextmanager
def start(folder: Path, *more: str, main: str = MAIN) -> Iterator[subprocess.Popen[str]]:
    """A run in a process of its own, which the block's end ends."""
    (folder / "cut.toml").write_text(TOML)
    command = ["run", "cut.toml", "--device", "cpu", "--out", "a.jsonl", *more]
    process = subprocess.Popen(
        [sys.executable, "-c", main, *command],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[str], path: Path, duels: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and path.read_bytes().count(b'{"kind":"duel"') >= duels:
            return
        time.sleep(0.002)
    process.kill()
    raise AssertionError(f"{path} has not got {duels} duels: {process.communicate()}")


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_killed_at_any_moment_and_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    delay = random.Random(11)
    finished: list[str] = []
    for duels in (1, 4, 8):
        with start(tmp_path, *(["--resume"] if path.exists() else [])) as process:
            wait_for(process, path, duels)
            time.sleep(0.1 * delay.random())
        assert process.returncode == -signal.SIGKILL
        found = [footer.duel for footer in read(path).footers]
        assert found[: len(finished)] == finished  # nothing that was finished is lost
        finished = found
    with start(tmp_path, "--resume") as process:
        output, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert f"{12 - len(finished)} duels measured, {len(finished)} found finished" in output
    assert output.splitlines()[-1] == "a.jsonl"
    found = ids(path)
    assert found[: len(finished)] == finished
    assert len(found) == len(set(found)) == 12
    for line in path.read_bytes().splitlines():
        json.loads(line)


WAITS = """
import time
from pathlib import Path
from convkernels import algorithm, convolve

@algorithm(name="waits", family="direct", namespaces=["numpy"], arithmetic="ieee", source="a test")
def waits(x, w, problem):
    # in the second duel, for the file "go"
    if b'{"kind":"duel"' in Path("a.jsonl").read_bytes() and not Path("go").exists():
        Path("waiting").touch()
        while not Path("go").exists():
            time.sleep(0.002)
    return convolve(x, w, mode=problem.mode, algorithm="direct")
"""


@contextlib.contextmanager
def start_waiting(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that waits inside its second duel until there is a file "go"."""
    source = plant(folder, WAITS)
    more = ["--algorithms", source, "--contenders", "waits,fft/numpy"]
    with start(folder, *more) as process:
        deadline = time.monotonic() + 60
        while not (folder / "waiting").exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        yield process


STOPPING = "stopping after this duel; again to stop at once\n"


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_lets_the_duel_in_hand_finish(tmp_path: Path, which: signal.Signals) -> None:
    path = tmp_path / "a.jsonl"
    with start_waiting(tmp_path) as process:
        process.send_signal(which)
        assert process.stderr is not None
        assert process.stderr.readline() == STOPPING
        assert process.poll() is None
        (tmp_path / "go").touch()
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    assert len(ids(path)) == 2
    assert "2 duels measured, 0 found finished, 10 left" in output
    assert "interrupted; go on with --resume --out a.jsonl" in output
    assert output.splitlines()[-1] == "a.jsonl"
    assert not path.with_name("a.jsonl.lock").exists()


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_stops_at_once(tmp_path: Path, which: signal.Signals) -> None:
    path = tmp_path / "a.jsonl"
    with start_waiting(tmp_path) as process:
        process.send_signal(which)
        assert process.stderr is not None
        assert process.stderr.readline() == STOPPING
        process.send_signal(which)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    assert len(ids(path)) == 1
    assert "1 duels measured, 0 found finished, 11 left" in output
    assert output.splitlines()[-1] == "a.jsonl"
    assert not path.with_name("a.jsonl.lock").exists()


@pytest.mark.skipif(os.name != "posix", reason="file locks are POSIX's")
def test_two_runs_on_one_file(tmp_path: Path) -> None:
    path, lock = tmp_path / "a.jsonl", tmp_path / "a.jsonl.lock"
    with start_waiting(tmp_path) as first:
        content = path.read_bytes()
        with start(tmp_path, "--resume") as second:
            _, errors = second.communicate(timeout=60)
        assert second.returncode == 2
        told = rf"convcross: results file a\.jsonl is being written by process {first.pid} on \S+ "
        assert re.fullmatch(rf"{told}since \d{{4}}-\d\d-\d\dT\S+\n", errors)
        assert path.read_bytes() == content
        first.kill()
        first.wait()
        assert lock.exists()
    (tmp_path / "go").touch()
    source = str(tmp_path / "planted.py")
    more = ["--algorithms", source, "--contenders", "waits,fft/numpy"]
    with start(tmp_path, "--resume", *more) as third:
        _, errors = third.communicate(timeout=120)
    assert (third.returncode, errors) == (0, "")
    assert len(set(ids(path))) == len(ids(path)) == 12
    assert path.read_bytes().startswith(content)
    assert not lock.exists()


@pytest.mark.skipif(os.name != "posix", reason="file size limits are POSIX's")
def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    """A limit on the size of files stands in: writes are short, and then fail."""
    path = tmp_path / "a.jsonl"
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\n"
    with start(tmp_path, main=limit + MAIN) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors == (
        "convcross: results file a.jsonl cannot be written: File too large; "
        "go on with --resume once it can\n"
    )
    content = path.read_bytes()
    assert len(content) == 40_000
    results = read(path)
    assert results.dropped is not None
    done = [one.duel for one in results.footers]
    assert 0 < len(done) < 12
    with start(tmp_path, "--resume") as process:
        output, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert f"{12 - len(done)} duels measured, {len(done)} found finished, 0 left" in output
    assert ids(path)[: len(done)] == done
    assert len(set(ids(path))) == 12
