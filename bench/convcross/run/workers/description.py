"""What can measure: a machine, its software and its contenders, as a new process there finds them.

A new process, because it knows the code and the algorithm files as they are now, and because
whoever asks goes on without the array libraries, and alive where a file brings its process down.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from convcross.errors import BadInput
from convcross.machine import describe as machine
from convcross.sweeps.contenders import Contender, available, devices_named
from convcross.sweeps.user_files import register


class Description(BaseModel):
    """What measures, as the header of a results file tells it, and what it can measure.

    Attributes
    ----------
    devices : those that share a duel there
    contenders : all that are available there
    algorithms : path → digest of what was loaded from it
    """

    devices: list[str]
    machine: dict[str, Any]
    software: dict[str, Any]
    contenders: list[Contender]
    algorithms: dict[str, str]

    @property
    def name(self) -> str:
        """The machine's."""
        return str(self.machine["name"])


def described(device: str | None, algorithm_paths: Sequence[str], seconds: float) -> Description:
    """Ask a new process here, for so many seconds at most.

    Raises BadInput on a device that is not here, an algorithm file that cannot be loaded, and where
    the process does not answer.
    """
    start = (
        f"import sys; sys.path[:] = {sys.path!r}; "
        "from convcross.run.workers import description; sys.exit(description.main())"
    )
    try:
        asked = subprocess.run(
            [sys.executable, "-P", "-c", start, device or "", *algorithm_paths],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise BadInput(f"it did not tell what it is within {seconds:g} s") from None
    lines = asked.stderr.strip().splitlines()
    if asked.returncode == 2:
        raise BadInput(lines[-1])
    if asked.returncode != 0:
        last = f": {lines[-1]}" if lines else ""
        raise BadInput(f"it could not tell what it is (exit code {asked.returncode}){last}")
    return Description.model_validate_json(asked.stdout)


def describe(device: str | None, algorithm_paths: Sequence[str]) -> Description:
    """Tell it in this process, which imports what the contenders there need.

    Raises BadInput as `described` does.
    """
    groups = devices_named(device)
    if len(groups) > 1:
        raise BadInput(f"device is {device!r}; allowed: one card")
    for path in algorithm_paths:
        register(path)
    first = groups[0][0]
    return Description(
        devices=groups[0],
        machine=machine.describe(first),
        software=machine.software(first),
        contenders=available(groups[0]),
        algorithms={path: digest(path) for path in algorithm_paths},
    )


def digest(path: str) -> str:
    """Of an algorithm file, or of each in a folder."""
    place = Path(path)
    files = sorted(place.glob("*.py")) if place.is_dir() else [place]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def main() -> int:
    """Print the description: 0, or the one line of what is wrong: 2."""
    # Whatever the files print is no part of the answer.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    device, *paths = sys.argv[1:]
    try:
        answer.write(describe(device or None, paths).model_dump_json())
    except BadInput as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    answer.close()
    return 0
