"""What is recorded: one JSON line a contender of a duel, behind a header line.

A file belongs to one machine. The lines of a duel are appended in one write, with fsync, and end
with a line of kind "duel" that closes it: a duel without that line is torn and does not count.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import json
import os
import platform
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from convcross.failures import BadInput, first_complaint

SCHEMA = 1
PHASES = ("plan", "load", "run", "fresh")


class Line(BaseModel):
    """Any line; keys that a later minor version added are kept and passed over."""

    model_config = ConfigDict(extra="allow", populate_by_name=True, ser_json_inf_nan="constants")


class Header(Line):
    """What measured: the first line of a file."""

    kind: Literal["header"] = "header"
    schema_version: int = Field(alias="schema", default=SCHEMA)
    machine: dict[str, Any]  # machine.describe(device): "name", "cpu", "gpus", "os"
    software: dict[str, Any]  # versions, threads, commit
    ceilings: dict[str, Any] | None = None
    sweep: dict[str, Any]  # the sweep as it was run: its TOML's keys, overridden
    contenders: list[str]  # names with device, as in Record.contender
    started_at: str


class Errors(Line):
    """Distances of the result y from the float64 reference r; of float64 problems, at the sampled
    outputs (``provenance.reference.error_points``) that are known to twice the digits."""

    rel_l2: float  # ‖y−r‖₂ / ‖r‖₂
    max_rel: float  # max|y−r| / max|r|
    componentwise: float  # max |y−r| / (|x|*|w|)
    ulp_median: float
    ulp_p999: float


class Record(Line):
    """One contender of one duel. All times are seconds; samples are a single run's."""

    kind: Literal["record"] = "record"
    duel: str
    problem: dict[str, Any]  # Problem.to_json()
    algorithm: str
    namespace: str
    device: str
    family: str
    arithmetic: str
    image_data: str
    kernel_data: str
    seed: int
    regime: str
    threads: int | None = None
    status: Literal["ok", "unsupported", "wrong", "oom", "timeout", "error"]
    reason: str | None = None
    phase_seconds: dict[str, list[float]] = Field(default_factory=dict)
    rounds: list[int] = Field(default_factory=list)  # of each run sample
    fresh_rounds: list[int] = Field(default_factory=list)  # of each fresh and load sample
    median_s: float | None = None  # of run, with its 95 % order-statistics interval
    ci_low_s: float | None = None
    ci_high_s: float | None = None
    settled: bool | None = None
    error: Errors | None = None
    error_seeds: list[float] = Field(default_factory=list)  # rel_l2 of each data seed
    stage_seconds: dict[str, list[float]] = Field(default_factory=dict)  # of staged runs
    floor_s: float | None = None
    workspace_bytes: float | None = None
    provenance: dict[str, Any] = Field(default_factory=dict)
    telemetry: dict[str, Any] = Field(default_factory=dict)
    flags: list[str] = Field(default_factory=list)
    started_at: str = ""

    @property
    def contender(self) -> str:
        """algorithm/namespace@device"""
        return f"{self.algorithm}/{self.namespace}@{self.device}"


class Closing(Line):
    """The last line of a duel: where its time went, in seconds, and what else used the cores."""

    kind: Literal["duel"] = "duel"
    duel: str
    records: int
    seconds: dict[str, float]  # measured, warmup, verification, preparation, rest
    neighbours: dict[str, float] = Field(default_factory=dict)  # see neighbours.Watch.shares
    # What was not as the header has it when --resume-anyway measured this duel: key → [then, now].
    changed: dict[str, tuple[Any, Any]] = Field(default_factory=dict)


class Results:
    """A results file, read.

    Attributes
    ----------
    path : Path
    header : Header
    records : list of Record, of whole duels only
    closings : list of Closing, one a duel
    dropped : str or None
        What was left out of the file's end (a torn tail), in words.
    """

    def __init__(
        self,
        path: Path,
        header: Header,
        records: list[Record],
        closings: list[Closing],
        dropped: str | None,
    ) -> None:
        self.path, self.header, self.records = path, header, records
        self.closings, self.dropped = closings, dropped


def dump(lines: Iterable[Line]) -> bytes:
    """The lines as UTF-8 JSON lines; not a number is never written."""
    text = []
    for line in lines:
        data = line.model_dump(mode="json", by_alias=True)
        text.append(json.dumps(data, separators=(",", ":"), allow_nan=False))
    return ("\n".join(text) + "\n").encode()


def _lines(path: Path) -> list[bytes]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            content: bytes = file.read()
    except FileNotFoundError:
        raise BadInput(f"results file {path} does not exist") from None
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"results file {path} cannot be read: {error}") from None
    return content.split(b"\n")


