"""A sweep from its first duel to its last, each durable as it ends."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from convcross.errors import BadInput
from convcross.machine import ceilings, describe
from convcross.results.reader import reading
from convcross.results.schema import DuelFooter, Header, Record
from convcross.results.writer import Writer
from convcross.run.first_launch import FirstLaunch
from convcross.run.outcome import Outcome
from convcross.run.resume import (
    Earlier,
    cell_of,
    check_place,
    default_path,
    differences,
    now,
)
from convcross.run.signals import asked_to_stop
from convcross.run.suspension import Suspension
from convcross.run.workers.machine import Machine, WorkersLost
from convcross.sweeps.duels import Duel, Duels, duels
from convcross.sweeps.spec import Sweep

POLL = 0.5, 0.05  # seconds that the only machine is waited for, and each of several
UNTHROTTLED = ("idle", "application clocks")  # what NVML says of clocks that nothing disturbs


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
    watching: Callable[[str], None] = lambda at_work: None,
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
        the duels measured now tell what changed (``schema.DuelFooter.changed``)
    retry_failed : of an existing file, measure again the duels in which a contender failed
    budget : seconds after which nothing is begun, neither a duel nor a contender of one
    pair : (A, B): measure only what tells where B overtakes A (``search.Search``)
    progress : told of each finished duel: (duel, its number, of how many, its records)
    watching : told now and then what is being measured, in words

    Raises
    ------
    BadInput
        A file that exists and is not to be resumed, that another sweep, other versions or another
        machine made, or that another run is writing; one that takes no more; a pair that cannot be
        searched for; workers that cannot measure at all.
    """
    if out is not None and len(machines) > 1:
        names = ", ".join(str(machine.description.name) for machine in machines)
        raise BadInput(f"--out is one file, the machines are {names}; allowed: without --out")
    begin = time.perf_counter()
    with contextlib.ExitStack() as stack, asked_to_stop() as asked:
        sessions = []
        for machine in machines:
            fitted = sweep.scaled_to(machine.devices)
            source = _source(fitted, machine, pair, algorithm_paths)
            header = _header(fitted, machine, source.contenders, pair)
            again = resume or resume_anyway or retry_failed
            path = out or default_path(sweep, header, again)
            check_place(path, again)
            session = Session(machine, source, path, header, resume_anyway, retry_failed)
            session.until = math.inf if budget is None else begin + budget
            stack.callback(session.writer.close)
            sessions.append(session)

        def stop() -> bool:
            elapsed = time.perf_counter() - begin
            typical = max(session.typical for session in sessions)
            return asked() or (budget is not None and elapsed + typical > budget)

        def tell(duel: Duel, records: list[Record]) -> None:
            number = sum(session.outcome.before + session.outcome.done for session in sessions)
            progress(
                duel, number, number + sum(session.source.left() for session in sessions), records
            )

        try:
            _work(sessions, stop, tell, watching)
        except KeyboardInterrupt:
            for session in sessions:
                session.machine.kill()
                session.outcome.interrupted = True
        for session in sessions:
            # A signal may have struck between a write and its count.
            written = session.written() if session.outcome.interrupted else session.outcome.done
            session.outcome.left = session.source.left() - (written - session.outcome.done)
            session.outcome.done = written
            session.outcome.interrupted |= asked()
            session.outcome.wall = time.perf_counter() - begin
            if pair:
                session.outcome.found = session.source.summary(session.writer.path)
    return [session.outcome for session in sessions]


class _Source(Protocol):
    """Gives out duels: those of a list, or of a search (``search.Search``)."""

    @property
    def contenders(self) -> Sequence[str]: ...
    def next(self) -> Duel | None: ...
    def record_result(self, duel_id: str, records: list[Record], seconds: float) -> None: ...
    def left(self) -> int: ...
    def summary(self, path: Path) -> list[str]: ...


class _Listed:
    """All duels of a sweep, one launch after the other, each in its order."""

    def __init__(self, cells: Duels, launches: int) -> None:
        self.contenders = cells.contenders
        self._launches = [cells.in_launch(launch) for launch in range(1, launches + 1)]
        self._next, self._taken = itertools.chain.from_iterable(self._launches), 0

    def skip(self, ids: Collection[str]) -> int:
        """Pass over these duels; how many of them it has."""
        before = self.left()
        self._launches = [cells.without(ids) for cells in self._launches]
        self._next = itertools.chain.from_iterable(self._launches)
        return before - self.left()

    def next(self) -> Duel | None:
        return next(self._next, None)

    def record_result(self, duel_id: str, records: list[Record], seconds: float) -> None:
        self._taken += 1

    def left(self) -> int:
        return sum(map(len, self._launches)) - self._taken

    def summary(self, path: Path) -> list[str]:
        return []


