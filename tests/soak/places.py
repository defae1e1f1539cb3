"""Places that fail while a sweep is written to them, and a clock that is set back. Prints a table.

Nothing recorded may be lost, one clear line has to say what is wrong, and ``--resume`` has to
finish the sweep once it can. A small tmpfs that fills up and a folder mounted read-only are mounted
in a mount namespace of the script's own; where the kernel allows none, a limit on the size of files
and the folder's permissions stand in.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from convcross.results.reader import read
from soak.sweeping import CELLS, CONVCROSS, RESULTS, Faults, faults, held, start
from soak.table import Row, note, show

CONTENDERS = ("direct/numpy", "fft/numpy")
LIMIT = 120  # seconds for a sweep of seconds
FULL = 120_000  # bytes, of which a sweep needs more

LIMITED = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({FULL}, {FULL}))
"""
# A clock that is a day behind as soon as a file tells, here and in the worker's process.
SET_BACK = """
import datetime, os, time

real = time.time


def behind():
    return real() - 24 * 3600.0 * os.path.exists(os.environ["SET_BACK"])


class Behind(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(behind(), tz)


time.time, datetime.datetime = behind, Behind
"""


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and what a run wrote to stderr."""
    with process:
        try:
            _, errors = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    return process.returncode, errors


def judged(tried: str, file: Path, before: bytes, code: int, errors: str) -> Iterator[Row]:
    """Rows of a run that failed, where the file held ``before`` and its place is sound again."""
    note(f"places: {tried}: exit code {code}: {errors.strip()}")
    lines = errors.splitlines()
    clear = code == 2 and len(lines) == 1 and lines[0].startswith("convcross: ")
    yield Row(f"{tried}: lines told, exit code", f"{len(lines)}, {code}", "1, 2", clear)
    yield resumed(file, before, start(file.parents[1], "--resume", out=file))


def resumed(file: Path, before: bytes, process: subprocess.Popen[str]) -> Row:
    """Whether a file keeps what it held, and is finished by a run that goes on."""
    lost = not held(file).whole.startswith(before)
    code, errors = ended(process)
    found = faults(file, CONTENDERS) if code == 0 else Faults(lost=CELLS)
    lost |= not held(file).whole.startswith(before)
    if found != Faults() or errors:
        note(f"places: resumed: exit code {code}: {errors}{found}")
    met = not lost and found == Faults()
    return Row("  recorded and lost, or not there in the end", str(lost + found.lost), "0", met)


def wait_for(process: subprocess.Popen[str], file: Path, duels: int) -> bytes:
    """The whole duels of a file, when it has so many."""
    deadline = time.monotonic() + LIMIT
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if file.read_bytes().count(b'{"kind":"duel"') >= duels:
                return held(file).whole
        time.sleep(0.005)
    process.kill()
    raise RuntimeError(f"{file} has not got {duels} duels: {process.communicate()}")


def full_disk(folder: Path, mounts: bool) -> Iterator[Row]:
    file = folder / "disk" / RESULTS
    file.parent.mkdir(parents=True)
    if not mounts:
        code, errors = ended(start(folder, out=file, driver=LIMITED + CONVCROSS))
        yield from judged("file size limited (no mounts here)", file, b"", code, errors)
        return
    with mounted(file.parent, "-t", "tmpfs", "-o", f"size={FULL}", "tmpfs"):
        code, errors = ended(start(folder, out=file))
        _mount("-o", "remount,size=64m", file.parent)
        before = held(file)
        note(f"places: {len(before.duels)} of {CELLS} duels fitted")
        yield from judged("disk full (a tmpfs)", file, before.whole, code, errors)


def read_only(folder: Path, mounts: bool) -> Iterator[Row]:
    """A folder that takes no file, and then no more of the file that it has."""
    if not mounts and os.geteuid() == 0:
        yield Row("read-only folder: not tried, by root and without mounts", "-", "-", True)
        return
    file = folder / "disk" / RESULTS
    file.parent.mkdir(parents=True)
    with _read_only(file.parent, mounts):
        code, errors = ended(start(folder, out=file))
    yield from judged("read-only folder", file, b"", code, errors)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(before := b"".join(lines[: 1 + 3 * CELLS // 2]))
    with _read_only(file.parent, mounts):
        code, errors = ended(start(folder, "--resume", out=file))
    yield from judged("read-only folder with half a sweep", file, before, code, errors)


@contextlib.contextmanager
def _read_only(folder: Path, mounts: bool) -> Iterator[None]:
    if mounts:
        with mounted(folder, "--bind", folder):
            _mount("-o", "remount,bind,ro", folder)
            yield
    else:
        folder.chmod(0o555)
        try:
            yield
        finally:
            folder.chmod(0o755)


def removed(folder: Path) -> Iterator[Row]:
    """The folder of the results, midway."""
    file = folder / "results" / RESULTS
    folder.mkdir()
    process = start(folder, out=file)
    before = wait_for(process, file, 5)
    shutil.rmtree(file.parent)
    code, errors = ended(process)
    yield from judged("results folder removed", file, before, code, errors)


def set_back(folder: Path) -> Iterator[Row]:
    """The clock, midway; files are named by it, and the newest is gone on with."""
    (folder / "clock").mkdir(parents=True)
    (folder / "clock" / "sitecustomize.py").write_text(SET_BACK)
    path = os.pathsep.join([str(folder / "clock"), os.environ.get("PYTHONPATH", "")])
    told = folder / "set-back"
    environment = {"PYTHONPATH": path, "SET_BACK": str(told)}
    process = start(folder, out=None, environment=environment)
    while not (files := list(folder.glob("results/*/*.jsonl"))):
        time.sleep(0.01)
    before = wait_for(process, files[0], 3)
    told.touch()
    before = wait_for(process, files[0], 8)
    process.send_signal(signal.SIGINT)
    code, _ = ended(process)
    times = [record.started_at for record in read(files[0]).records]
    if min(times) == times[0]:
        raise RuntimeError(f"the clock was not set back: {times}")
    yield Row("clock set back a day, then Ctrl-C: exit code", str(code), "130", code == 130)
    yield resumed(files[0], before, start(folder, "--resume", out=None, environment=environment))
    count = len(list(folder.glob("results/*/*.jsonl")))
    yield Row("  files", str(count), "1", count == 1)


@contextlib.contextmanager
def mounted(folder: Path, *what: str | Path) -> Iterator[None]:
    _mount(*what, folder)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True)


def rows(mounts: bool) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield from full_disk(folder / "full", mounts)
        yield from read_only(folder / "read-only", mounts)
        yield from removed(folder / "removed")
        yield from set_back(folder / "clock")


ALONE = ["unshare", "--mount", "--map-root-user"]  # a mount namespace of its own


def main() -> int:
    try:
        mounts = subprocess.run([*ALONE, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        mounts = False
    if mounts:
        return subprocess.run([*ALONE, sys.executable, __file__, "--mounts"]).returncode
    return min(1, show(rows(mounts=False)))


if __name__ == "__main__":
    sys.exit(min(1, show(rows(mounts=True))) if sys.argv[1:] == ["--mounts"] else main())
