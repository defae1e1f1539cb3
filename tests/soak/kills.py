"""Runs killed with SIGKILL, and gone on with until nothing is left. Prints a table.

Killed are the worker, the coordinator, or both: at a random moment, start-up included; at once when
the file has grown, before it is on the disk; and inside a write, by a coordinator that writes 64
bytes at a time.

    python tests/soak/kills.py [KILLS]
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from soak.sweeping import CONVCROSS, RESULTS, Faults, faults, gone, held, start, workers
from soak.table import Row, note, show

KILLS, LANES = 200, 3
CONTENDERS = ("direct/numpy", "fft/numpy")
LIMIT = 120  # seconds for what should take a few
# What ends a run; before it, its worker is killed up to WORKERS times.
ENDS = ("at random", "when the file has grown", "in a write", "both at random")
WORKERS = 2
DUEL = b'{"kind":"duel"'  # begins the last line of each

SLOW = """
import os, time
from convcross.results.writer import Writer

def write(self, data):
    for place in range(0, len(data), 64):
        self._file.write(data[place : place + 64])
        time.sleep(0.0015)
    os.fsync(self._file.fileno())

Writer._write = write
"""


@dataclass
class Killed:
    """What became of runs that were killed."""

    kills: collections.Counter[str] = field(default_factory=collections.Counter)
    inside: int = 0  # kills that left a torn end
    left: int = 0  # workers that outlived their coordinator
    failed: list[str] = field(default_factory=list)  # runs that ended as none should
    faults: Faults = field(default_factory=Faults)

    @property
    def total(self) -> int:
        return self.kills.total()

    def __add__(self, other: Killed) -> Killed:
        return Killed(*(getattr(self, name) + getattr(other, name) for name in vars(self)))


def sweep(folder: Path, seed: int) -> Killed:
    """One sweep that is killed in each way, as far as it lasts, and then finished."""
    found, chance, path = Killed(), random.Random(seed), folder / RESULTS
    finished = held(path)
    for how in chance.sample(ENDS, len(ENDS)):
        driver = SLOW + CONVCROSS if how == "in a write" else CONVCROSS
        with _started(folder, driver) as process:
            for _ in range(chance.randint(0, WORKERS)):
                _kill_worker(process, path, chance, found)
            _kill(process, how, path, chance, found)
        now = held(path)
        found.inside += now.torn
        # Nothing that was whole may have changed.
        found.faults.lost += not now.whole.startswith(finished.whole)
        finished = now
    with _started(folder, CONVCROSS) as process:
        _, errors = process.communicate(timeout=LIMIT)
    if process.returncode:
        found.failed.append(f"sweep {seed} ended with {process.returncode}: {errors}")
    else:
        found.faults.lost += not path.read_bytes().startswith(finished.whole)
        found.faults += faults(path, CONTENDERS)
    return found


@contextlib.contextmanager
def _started(folder: Path, driver: str) -> Iterator[subprocess.Popen[str]]:
    """A run, or where there is a file to go on with, a run that goes on."""
    more = ["--resume"] if (folder / RESULTS).exists() else []
    with start(folder, *more, driver=driver) as process:
        try:
            yield process
        finally:
            process.kill()


def _kill_worker(
    process: subprocess.Popen[str], path: Path, chance: random.Random, found: Killed
) -> None:
    """At a random moment inside a duel; the coordinator has to measure it all the same."""
    _grows(process, path, DUEL)
    time.sleep(chance.uniform(0.0, 0.2))
    there = workers(process)
    if process.poll() is None and there:
        for one in there:
            _end(one)
        found.kills["worker"] += 1
        if not _grows(process, path, DUEL) and process.poll() is None:
            found.failed.append("a coordinator whose worker was killed measured no more")


def _kill(
    process: subprocess.Popen[str], how: str, path: Path, chance: random.Random, found: Killed
) -> None:
    if "random" in how:
        time.sleep(chance.uniform(0.0, 2.5))
        there = workers(process)
    else:
        _grows(process, path, DUEL)
        there = workers(process)  # it takes a while
        if how == "in a write":  # at any of the parts of the next ones
            time.sleep(chance.uniform(0.0, 0.4))
        _grows(process, path)
    if process.poll() is not None:  # it was faster
        return
    victims = [psutil.Process(process.pid), *(there if "both" in how else [])]
    for one in chance.sample(victims, len(victims)):
        _end(one)
    found.kills[how] += 1
    process.wait(LIMIT)
    found.left += sum(not gone(one) for one in there)


def _end(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGKILL)


def _grows(process: subprocess.Popen[str], path: Path, by: bytes = b"") -> bool:
    """Whether the file grows by something while the run lasts; returns at once when it has."""
    size, deadline = _size(path), time.monotonic() + LIMIT
    while process.poll() is None and time.monotonic() < deadline:
        if _size(path) > size and (not by or by in path.read_bytes()[size:]):
            return True
        time.sleep(0.001)
    return False


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def rows(kills: int = KILLS) -> Iterator[Row]:
    found, seeds = Killed(), iter(range(10**6))
    with (
        tempfile.TemporaryDirectory() as folder,
        concurrent.futures.ThreadPoolExecutor(LANES) as pool,
    ):
        running: set[concurrent.futures.Future[Killed]] = set()

        def begin() -> None:
            seed = next(seeds)
            place = Path(folder) / str(seed)
            place.mkdir()
            running.add(pool.submit(sweep, place, seed))

        while found.total < kills:
            while len(running) < LANES:
                begin()
            done, running = concurrent.futures.wait(
                running, return_when=concurrent.futures.FIRST_COMPLETED
            )
            for one in done:
                found += one.result()
            note(f"kills: {found.total} of {kills}")
        for one in running:
            found += one.result()
    for line in found.failed + found.faults.blamed:
        note(f"kills: {line}")
    what = f"{found.total} kills, {found.inside} of them inside a write"
    for kind in ("lost", "doubled", "torn", "unpaired"):
        count = getattr(found.faults, kind)
        yield Row(f"{what}: duels {kind}", str(count), "0", count == 0)
    for tried, count in (
        ("honest contenders blamed", len(found.faults.blamed)),
        ("workers left", found.left),
        ("runs that could not go on", len(found.failed)),
    ):
        yield Row(f"{what}: {tried}", str(count), "0", count == 0)


def main(kills: int = KILLS) -> int:
    return min(1, show(rows(kills)))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
