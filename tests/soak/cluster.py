"""A run on a Dask cluster of which a worker is killed every few seconds. Prints a table.

Four workers on this machine; each has a nanny, which starts another one in its place. The duels
take a second, most of it asleep.

    python tests/soak/cluster.py [DUELS]
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from soak.sweeping import RESULTS, faults, start
from soak.table import Row, note, show
from support import clusters

DUELS, WORKERS = 300, 4
EVERY = 5.0  # seconds between two kills
LIMIT = 220  # seconds for all

SLEEPING = """
import time
from convkernels import algorithm

@algorithm(name="sleeping", family="direct", namespaces=["numpy"], arithmetic="ieee", source="-")
def sleeping(x, w, problem):
    from scipy import signal

    time.sleep(0.03)
    return signal.convolve2d(x, w, mode=problem.mode)
"""
CONTENDERS = ("direct/numpy", "sleeping/numpy")
TOML = """
sizes = "{first}:{last}"
kernels = [1, 3, 5, 7, 9]
launches = 1
contenders = ["direct/numpy", "sleeping"]
[limits]
seconds = 0.001
samples = 5
run_seconds = 60.0
"""


def rows(duels: int = DUELS, every: float = EVERY) -> Iterator[Row]:
    chance, kills, begin = random.Random(0), 0, time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        (folder / "sleeping.py").write_text(SLEEPING)
        address, _ = stack.enter_context(clusters.scheduler(folder, CONVCROSS_COMMIT="soaked"))
        nannies = [
            stack.enter_context(
                clusters.worker(address, folder, nanny=True, CONVCROSS_COMMIT="soaked")
            )
            for _ in range(WORKERS)
        ]
        toml = TOML.format(first=16, last=15 + duels // 5)
        more = ["--scheduler", address, "--algorithms", "sleeping.py"]
        process = stack.enter_context(start(folder, *more, toml=toml))
        stack.callback(process.kill)
        while process.poll() is None and time.monotonic() - begin < LIMIT:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(every)
            there = [one for nanny in nannies for one in _workers(nanny.pid)]
            if process.poll() is None and there and (folder / RESULTS).exists():
                chance.choice(there).kill()
                kills += 1
                note(f"cluster: {kills} workers killed, {time.monotonic() - begin:.0f} s")
        ended = process.poll()
        process.kill()
        _, said = process.communicate()
        if not (folder / RESULTS).exists():
            raise RuntimeError(f"nothing was recorded: {said}")
        lost = said.count("is measured by another") + said.count("is given up")
        found = faults(folder / RESULTS, CONTENDERS, duels)
    for line in [*found.blamed, *([] if ended == 0 else [f"it ended with {ended}: {said}"])]:
        note(f"cluster: {line}")
    what = f"Dask, {duels} duels, {kills} workers killed"
    seconds = time.monotonic() - begin
    yield Row(f"{what}: recorded", str(duels - found.lost), str(duels), found.lost == 0)
    yield Row(f"{what}: recorded twice", str(found.doubled), "0", found.doubled == 0)
    bad = found.torn + found.unpaired + len(found.blamed)
    yield Row(f"{what}: torn, unpaired or failed", str(bad), "0", bad == 0)
    yield Row(f"{what}: moved to another", str(lost), "> 0", lost > 0)
    yield Row(f"{what}: seconds", f"{seconds:.0f}", f"< {LIMIT}", ended == 0)


def _workers(nanny: int) -> list[psutil.Process]:
    """The process of its worker, beside that of its resource tracker."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [
            one
            for one in psutil.Process(nanny).children()
            if "spawn_main" in " ".join(one.cmdline())
        ]
    return []


def main(duels: int = DUELS) -> int:
    return min(1, show(rows(duels)))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
