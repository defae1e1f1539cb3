"""A sweep from its first duel to its last, each durable as it ends."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from convcross.errors import BadInput
from convcross.machine import ceilings, describe
from convcross.results.schema import Closing, Header, Record, reading
from convcross.results.writer import Writer
from convcross.run.resume import (
    FAILED,
    Earlier,
    cell_of,
    check_place,
    default_path,
    differences,
    now,
)
from convcross.run.signals import asked_to_stop
from convcross.run.suspension import Bench
from convcross.run.workers.machine import Gone, Machine
from convcross.sweeps.duels import Duel, Duels, duels
from convcross.sweeps.spec import Sweep

POLL = 0.5, 0.05  # seconds that the only machine is waited for, and each of several
UNTHROTTLED = ("idle", "application clocks")  # what NVML says of clocks that nothing disturbs


@dataclasses.dataclass
class Outcome:
    """What a run did on one machine.

    Attributes
    ----------
    path : the results file
    done, before, left : duels measured now, found finished, and not reached (an estimate where a
        search is not at its end)
    statuses : (contender, status) → records of this run
    reasons : (contender, status) → the first reason given
    seconds : where the time of this run's duels went
    neighbours : who else used the cores → its share of them × seconds
    wall : seconds from the run's begin to its end
    interrupted : stopped by Ctrl-C or SIGTERM
    gone : why nobody was left to measure, or None
    benched : contenders not run any more, since they failed in several cells in a row
    flags : (contender, flag) → records of this run
    noticed : (device, what disturbed it) → duels
    unbounded : devices whose ceilings are not known: their times were held to no floor
    found : what a search for crossovers found and spent, in sentences
    """

    path: Path
    done: int = 0
    before: int = 0
    left: int = 0
    statuses: collections.Counter[tuple[str, str]] = dataclasses.field(
        default_factory=collections.Counter
    )
    reasons: dict[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    seconds: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    neighbours: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    wall: float = 0.0
    interrupted: bool = False
    gone: str | None = None
    benched: list[str] = dataclasses.field(default_factory=list)
    flags: collections.Counter[tuple[str, str]] = dataclasses.field(
        default_factory=collections.Counter
    )
    unbounded: list[str] = dataclasses.field(default_factory=list)
    found: list[str] = dataclasses.field(default_factory=list)
    noticed: collections.Counter[tuple[str, str]] = dataclasses.field(
        default_factory=collections.Counter
    )

    @property
    def failed(self) -> bool:
        """Whether a contender was wrong or failed; refusals and limits are neither."""
        return any(status in FAILED for _, status in self.statuses)


Progress = Callable[[Duel, int, int, list[Record]], None]


def run(
    sweep: Sweep,
    machines: Sequence[Machine],
    *,
    algorithm_paths: Sequence[str] = (),
    out: Path | None = None,
    resume: bool = False,
    resume_anyway: bool = False,
    retry_failed: bool = False,
    budget: float | None = None,
    pair: tuple[str, str] | None = None,
    progress: Progress = lambda duel, number, of, records: None,
) -> list[Outcome]:
    """Measure a sweep's duels, in the order of their information; or search it for a crossover.

    Each machine measures the whole sweep, its workers sharing the duels, into a file of its own. In
    the main thread, the first SIGINT or SIGTERM lets the duels in hand finish, and the second ends
    them at once; both return what was done.

    Parameters
    ----------
    out : results file, of one machine; None for a new one under ``results/<machine>/``, or with
        ``resume`` the newest one of this sweep there
    resume : go on with an existing file
    resume_anyway : also where the sweep, the versions or the machine are not those of its header;
        the duels measured now tell what changed (``records.Closing.changed``)
    retry_failed : of an existing file, measure again the duels in which a contender failed
    budget : seconds after which no duel is begun
    pair : (A, B): measure only what tells where B overtakes A (``search.Search``)
    progress : told of each finished duel: (duel, its number, of how many, its records)

    Raises
    ------
    BadInput
        A file that exists and is not to be resumed, that another sweep, other versions or another
        machine made, or that another run is writing; one that takes no more; a pair that cannot be
        searched for; workers that cannot measure at all.
    """
    if out is not None and len(machines) > 1:
        names = ", ".join(str(one.description.name) for one in machines)
        raise BadInput(f"--out is one file, the machines are {names}; allowed: without --out")
    begin = time.perf_counter()
    with contextlib.ExitStack() as stack, asked_to_stop() as asked:
        sittings = []
        for one in machines:
            source = _source(sweep, one, pair, algorithm_paths)
            header = _header(sweep, one, source.contenders, pair)
            again = resume or resume_anyway or retry_failed
            path = out or default_path(sweep, header, again)
            check_place(path, again)
            sitting = _Sitting(one, source, path, header, resume_anyway, retry_failed)
            stack.callback(sitting.writer.close)
            sittings.append(sitting)

        def stop() -> bool:
            elapsed = time.perf_counter() - begin
            typical = max(one.typical for one in sittings)
            return asked() or (budget is not None and elapsed + typical > budget)

        def tell(duel: Duel, records: list[Record]) -> None:
            number = sum(one.outcome.before + one.outcome.done for one in sittings)
            progress(duel, number, number + sum(one.source.left() for one in sittings), records)

        try:
            _work(sittings, stop, tell)
        except KeyboardInterrupt:
            for sitting in sittings:
                sitting.machine.kill()
                sitting.outcome.interrupted = True
        for sitting in sittings:
            # A signal may have struck between a write and its count.
            written = sitting.written() if sitting.outcome.interrupted else sitting.outcome.done
            sitting.outcome.left = sitting.source.left() - (written - sitting.outcome.done)
            sitting.outcome.done = written
            sitting.outcome.interrupted |= asked()
            sitting.outcome.wall = time.perf_counter() - begin
            if pair:
                sitting.outcome.found = sitting.source.told(sitting.writer.path)
    return [sitting.outcome for sitting in sittings]


class _Source(Protocol):
    """Gives out duels: those of a list, or of a search (``search.Search``)."""

    @property
    def contenders(self) -> Sequence[str]: ...
    def next(self) -> Duel | None: ...
    def take(self, duel_id: str, records: list[Record], seconds: float) -> None: ...
    def left(self) -> int: ...
    def told(self, path: Path) -> list[str]: ...


class _Listed:
    """All duels of a sweep, in their order."""

    def __init__(self, cells: Duels) -> None:
        self.contenders = cells.contenders
        self._cells, self._next, self._taken = cells, iter(cells), 0

    def skip(self, ids: Collection[str]) -> int:
        """Pass over these duels; how many of them it has."""
        left = self._cells.without(ids)
        skipped = len(self._cells) - len(left)
        self._cells, self._next = left, iter(left)
        return skipped

    def next(self) -> Duel | None:
        return next(self._next, None)

    def take(self, duel_id: str, records: list[Record], seconds: float) -> None:
        self._taken += 1

    def left(self) -> int:
        return len(self._cells) - self._taken

    def told(self, path: Path) -> list[str]:
        return []


def _source(
    sweep: Sweep, one: Machine, pair: tuple[str, str] | None, algorithm_paths: Sequence[str]
) -> _Source:
    known = _ceilings(one)
    if pair is None:
        return _Listed(duels(sweep, one.contenders, algorithm_paths, known))
    from convcross.run.search.search import Search  # pandas comes with it

    return Search(sweep, one.contenders, pair, algorithm_paths, known)


class _Sitting:
    """One machine's part of a run."""

    def __init__(
        self,
        machine: Machine,
        source: _Source,
        path: Path,
        header: Header,
        resume_anyway: bool,
        retry_failed: bool,
    ) -> None:
        self.machine, self.source = machine, source
        self.outcome = Outcome(path)
        self.outcome.unbounded = sorted(set(machine.devices) - _ceilings(machine).keys())
        self._earlier = Earlier(keep=not isinstance(source, _Listed))
        self._bench = Bench()
        self._out = 0

        def take(records: list[Record], closing: Closing) -> None:
            self._earlier.take(records, closing)
            if not retry_failed:
                self._bench.take(records)

        self.writer = Writer(path, header, take)
        self._changed = {
            what: (then, now) for what, then, now in differences(self.writer.header, header)
        }
        if self._changed and not resume_anyway:
            self.writer.close()
            what, (then, now) = next(iter(self._changed.items()))
            raise BadInput(
                f"--resume: {path} has {what} {then!r}, this run {now!r}; allowed: "
                "--resume-anyway, which records the change"
            )
        self._finished = self._earlier.finished(retry_failed)
        self.outcome.before = len(self._finished)
        if isinstance(source, _Listed):  # a search asks for each when it comes to it
            self.outcome.before = source.skip(self._finished.keys())

    @property
    def busy(self) -> bool:
        """Whether duels are out."""
        return self._out > 0

    @property
    def typical(self) -> float:
        """Seconds of a duel, so far."""
        return sum(self.outcome.seconds.values()) / max(1, self.outcome.done)

    def give(self) -> bool:
        """Give duels to whoever is free; whether there may be more when some come back."""
        while self.machine.free() > 0:
            duel = self.source.next()
            if duel is None:
                return self.busy
            if duel.id in self._finished:
                self.source.take(duel.id, *self._finished[duel.id])
                continue
            given_up = self._bench.given_up(duel.contenders)
            named = self._earlier.named(duel)
            self.machine.give(named.model_copy(update={"given_up": given_up}))
            self._out += 1
        return True

    def collect(self, seconds: float) -> Iterator[tuple[Duel, list[Record]]]:
        """Write what ended, waiting so long at most for the first.

        Raises Gone and BadInput.
        """
        for duel, result in self.machine.finished(seconds):
            records = [Record.model_validate(record) for record in result["records"]]
            closing = Closing(
                duel=duel.id,
                records=len(records),
                seconds=result["seconds"],
                neighbours=result["neighbours"],
                changed=self._changed,
            )
            self.writer.append(records, closing)
            self._out -= 1
            self._bench.take(records)
            self.outcome.benched = self._bench.names
            self._count(records, closing)
            self.source.take(cell_of(duel.id), records, sum(closing.seconds.values()))
            yield duel, records

    def _count(self, records: list[Record], closing: Closing) -> None:
        outcome, wall = self.outcome, sum(closing.seconds.values())
        outcome.neighbours.update({who: share * wall for who, share in closing.neighbours.items()})
        outcome.done += 1
        outcome.seconds.update(closing.seconds)
        outcome.noticed.update({notice for record in records for notice in _notices(record)})
        for record in records:
            key = (record.contender, record.status)
            outcome.statuses[key] += 1
            outcome.flags.update((record.contender, flag) for flag in record.flags)
            if record.reason:
                outcome.reasons.setdefault(key, record.reason)

    def written(self) -> int:
        """How many duels the file has got by now."""
        with reading(self.writer.path) as reader:
            return sum(1 for _ in reader) - self._earlier.duels


