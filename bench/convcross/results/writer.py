"""Appending whole duels to a results file, as its only writer."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from convcross.errors import BadInput
from convcross.results.reader import Reader, unreadable
from convcross.results.schema import DuelFooter, Header, Record, dump

Taker = Callable[[list[Record], DuelFooter], object]  # of a whole duel


class Writer:
    """Appends whole duels to a results file; each is durable when ``append`` returns.

    Until ``close`` it is the file's only writer. Who writes stands in ``<path>.lock`` meanwhile;
    one that a killed process left there does not hinder, as the lock itself died with its holder.

    Parameters
    ----------
    path : Path
        Made anew with its header when missing, empty, or cut inside its header; else cut back
        to the end of its last whole duel.
    header : Header
    earlier : callable, optional
        Given (records, closing) of each whole duel that the file holds, one after the other.

    Attributes
    ----------
    header : Header
        The file's: the one that it had, or the one given where it was made anew.

    Raises
    ------
    BadInput
        A file that cannot be written, is none of ours, or is being written by another run.
    """

    def __init__(
        self, path: Path, header: Header, earlier: Taker = lambda records, footer: None
    ) -> None:
        self.path, self.header = path, header
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.ExitStack() as stack:
                self._file = stack.enter_context(open(path, "a+b", buffering=0))
                self._lock(header.started_at, stack)
                keep = self._read(earlier)  # refuses before anything is cut
                self._file.truncate(keep)
                if not keep:
                    self._write(dump([header]))
                self._open = stack.pop_all()
        except OSError as error:
            raise BadInput(f"results file {path} cannot be written: {error.strerror}") from None

    def _lock(self, now: str, stack: contextlib.ExitStack) -> None:
        """The file for this writer alone: two would write over each other."""
        owner = self.path.with_name(f"{self.path.name}.lock")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(
                f"results file {self.path} is being written by {_owner(owner)}"
            ) from None
        except OSError:  # a file system without locks
            return
        holder = {"pid": os.getpid(), "host": platform.node(), "started_at": now}
        with contextlib.suppress(OSError):  # it is locked all the same, by a run that is not named
            owner.write_text(json.dumps(holder) + "\n")
        stack.callback(_remove, owner)

    def _read(self, earlier: Taker) -> int:
        """Bytes up to the end of the header or the last whole duel; 0 to start anew."""
        self._file.seek(0)
        # By the same descriptor: on NFS, to close another one gives up the lock.
        with open(self._file.fileno(), "rb", closefd=False) as file:
            if _is_new(self.path, file):
                return 0
            reader = Reader(self.path, file)
            self.header = reader.header
            for records, footer in reader:
                earlier(records, footer)
            return reader.end

    def append(self, records: Sequence[Record], footer: DuelFooter) -> None:
        """Raises BadInput where the disk takes no more, or the file was removed: what is whole
        stays, or is written anew."""
        lines = dump([*records, footer])
        try:
            self._write(lines)
            removed = os.fstat(self._file.fileno()).st_nlink == 0
            if removed:
                self._write_anew()
        except OSError as error:
            raise BadInput(
                f"results file {self.path} cannot be written: {error.strerror}; "
                "go on with --resume once it can"
            ) from None
        if removed:
            raise BadInput(
                f"results file {self.path} was removed by somebody; all of it is written anew, go "
                "on with --resume"
            )

    def _write_anew(self) -> None:
        """What the removed file held, which lives while it is open, in its old place."""
        self._file.seek(0)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "xb") as file:
            shutil.copyfileobj(self._file, file)
            file.flush()
            os.fsync(file.fileno())

    def _write(self, data: bytes) -> None:
        written = 0
        while written < len(data):
            written += self._file.write(data[written:]) or 0
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._open.close()


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # its folder was removed, or is read-only by now
        path.unlink()


def _owner(path: Path) -> str:
    """Who holds a lock, as the file beside it tells, in words."""
    try:
        holder = json.loads(path.read_text())
        return f"process {holder['pid']} on {holder['host']} since {holder['started_at']}"
    except (OSError, ValueError, TypeError, KeyError):  # not there, or not yet written
        return "another run"


def _is_new(path: Path, file: IO[bytes]) -> bool:
    """Whether a file is to be started anew: it is empty, or was cut inside its header.

    Raises BadInput on a file that is none of ours: it is not to be written over.
    """
    line = file.readline()
    file.seek(0)
    begin = b'{"kind":"header"'
    if not line.endswith(b"\n") and not line.startswith(begin[: len(line)]):
        raise BadInput(f"results file {path} has no header; allowed: a results file")
    return not line.endswith(b"\n")


def begun(path: Path) -> Header | None:
    """The header of a file that is to be gone on with; None where it is to be started anew.

    Raises BadInput as ``Reader`` does, and on a file that is none of ours.
    """
    if not path.exists():
        return None
    try:
        with open(path, "rb") as file:
            return None if _is_new(path, file) else Reader(path, file).header
    except OSError as error:
        raise unreadable(path, error) from None