def _source(
    sweep: Sweep, machine: Machine, pair: tuple[str, str] | None, algorithm_paths: Sequence[str]
) -> _Source:
    known = _ceilings(machine)
    if pair is None:
        cells = duels(sweep, machine.contenders, algorithm_paths, known)
        return _Listed(cells, sweep.launches)
    from convcross.run.search.search import Search  # pandas comes with it

    return Search(sweep, machine.contenders, pair, algorithm_paths, known)


class Session:
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
        self._suspension, self._first_launch = Suspension(), FirstLaunch()
        self._out = 0
        self.until = math.inf  # no budget

        def record_result(records: list[Record], footer: DuelFooter) -> None:
            self._earlier.record_result(records, footer)
            self._first_launch.record_result(footer.duel, records)
            if not retry_failed:
                self._suspension.record_result(records)

        self.writer = Writer(path, header, record_result)
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

    def submit(self) -> bool:
        """Give duels to whoever is free; whether there may be more when some come back."""
        while self.machine.free_slots() > 0:
            duel = self.source.next()
            if duel is None:
                return self.busy
            if duel.id in self._finished:
                self.source.record_result(duel.id, *self._finished[duel.id])
                continue
            given_up = self._suspension.given_up(duel.contenders)
            known = self._first_launch.known(duel, given_up)
            if self.until < math.inf:
                known["budget"] = self.until - time.perf_counter()
            self.machine.submit(self._earlier.named(duel).model_copy(update=known))
            self._out += 1
        return True

    def collect(self, seconds: float) -> Iterator[tuple[Duel, list[Record]]]:
        """Write what ended, waiting so long at most for the first.

        Raises WorkersLost and BadInput.
        """
        for duel, result in self.machine.finished(seconds):
            records = result.records
            footer = DuelFooter(
                duel=duel.id,
                records=len(records),
                seconds=result.seconds,
                neighbours=result.neighbours,
                changed=self._changed,
                cut=result.cut,
            )
            self.writer.append(records, footer)
            self._out -= 1
            self._suspension.record_result(records)
            self._first_launch.record_result(duel.id, records)
            self.outcome.suspended = self._suspension.names
            self._count(records, footer)
            self.source.record_result(cell_of(duel.id), records, sum(footer.seconds.values()))
            yield duel, records

    def _count(self, records: list[Record], footer: DuelFooter) -> None:
        outcome, wall = self.outcome, sum(footer.seconds.values())
        outcome.neighbours.update({who: share * wall for who, share in footer.neighbours.items()})
        outcome.done += 1
        outcome.cut += footer.cut
        outcome.seconds.update(footer.seconds)
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
    sessions: Sequence[Session],
    stop: Callable[[], bool],
    tell: Callable[[Duel, list[Record]], None],
    watching: Callable[[str], None],
) -> None:
    """Give out duels and write what comes back, until none is left or it is to stop."""
    open_ = list(sessions)
    while open_:
        stopping = stop()
        for session in list(open_):
            if not (session.busy if stopping else session.submit()):
                open_.remove(session)
                continue
            try:
                for duel, records in session.collect(POLL[len(open_) > 1]):
                    tell(duel, records)
                if at_work := session.machine.at_work():
                    watching("; ".join(at_work))
            except WorkersLost as error:
                session.outcome.workers_lost = str(error)
                open_.remove(session)


def _notices(record: Record) -> Iterator[tuple[str, str]]:
    """(device, what disturbed it), as its readings around the timing tell."""
    for told in filter(None, (record.telemetry.before, record.telemetry.after)):
        if told.other_processes:
            yield record.device, "other processes were on it"
        for reason in told.throttle or ():
            if reason not in UNTHROTTLED:
                yield record.device, f"its clocks were held down ({reason})"


def _ceilings(machine: Machine) -> dict[str, dict[str, Any]]:
    """Those of each of its devices, of which they were measured."""
    names = {device: describe.name(device) for device in machine.devices[1:]}
    names[machine.devices[0]] = machine.description.name
    found = {device: ceilings.load(name) for device, name in names.items()}
    return {device: known for device, known in found.items() if known is not None}


def _header(
    sweep: Sweep, machine: Machine, contenders: Sequence[str], pair: tuple[str, str] | None
) -> Header:
    header = Header(
        machine=machine.description.machine,
        software=machine.description.software,
        ceilings=_ceilings(machine).get(machine.devices[0]),
        sweep=sweep.model_dump(mode="json"),
        contenders=sorted(contenders),
        started_at=now().isoformat(timespec="seconds"),
    )
    return header.model_copy(update={"search": list(pair)}) if pair else header
