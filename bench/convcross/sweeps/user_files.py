"""Files of algorithms that users give: code, which is run to be loaded, or refused in one line."""

from __future__ import annotations

import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from convcross.errors import BadInput
from convcross.sweeps.groups import GROUPS
from convkernels.discovery import algorithms, load_path

SECONDS = 120.0  # for a file to be loaded: it may import large libraries
BACK = b"came back"
TRIAL = """
import os, sys
sys.path[:] = {path!r}
from convkernels.discovery import load_path
try:
    load_path({file!r})
except BaseException:
    pass
os.write(2, {back!r})
os._exit(0)
"""


def load(paths: Sequence[str]) -> list[str]:
    """Register what files or folders hold; their resolved paths.

    Raises BadInput, with the line where a file's own code raised.
    """
    resolved = [str(Path(path).resolve()) for path in paths]
    for path in resolved:
        _try(path)
        register(path)
    return resolved


def register(path: str) -> None:
    """Load one of which it is known that it comes back. Raises BadInput as ``load``."""
    try:
        load_path(path)
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        inside = [f"{frame.filename}:{frame.lineno}" for frame in frames if path in frame.filename]
        kind = f"{type(error).__name__}: " if type(error) is not ValueError else ""
        raise BadInput(f"--algorithms {(inside or [path])[-1]}: {kind}{error}") from None
    for name in GROUPS.keys() & algorithms().keys():
        raise BadInput(
            f"--algorithms {path}: an algorithm is named {name!r}; allowed: what is no group "
            f"({', '.join(GROUPS)})"
        )


def _try(path: str) -> None:
    """Load it in a process of its own, which it may bring down, or keep for ever.

    What it raises is not told: it will raise that here too.
    """
    trial = TRIAL.format(path=sys.path, file=path, back=BACK)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", trial],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise BadInput(
            f"--algorithms {path}: it is not loaded within {SECONDS:g} s; allowed: a file that "
            "defines algorithms and computes nothing"
        ) from None
    if BACK not in done.stderr:
        code = done.returncode
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        raise BadInput(f"--algorithms {path}: to load it ends the process ({how})")