def _parse(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        data = pydantic_core.from_json(line)  # twice as fast as json's
    except ValueError:
        raise BadInput(f"{path}:{number}: not JSON; allowed: one JSON object a line") from None
    if not isinstance(data, dict):
        raise BadInput(f"{path}:{number}: a {type(data).__name__}; allowed: one JSON object a line")
    return data


def read_header(path: Path, lines: Sequence[bytes]) -> Header:
    """The header in the first line. Raises BadInput where there is none, or a future one."""
    if not any(line.strip() for line in lines):
        raise BadInput(f"results file {path} is empty; allowed: a header line, then records")
    data = _parse(path, 1, lines[0])
    if data.get("kind") != "header":
        raise BadInput(f"{path}:1: kind is {data.get('kind')!r}; allowed in line 1: 'header'")
    schema = data.get("schema")
    if not isinstance(schema, int) or not 1 <= schema <= SCHEMA:
        raise BadInput(
            f"{path}:1: schema is {schema!r}; allowed: 1 to {SCHEMA} (a newer one needs a newer "
            "convcross)"
        )
    header: Header = _validated(Header, path, 1, data)
    return header


def _validated(model: type[Any], path: Path, number: int, data: dict[str, Any]) -> Any:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise BadInput(f"{path}:{number}: {first_complaint(error)}") from None


def read(path: Path) -> Results:
    """Read a results file (``.jsonl`` or ``.jsonl.gz``).

    A torn last line or an unclosed last duel is dropped and told in ``dropped``.

    Raises
    ------
    BadInput
        Missing, empty, without a header, not JSON inside, or of a future schema.
    """
    lines = _lines(path)
    header = read_header(path, lines)
    records: list[Record] = []
    closings: list[Closing] = []
    waiting: list[Record] = []
    dropped = None
    if lines[-1].strip():  # no newline at its end: the write was cut
        dropped = "a torn last line"
        lines = lines[:-1]
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        data = _parse(path, number, line)
        if data.get("kind") == "record":
            waiting.append(_validated(Record, path, number, data))
        elif data.get("kind") == "duel":
            closings.append(_validated(Closing, path, number, data))
            records += waiting
            waiting = []
        else:
            raise BadInput(
                f"{path}:{number}: kind is {data.get('kind')!r}; allowed: 'record', 'duel'"
            )
    if waiting:
        dropped = f"an unfinished last duel ({len(waiting)} of its records)"
    return Results(path, header, records, closings, dropped)


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

    Attributes
    ----------
    earlier : Results or None
        What the file held; None where it was made anew.

    Raises
    ------
    BadInput
        A file that cannot be written, is none of ours, or is being written by another run.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.ExitStack() as stack:
                self._file = stack.enter_context(open(path, "a+b", buffering=0))
                self._lock(header.started_at, stack)
                keep = _whole(path)
                self.earlier = read(path) if keep else None  # refuses before anything is cut
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
        told = {"pid": os.getpid(), "host": platform.node(), "started_at": now}
        with contextlib.suppress(OSError):  # it is locked all the same, by a run that is not named
            owner.write_text(json.dumps(told) + "\n")
        stack.callback(_remove, owner)

    def append(self, records: Sequence[Record], closing: Closing) -> None:
        """Raises BadInput where the disk takes no more, or the file was removed: what is whole
        stays, or is written anew."""
        lines = dump([*records, closing])
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
        content = self._file.read()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "xb") as file:
            file.write(content)
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
        told = json.loads(path.read_text())
        return f"process {told['pid']} on {told['host']} since {told['started_at']}"
    except (OSError, ValueError, TypeError, KeyError):  # not there, or not yet written
        return "another run"


def _whole(path: Path) -> int:
    """Bytes of the file up to the end of its header or last closed duel; 0 to start anew.

    Raises BadInput on a file that is none of ours: it is not to be written over.
    """
    if not path.exists():
        return 0
    content = path.read_bytes()
    end = place = content.find(b"\n") + 1
    if not place:
        begin = b'{"kind":"header"'
        if not content.startswith(begin[: len(content)]):
            raise BadInput(f"results file {path} has no header; allowed: a results file")
        return 0
    number = 1
    while (newline := content.find(b"\n", place)) >= 0:
        line, number = content[place:newline], number + 1
        # Parsed, since a tool that rewrote the file may space its JSON otherwise.
        if b'"duel"' in line and _parse(path, number, line).get("kind") == "duel":
            end = newline + 1
        place = newline + 1
    return end


def resumable(path: Path) -> Results | None:
    """What a file holds that is to be gone on with; None where it is to be started anew.

    Raises BadInput as ``read`` does, and on a file that is none of ours.
    """
    try:
        return read(path) if _whole(path) else None
    except OSError as error:
        raise BadInput(f"results file {path} cannot be read: {error.strerror}") from None
