"""Reading a results file: one duel at a time, or all of it."""

from __future__ import annotations

import codecs
import contextlib
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any

import pydantic_core
from pydantic import Field, TypeAdapter, ValidationError

from convcross.errors import BadInput, first_complaint
from convcross.results.schema import SCHEMA, DuelFooter, Header, Learned, Record

TORN = "a torn last line"
GZIP = 16 + zlib.MAX_WBITS  # zlib's name for a gzip member
CHUNK = 1 << 16  # bytes


class Results:
    """A results file, read.

    Attributes
    ----------
    path : Path
    header : Header
    records : list of Record, of whole duels only
    footers : list of DuelFooter, one a duel
    learned : list of Learned
    dropped : str or None
        What was left out of the file's end (a torn tail), in words.
    """

    def __init__(
        self,
        path: Path,
        header: Header,
        records: list[Record],
        footers: list[DuelFooter],
        learned: list[Learned],
        dropped: str | None,
    ) -> None:
        self.path, self.header, self.records = path, header, records
        self.footers, self.learned, self.dropped = footers, learned, dropped


def _parse(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        data = pydantic_core.from_json(line)
    except ValueError:
        raise BadInput(f"{path}:{number}: not JSON; allowed: one JSON object a line") from None
    if not isinstance(data, dict):
        raise BadInput(f"{path}:{number}: a {type(data).__name__}; allowed: one JSON object a line")
    return data


def _header(path: Path, line: bytes) -> Header:
    """The header in the first line. Raises BadInput where there is none, or a future one."""
    data = _parse(path, 1, line)
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


Found = Record | DuelFooter | Learned
_LINE: TypeAdapter[Found] = TypeAdapter(Annotated[Found, Field(discriminator="kind")])
KINDS: dict[Any, type[Found]] = {"record": Record, "duel": DuelFooter, "learned": Learned}


def _line(path: Path, number: int, line: bytes) -> Found:
    try:
        return _LINE.validate_json(line)  # half the time of parsing first
    except ValidationError:
        data = _parse(path, number, line)  # tells more plainly what is wrong
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        allowed = ", ".join(map(repr, KINDS))
        raise BadInput(f"{path}:{number}: kind is {kind!r}; allowed: {allowed}")
    found: Found = _validated(KINDS[kind], path, number, data)
    return found


class Reader:
    """Reads a results file (``.jsonl`` or ``.jsonl.gz``) in one pass, and holds one duel at a time.

    Iterating yields (records, closing) of each whole duel; what is torn at the end is dropped.

    Parameters
    ----------
    path : Path
    file : binary file
        Open at its beginning, and uncompressed; see ``reading``.

    Attributes
    ----------
    header : Header
    end : int
        Bytes up to the end of the header, or of the last duel that was yielded.
    learned : list of Learned
        How networks have learned; known when all was read.
    dropped : str or None
        What was left out of the file's end (a torn tail), in words; known when all was read.

    Raises
    ------
    BadInput
        Missing, empty, without a header, not JSON inside, or of a future schema.
    """

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self._lines = self._numbered(file)
        _, first = next(self._lines, (0, b""))
        marked = len(first)
        first = first.removeprefix(codecs.BOM_UTF8)  # an editor's
        marked -= len(first)
        if not first.strip() and not any(line.strip() for _, line in self._lines):
            raise BadInput(f"results file {path} is empty; allowed: a header line, then records")
        self.header = _header(path, first)
        whole = first.endswith(b"\n")
        self.end = marked + len(first) if whole else 0
        self.dropped = None if whole else TORN
        self.learned: list[Learned] = []

    def _numbered(self, file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
        try:
            yield from enumerate(file, start=1)
        except (OSError, zlib.error) as error:
            raise unreadable(self.path, error) from None

    def __iter__(self) -> Iterator[tuple[list[Record], DuelFooter]]:
        place = self.end
        waiting: list[Record] = []
        for number, line in self._lines:
            place += len(line)
            if not line.strip():
                continue
            if not line.endswith(b"\n"):  # the write was cut
                self.dropped = TORN
                break
            found = _line(self.path, number, line)
            if isinstance(found, Record):
                waiting.append(found)
            elif isinstance(found, Learned):
                self.learned.append(found)
                self.end = self.end if waiting else place
            else:
                self.end = place
                yield waiting, found
                waiting = []
        if waiting:
            self.dropped = f"an unfinished last duel ({len(waiting)} of its records)"


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """A results file, open to be read. Raises BadInput as ``Reader``."""
    with contextlib.ExitStack() as stack:
        try:
            file: IO[bytes] = stack.enter_context(open(path, "rb"))
        except OSError as error:
            raise unreadable(path, error) from None
        if path.suffix == ".gz":
            file = io.BufferedReader(_Unpacked(file), CHUNK)
        yield Reader(path, file)


class _Unpacked(io.RawIOBase):
    """What a gzip file holds, up to its end or to where it was cut.

    ``gzip`` itself raises at a cut, before it gives what it has unpacked so far.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._left = file, b""
        self._member = zlib.decompressobj(GZIP)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            packed = self._left or self._file.read(CHUNK)
            if self._member.eof:  # another member may follow, or the zeros that pad a tape
                packed = packed.lstrip(b"\0")
                self._member = zlib.decompressobj(GZIP)
            found = self._member.decompress(packed, len(buffer))
            self._left = self._member.unconsumed_tail or self._member.unused_data
            if found or not packed:
                buffer[: len(found)] = found
                return len(found)


def unreadable(path: Path, error: Exception) -> BadInput:
    if isinstance(error, FileNotFoundError):
        return BadInput(f"results file {path} does not exist")
    reason = error.strerror if isinstance(error, OSError) else None
    return BadInput(f"results file {path} cannot be read: {reason or error}")


def read(path: Path) -> Results:
    """Read a whole results file. Raises BadInput as ``Reader``."""
    with reading(path) as reader:
        duels = list(reader)
    records = [record for found, _ in duels for record in found]
    footers = [footer for _, footer in duels]
    return Results(path, reader.header, records, footers, reader.learned, reader.dropped)
