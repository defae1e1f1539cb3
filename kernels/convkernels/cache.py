"""The user's cache folder: what is found out or compiled once a machine, and kept."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

FOLDER = "CONVCROSS_CACHE"  # the environment variable that names another folder


def folder() -> Path:
    """Where it is, for this user alone."""
    named = os.environ.get(FOLDER)
    if named:
        return Path(named)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
    else:
        base = os.environ.get("XDG_CACHE_HOME")
    return Path(base or Path.home() / ".cache") / "convcross"


def write(path: Path, content: bytes) -> bool:
    """Whole or not at all, and which; where nothing can be written, each process finds out for
    itself."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(content)
        os.replace(file.name, path)
    except OSError:
        return False
    return True
