"""What a sweep of 100,000 cells asks of its coordinator. Prints a table.

A stub stands in the place of measuring: it answers each duel with records as a true one left them.
The run is a process of its own, in a folder in memory, so that it is not the disk that is timed;
it is stopped by its budget near the end, and gone on with in another process.

    python tests/soak/size.py [CELLS]
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from convcross.machine import describe
from convcross.results.schema import DuelResult
from convcross.run.session import run
from convcross.run.workers.description import Description
from convcross.sweeps import spec
from convcross.sweeps.contenders import Contender
from convcross.sweeps.duels import Duel
from convkernels import Problem
from soak.table import Row, note, show

CELLS = 100_000
CONTENDERS = ("direct/numpy@cpu", "fft/numpy@cpu")
MEMORY, START, RESUME = 1e9, 5.0, 20.0  # bytes, seconds, seconds: at most
LIMITS = {"seconds": 0.001, "samples": 30, "run_seconds": 60.0}
LIMIT = 120  # seconds for each process
LEFT = 1000  # duels that the first process does not measure


class Stub:
    """A machine that has measured already, and asks to stop after so many duels."""

    def __init__(self, description: Any, answer: DuelResult, stop_after: int) -> None:
        self.description, self.devices = description, ["cpu"]
        self.contenders = [Contender(name) for name in CONTENDERS]
        self.answer, self.stop_after = answer, stop_after
        self.given: list[Duel] = []
        self.first: float | None = None  # when the first duel came
        self.done = 0

    def free_slots(self) -> int:
        return 4 - len(self.given)

    def submit(self, duel: Duel) -> None:
        self.first = self.first or time.time()
        self.given.append(duel)

    def finished(self, seconds: float) -> list[tuple[Duel, DuelResult]]:
        ended = [(duel, self._measured(duel)) for duel in self.given]
        self.given.clear()
        self.done += len(ended)
        if self.done >= self.stop_after:
            os.kill(os.getpid(), signal.SIGINT)  # those in hand are still written
        return ended

    def at_work(self) -> list[str]:
        return []

    def _measured(self, duel: Duel) -> DuelResult:
        about = {"duel": duel.id, "problem": duel.problem}
        records = [record.model_copy(update=about) for record in self.answer.records]
        return self.answer.model_copy(update={"records": records})

    def kill(self) -> None:
        self.given.clear()


def once(folder: Path, cells: int, stop_after: int) -> dict[str, Any]:
    """Run the sweep, or go on with it; what it took. For a process of its own."""
    answer = DuelResult.model_validate_json((folder / "answer.json").read_bytes())
    path = folder / "large.jsonl"
    description = Description(
        devices=["cpu"],
        machine=describe.describe("cpu"),
        software=describe.software("cpu"),
        contenders=list(CONTENDERS),
        algorithms={},
    )
    stub = Stub(description, answer, stop_after)
    grid = {"sizes": f"256:{255 + cells // 200}", "kernels": "1:200", "launches": 1}
    keys = {"name": "large", "contenders": ["direct/numpy", "fft/numpy"], "limits": LIMITS}
    sweep = spec.validated(grid | keys, "large")
    (outcome,) = run(sweep, [stub], out=path, resume=path.exists())
    return {
        "start_s": (stub.first or time.time()) - psutil.Process().create_time(),
        "bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "wall_s": outcome.wall,
        "done": outcome.done,
        "before": outcome.before,
        "left": outcome.left,
    }


def answer() -> DuelResult:
    """What measuring one small duel gives."""
    from convcross.measure.duel import measure

    duel = Duel(
        id="small",
        problem=Problem((64, 64), (5, 5), mode="same"),
        contenders=list(CONTENDERS),
        image_data="normal",
        kernel_data="normal",
        seed=0,
        regime=None,
        threads=None,
        limits=spec.Limits.model_validate(LIMITS),
    )
    return measure(duel)


def rows(cells: int = CELLS) -> Iterator[Row]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        (Path(folder) / "answer.json").write_text(answer().model_dump_json())
        path = Path(folder) / "large.jsonl"
        told = []
        for stop_after in (cells - LEFT, cells):
            command = [sys.executable, __file__, "--once", folder, str(cells), str(stop_after)]
            found = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}  # pytest's own, too
            process = subprocess.run(
                command, capture_output=True, text=True, timeout=LIMIT, env=found
            )
            assert process.returncode == 0, process.stderr
            told.append(json.loads(process.stdout.splitlines()[-1]))
            note(f"size: {told[-1]}, file of {path.stat().st_size / 1e6:.0f} MB")
        first, second = told
    peak = max(first["bytes"], second["bytes"])
    lost = cells - second["before"] - second["done"]
    yield Row(
        f"{cells:,} cells: coordinator's memory",
        f"{peak / 1e6:.0f} MB",
        f"< {MEMORY / 1e6:.0f} MB",
        peak < MEMORY,
    )
    yield Row(
        f"{cells:,} cells: start-up",
        f"{first['start_s']:.1f} s",
        f"< {START:.0f} s",
        first["start_s"] < START,
    )
    yield Row(
        f"{cells:,} cells: resuming with {second['before']:,} found",
        f"{second['start_s']:.1f} s",
        f"< {RESUME:.0f} s",
        second["start_s"] < RESUME,
    )
    yield Row(f"{cells:,} cells: duels lost", str(lost), "0", lost == 0)


def main(cells: int = CELLS) -> int:
    return min(1, show(rows(cells)))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--once"]:
        result = once(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
        print(json.dumps(result))
    else:
        sys.exit(main(*map(int, sys.argv[1:])))
