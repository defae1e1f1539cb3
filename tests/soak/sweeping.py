"""Sweeps of tiny duels by the real command, and what is wrong with the file that they leave."""

from __future__ import annotations

import collections
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from convcross.measure.timing.sampling import LEAST
from convcross.results.reader import reading
from convcross.results.schema import Record

RESULTS = "a.jsonl"
CELLS = 30
TOML = """
sizes = [12, 14, 16, 18, 20, 24]
launches = 1
kernels = [1, 3, 5, 7, 9]
contenders = ["direct/numpy", "fft/numpy"]
[limits]
seconds = 0.02
samples = 40
run_seconds = 60.0
"""
CONVCROSS = """
import sys
sys.modules["torch"] = None  # not needed, and slow to import
from convcross.cli.app import main
main()
"""


def start(
    folder: Path,
    *more: str,
    toml: str = TOML,
    out: str | Path | None = RESULTS,
    driver: str = CONVCROSS,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """``convcross run`` of a sweep in the folder, in a process of its own."""
    (folder / "soaked.toml").write_text(toml)
    command = [
        "run",
        "soaked.toml",
        "--device",
        "cpu",
        *(["--out", str(out)] if out else []),
        *more,
    ]
    return subprocess.Popen(
        [sys.executable, "-c", driver, *command],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What is killed leaves its temporary folder behind.
        env={
            **os.environ,
            "CONVCROSS_COMMIT": "soaked",
            "TMPDIR": str(folder),
            **(environment or {}),
        },
    )


@dataclass
class Faults:
    """What should be 0 in a file, by its kind."""

    lost: int = 0
    doubled: int = 0
    torn: int = 0
    unpaired: int = 0
    blamed: list[str] = field(default_factory=list)  # for what no honest contender did

    def __add__(self, other: Faults) -> Faults:
        return Faults(*(getattr(self, name) + getattr(other, name) for name in vars(self)))


@dataclass
class Held:
    """What a file holds: the ids of its whole duels, and its bytes up to the end of the last."""

    duels: list[str] = field(default_factory=list)
    whole: bytes = b""
    torn: bool = False  # it has more bytes


def held(path: Path) -> Held:
    """Nothing where the file is not there, or was cut inside its header."""
    content = path.read_bytes() if path.exists() else b""
    if b"\n" not in content:
        return Held(torn=bool(content))
    with reading(path) as reader:
        duels = [footer.duel for _, footer in reader]
        return Held(duels, content[: reader.end], len(content) > reader.end)


def faults(path: Path, contenders: Sequence[str], cells: int = CELLS) -> Faults:
    """Of a file that is to hold each cell once, by all contenders."""
    found = Faults()
    ids: collections.Counter[str] = collections.Counter()
    with reading(path) as reader:
        for records, footer in reader:
            ids[footer.duel] += 1
            names = sorted(f"{one.algorithm}/{one.namespace}" for one in records)
            same = all(one.duel == footer.duel for one in records)
            whole = names == sorted(contenders) and same
            found.unpaired += not (whole and all(map(_in_rounds, records)))
            found.blamed += [f"{one.contender}: {one.reason}" for one in records if one.reason]
        found.torn += reader.dropped is not None
    found.lost = cells - len(ids)
    found.doubled = ids.total() - len(ids)
    return found


def _in_rounds(record: Record) -> bool:
    """Whether its samples have rounds from the first on, so that they pair with its rivals'."""
    if record.status != "ok":
        return True
    count = len(record.phase_seconds["run"])
    return count >= LEAST and record.rounds == list(range(count))


def workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes in which a run measures."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children(recursive=True)
    return []


def gone(process: psutil.Process, seconds: float = 20.0) -> bool:
    """Whether a process ends within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.02)
                continue
        return True
    return False
