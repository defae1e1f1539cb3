"""Optional libraries: whether they are installed, and whether what is installed loads.

A package can be found and yet not be imported: OpenCV's needs libGL, a wheel may be of another
processor. Finding that out takes an import, which takes seconds and may end the process, so another
process tries it, and the outcome is kept until the library, the interpreter or the system's own
libraries change.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from convkernels import cache

LONGEST = 60.0  # seconds of an import
LINKER = Path("/etc/ld.so.cache")  # written anew when a system library comes or goes

_lock = threading.RLock()


def installed(module: str) -> bool:
    """Whether a top-level module can be found, without importing it."""
    if sys.modules.get(module) is not None:
        return True
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError as error:  # an import hook that hides it
        if error.name != module:
            raise
        return False
    except ValueError:  # another thread is importing it: it has no __spec__ yet
        return True


def missing(module: str, install: str) -> str | None:
    """Why a library cannot be used here, with the command that installs it, or None."""
    if not installed(module):
        return f"{module} is not installed: {install}"
    failure = _failure(module)
    return f"{module} is installed but does not load: {failure}" if failure else None


def load(module: str) -> ModuleType:
    """The module, imported; of threads that ask at once, one imports and the others wait."""
    with _lock:
        return importlib.import_module(module)


@functools.cache
def _failure(module: str) -> str:
    """What importing it ends with, "" where it loads; asked once a process."""
    if sys.modules.get(module) is not None:
        return ""
    with _lock:
        # Another module of a name that it imports may stand in the way, on this path alone.
        loads, fails = (
            cache.folder() / "loads" / f"{module}-{_state(module, path)}" for path in ([], sys.path)
        )
        if _kept(loads) == "":
            return ""
        known = _kept(fails)
        if known is not None:
            return known
        failure = _tried(module)
        if failure is None:
            return ""
        cache.write(fails if failure else loads, failure.encode())
        return failure


def _kept(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _state(module: str, searched: Sequence[str]) -> str:
    """A digest of what the outcome depends on, and where modules are searched for."""
    try:
        spec = importlib.util.find_spec(module)
        origin = spec.origin if spec is not None and spec.origin is not None else ""
    except ValueError:
        origin = ""
    files = []
    for path in (Path(origin), LINKER):
        try:
            status = path.stat()
        except OSError:
            continue
        files.append((str(path), status.st_mtime_ns, status.st_size))
    state = sys.version, sys.executable, files, os.environ.get("LD_LIBRARY_PATH"), list(searched)
    return hashlib.sha256(repr(state).encode()).hexdigest()[:16]


def _tried(module: str) -> str | None:
    """What importing it in another process ends with; None where there can be none."""
    code = f"import sys; sys.path[:] = {sys.path!r}; import {module}"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"its import takes more than {LONGEST:.0f} s"
    except OSError:
        return None
    if done.returncode == 0:
        return ""
    if done.returncode < 0:
        return f"its import ends the process ({signal.Signals(-done.returncode).name})"
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else f"its import ends with exit code {done.returncode}"
