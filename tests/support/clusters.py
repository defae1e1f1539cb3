"""Dask schedulers and workers as processes on this machine; and what a worker would tell."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from convcross.run.workers.description import Description

ROOT = Path(__file__).parents[2]
COMMIT = "tested"  # whoever commits while the tests run does not change what they compare
WAIT = 60.0  # seconds for a process to be up

# A sitecustomize.py, which every Python process imports: a library is not installed there.
WITHOUT = """
import sys

class Hidden:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == {name!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden)
"""


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join(str(ROOT / root) for root in ("bench", "kernels"))
    return {**os.environ, "PYTHONPATH": path, "CONVCROSS_COMMIT": COMMIT, **more}


def without(library: str, folder: Path) -> dict[str, str]:
    """Variables of processes that do not find a library.

    Workers are up in a third of the time without torch, which tells about cards.
    """
    site = folder / f"without-{library}"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(WITHOUT.format(name=library))
    return {"PYTHONPATH": os.pathsep.join([str(site), environment()["PYTHONPATH"]])}


@contextlib.contextmanager
def process(command: list[str], folder: Path, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python module that runs until it is ended; what it prints is in the folder's files."""
    with open(folder / f"{command[0]}-{time.monotonic_ns()}.log", "wb") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=environment(**more),
            stdout=log,
            stderr=log,
        )
    try:
        yield started
    finally:
        started.kill()  # asked to, it would first look for a scheduler that may be gone
        started.wait()


@contextlib.contextmanager
def scheduler(folder: Path, **more: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Its address and its process."""
    file = folder / f"scheduler-{time.monotonic_ns()}.json"
    where = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    command = ["distributed.cli.dask_scheduler", *where, "--scheduler-file", str(file)]
    with process(command, folder, **more) as started:
        deadline = time.monotonic() + WAIT
        while True:
            with contextlib.suppress(OSError, ValueError):
                address = json.loads(file.read_text())["address"]
                break
            assert time.monotonic() < deadline, "the scheduler did not start"
            time.sleep(0.05)
        yield address, started


def worker(
    address: str, folder: Path, resources: str = "GPU=1", nanny: bool = False, **more: str
) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """One process; or its nanny, which starts another one when it dies."""
    about = ["--nthreads", "1", "--resources", resources, "--no-dashboard"]
    where = ["--local-directory", str(folder), "--nanny" if nanny else "--no-nanny"]
    command = ["distributed.cli.dask_worker", address, *about, *where]
    return process(command, folder, **{**without("torch", folder), **more})


CODE = "0.1", "abc"


def description(**changes: Any) -> Description:
    fields: dict[str, Any] = {
        "devices": ["cpu"],
        "name": "epyc",
        "os": "Linux 6.1",
        "cores": 8,
        "python": "CPython 3.12.1",
        "versions": {"convcross": "0.1", "torch": "2.9"},
        "cuda": None,
        "commit": "abc",
        "contenders": ["direct/numpy@cpu"],
        "algorithms": {},
        **changes,
    }
    return Description(
        devices=fields["devices"],
        machine={
            "name": fields["name"],
            "os": fields["os"],
            "cpu": {"usable_cores": fields["cores"]},
        },
        software={name: fields[name] for name in ("python", "versions", "cuda", "commit")},
        contenders=fields["contenders"],
        algorithms=fields["algorithms"],
    )


def play_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Version and commit are those that `answer` tells."""
    monkeypatch.setattr("convcross.machine.describe.versions", lambda: {"convcross": CODE[0]})
    monkeypatch.setattr("convcross.machine.describe.commit", lambda: CODE[1])


def answer(version: tuple[str, str] = CODE, process: str = "p", **changes: Any) -> dict[str, Any]:
    return {
        "process": process,
        "version": version,
        "description": description(**changes).model_dump(mode="json"),
    }
