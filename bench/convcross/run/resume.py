"""Where a run's results go, and what a file that is gone on with holds already."""

from __future__ import annotations

import collections
import contextlib
import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from convcross.errors import BadInput
from convcross.results.schema import DuelFooter, Header, Record
from convcross.results.status import failed
from convcross.results.writer import begun
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Sweep
from convcross.text import file_name

RETRY = "+retry"  # ends the id of a duel that is measured again, with how often


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def default_path(sweep: Sweep, header: Header, resume: bool) -> Path:
    """A new file under ``results/<machine>/``, or the newest of this sweep there.

    Raises BadInput where there is none to go on with.
    """
    folder = Path("results") / str(header.machine["name"])
    if resume:
        # The name of another sweep may hold this one's ("quick", "quick-cpu"): the header tells.
        for path in sorted(folder.glob(f"*-{file_name(sweep.name)}-*.jsonl"), reverse=True):
            earlier = begun(path)
            if earlier is None:
                return path
            same_kind = (_searched(earlier) is None) == (_searched(header) is None)
            if earlier.sweep.get("name") == sweep.name and same_kind:
                return path
        raise BadInput(f"--resume: no results of sweep {sweep.name!r} in {folder}")
    commit = header.software["commit"]
    return folder / f"{now():%Y%m%dT%H%M%SZ}-{file_name(sweep.name)}-{commit}.jsonl"


def check_place(path: Path, resume: bool) -> None:
    """Raises BadInput on a file that no run can append to, or that is not to be gone on with."""
    if path.suffix == ".gz":
        raise BadInput(f"results file {path} is compressed; allowed: a .jsonl file")
    if path.exists() and not resume:
        raise BadInput(f"results file {path} exists; allowed: --resume, or another --out")
    if path.is_dir():
        raise BadInput(f"results file {path} cannot be read: Is a directory")


class Earlier:
    """The duels of a results file, the newest of each cell.

    Parameters
    ----------
    keep : keep their records and times too, as a search needs them

    Attributes
    ----------
    duels : how many the file has, those measured again included
    found : cell → records and seconds of its newest duel; without ``keep`` none
    failed : cells in whose newest duel a contender failed
    cut : cells in whose newest duel a budget ended
    """

    def __init__(self, keep: bool) -> None:
        self.duels = 0
        self.found: dict[str, tuple[list[Record], float]] = {}
        self.failed: set[str] = set()
        self.cut: set[str] = set()
        self._keep = keep
        self._times: collections.Counter[str] = collections.Counter()

    def record_result(self, records: list[Record], footer: DuelFooter) -> None:
        """The next duel of the file."""
        cell = cell_of(footer.duel)
        self.duels += 1
        self._times[cell] += 1
        kept = (records, sum(footer.seconds.values())) if self._keep else ([], 0.0)
        self.found[cell] = kept
        self.failed.discard(cell)
        self.cut.discard(cell)
        if footer.cut:
            self.cut.add(cell)
        if any(failed(record.status) for record in records):
            self.failed.add(cell)

    def finished(self, retry_failed: bool) -> dict[str, tuple[list[Record], float]]:
        """Those of ``found`` that need no measuring."""
        again = self.cut | self.failed if retry_failed else self.cut
        return {cell: measured for cell, measured in self.found.items() if cell not in again}

    def named(self, duel: Duel) -> Duel:
        """The duel under an id that the file does not have yet."""
        times = self._times[duel.id]
        return duel.model_copy(update={"id": f"{duel.id}{RETRY}{times}"}) if times else duel


def cell_of(duel_id: str) -> str:
    """The id under which a duel was measured first."""
    return duel_id.partition(RETRY)[0]


def differences(then: Header, now: Header) -> Iterator[tuple[str, Any, Any]]:
    """What should not change inside a file: sweep, contenders, versions, machine."""
    for what, ask in CONDITIONS.items():
        if ask(then) != ask(now):
            yield what, ask(then), ask(now)
    before = {"launches": 1, **then.sweep}  # a file from before there were launches has one
    with contextlib.suppress(ValidationError):  # an earlier version may not have had every key
        before = Sweep.model_validate(before).model_dump(mode="json")
    for key, value in now.sweep.items():
        if before.get(key) != value:
            yield key, before.get(key), value
    if then.contenders != now.contenders:
        yield "contenders", then.contenders, now.contenders
    for kind in ("versions", "cuda"):
        earlier, later = (header.software.get(kind) or {} for header in (then, now))
        for name in sorted(earlier.keys() | later.keys()):
            if earlier.get(name) != later.get(name):
                yield f"version of {name}", earlier.get(name), later.get(name)


def _searched(header: Header) -> Any:
    """The pair of a search for crossovers, else None."""
    return (header.model_extra or {}).get("search")


CONDITIONS: dict[str, Callable[[Header], Any]] = {
    "machine": lambda header: header.machine.get("name"),
    "--find-crossover of pair": _searched,
    "os": lambda header: header.machine.get("os"),
    "python": lambda header: header.software.get("python"),
    "commit": lambda header: header.software.get("commit"),
}