def _work(
    sittings: Sequence[_Sitting],
    stop: Callable[[], bool],
    tell: Callable[[Duel, list[Record]], None],
) -> None:
    """Give out duels and write what comes back, until none is left or it is to stop."""
    open_ = list(sittings)
    while open_:
        stopping = stop()
        for one in list(open_):
            if not (one.busy if stopping else one.give()):
                open_.remove(one)
                continue
            try:
                for duel, records in one.collect(POLL[len(open_) > 1]):
                    tell(duel, records)
            except Gone as error:
                one.outcome.gone = str(error)
                open_.remove(one)


def _notices(record: Record) -> Iterator[tuple[str, str]]:
    """(device, what disturbed it), as its readings around the timing tell."""
    for when in ("before", "after"):
        told = record.telemetry.get(when, {})
        if told.get("other_processes"):
            yield record.device, "other processes were on it"
        for reason in told.get("throttle", ()):
            if reason not in UNTHROTTLED:
                yield record.device, f"its clocks were held down ({reason})"


def _ceilings(one: Machine) -> dict[str, dict[str, Any]]:
    """Those of each of its devices, of which they were measured."""
    names = {device: describe.name(device) for device in one.devices[1:]}
    names[one.devices[0]] = one.description.name
    found = {device: ceilings.load(name) for device, name in names.items()}
    return {device: known for device, known in found.items() if known is not None}


def _header(
    sweep: Sweep, one: Machine, contenders: Sequence[str], pair: tuple[str, str] | None
) -> Header:
    header = Header(
        machine=one.description.machine,
        software=one.description.software,
        ceilings=_ceilings(one).get(one.devices[0]),
        sweep=sweep.model_dump(mode="json"),
        contenders=sorted(contenders),
        started_at=now().isoformat(timespec="seconds"),
    )
    return header.model_copy(update={"search": list(pair)}) if pair else header
