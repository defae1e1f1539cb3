"""A sweep from its first duel to its last, each durable as it ends."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convcross import ceilings, machine
from convcross.duels import Contender, Duel, available, duels
from convcross.failures import BadInput
from convcross.measure import measure
from convcross.records import Closing, Header, Record, Results, Writer, read, resumable
from convcross.spec import Sweep

if TYPE_CHECKING:
    from convcross.search import Search

FAILED = ("wrong", "oom", "error")
RETRY = "+retry"  # ends the id of a duel that is measured again, with how often
STOPPING = (signal.SIGINT, signal.SIGTERM)
UNTHROTTLED = ("idle", "application clocks")  # what NVML says of clocks that nothing disturbs


@dataclasses.dataclass
class Outcome:
    """What a run did.

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
    groups: Sequence[Sequence[str]],
    *,
    algorithm_paths: Sequence[str] = (),
    out: Path | None = None,
    resume: bool = False,
    resume_anyway: bool = False,
    retry_failed: bool = False,
    budget: float | None = None,
    pair: tuple[str, str] | None = None,
    progress: Progress = lambda duel, number, of, records: None,
) -> Outcome:
    """Measure a sweep's duels, in the order of their information; or search it for a crossover.

    In the main thread, the first SIGINT or SIGTERM lets the duel in hand finish, and the second
    ends it at once; both return what was done.

    Parameters
    ----------
    groups : devices that share a duel (``duels.devices_named``)
    out : results file; None for a new one under ``results/<machine>/``, or with ``resume`` the
        newest one of this sweep there
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
        searched for.
    """
    known = _ceilings({device for devices in groups for device in devices})
    there = available(groups[0])
    search = _search(sweep, there, pair, algorithm_paths, known)
    wanted = search.cells if search else duels(sweep, there, algorithm_paths, known)
    header = _header(sweep, groups, wanted, known, pair)
    resume = resume or resume_anyway or retry_failed
    path = out or _default_path(sweep, header, resume)
    _check_place(path, resume)
    outcome = Outcome(path)
    outcome.unbounded = sorted({device for devices in groups for device in devices} - set(known))

    def left() -> int:
        return search.left() if search else len(wanted) - outcome.before - outcome.done

    begin = time.perf_counter()
    with _asked_to_stop() as asked, contextlib.closing(Writer(path, header)) as writer:
        earlier = _Earlier(writer.earlier)
        before = writer.earlier.header if writer.earlier else header
        changed = {what: (then, now) for what, then, now in _differences(before, header)}
        if changed and not resume_anyway:
            what, (then, now) = next(iter(changed.items()))
            raise BadInput(
                f"--resume: {path} has {what} {then!r}, this run {now!r}; allowed: "
                "--resume-anyway, which records the change"
            )
        finished = earlier.finished(retry_failed)
        outcome.before = len(finished if search else finished.keys() & {one.id for one in wanted})
        try:
            give = iter(wanted)
            while (duel := search.next() if search else next(give, None)) is not None:
                if duel.id in finished:
                    if search:
                        search.take(duel.id, *finished[duel.id])
                    continue
                elapsed = time.perf_counter() - begin
                typical = elapsed / max(1, outcome.done)
                if asked() or (budget is not None and elapsed + typical > budget):
                    break
                records, seconds = _measured(earlier.named(duel), changed, writer, outcome)
                if search:
                    search.take(duel.id, records, seconds)
                number = outcome.before + outcome.done
                progress(duel, number, number + left(), records)
        except KeyboardInterrupt:
            outcome.interrupted = True
            # It may have struck between the write and the count.
            outcome.done = len(read(path).closings) - earlier.duels
        outcome.interrupted |= asked()
    outcome.wall = time.perf_counter() - begin
    outcome.left = left()
    outcome.found = search.told(path) if search else []
    return outcome


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether SIGINT or SIGTERM came; the second raises KeyboardInterrupt.

    Signals are the main thread's alone: in another, nothing is changed.
    """
    count = 0

    def ask(number: int, frame: object) -> None:
        nonlocal count
        count += 1
        if count > 1:
            raise KeyboardInterrupt
        with contextlib.suppress(OSError):  # nobody reads it
            # Not by print, which the signal may have struck in its midst.
            os.write(2, b"stopping after this duel; again to stop at once\n")

    main = threading.current_thread() is threading.main_thread()
    before = {one: signal.signal(one, ask) for one in STOPPING} if main else {}
    try:
        yield lambda: count > 0
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _search(
    sweep: Sweep,
    there: Sequence[Contender],
    pair: tuple[str, str] | None,
    algorithm_paths: Sequence[str],
    known: Mapping[str, dict[str, Any]],
) -> Search | None:
    if pair is None:
        return None
    from convcross.search import Search  # pandas comes with it

    return Search(sweep, there, pair, algorithm_paths, known)


def _measured(
    duel: Duel, changed: dict[str, tuple[Any, Any]], writer: Writer, outcome: Outcome
) -> tuple[list[Record], float]:
    """The records of a duel, written, and the seconds that it took."""
    begin = time.perf_counter()
    result = measure(duel.model_dump(mode="json"))
    records = [Record.model_validate(record) for record in result["records"]]
    seconds = dict(result["seconds"])
    seconds["rest"] += time.perf_counter() - begin - sum(seconds.values())
    closing = Closing(
        duel=duel.id,
        records=len(records),
        seconds=seconds,
        neighbours=result["neighbours"],
        changed=changed,
    )
    writer.append(records, closing)
    wall = sum(seconds.values())
    outcome.neighbours.update({who: share * wall for who, share in closing.neighbours.items()})
    outcome.done += 1
    outcome.seconds.update(seconds)
    outcome.noticed.update({notice for record in records for notice in _notices(record)})
    for record in records:
        key = (record.contender, record.status)
        outcome.statuses[key] += 1
        outcome.flags.update((record.contender, flag) for flag in record.flags)
        if record.reason:
            outcome.reasons.setdefault(key, record.reason)
    return records, wall


def _notices(record: Record) -> Iterator[tuple[str, str]]:
    """(device, what disturbed it), as its readings around the timing tell."""
    for reading in ("before", "after"):
        told = record.telemetry.get(reading, {})
        if told.get("other_processes"):
            yield record.device, "other processes were on it"
        for reason in told.get("throttle", ()):
            if reason not in UNTHROTTLED:
                yield record.device, f"its clocks were held down ({reason})"


def _ceilings(devices: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Those of each device, of which they were measured."""
    found = {device: ceilings.load(machine.name(device)) for device in devices}
    return {device: known for device, known in found.items() if known is not None}


def _header(
    sweep: Sweep,
    groups: Sequence[Sequence[str]],
    wanted: Sequence[Duel],
    known: Mapping[str, dict[str, Any]],
    pair: tuple[str, str] | None,
) -> Header:
    device = groups[0][0]
    header = Header(
        machine=machine.describe(device),
        software=machine.software(device),
        ceilings=known.get(device),
        sweep=sweep.model_dump(mode="json"),
        contenders=sorted({name for duel in wanted for name in duel.contenders}),
        started_at=_now().isoformat(timespec="seconds"),
    )
    return header.model_copy(update={"search": list(pair)}) if pair else header


def _searched(header: Header) -> Any:
    """The pair of a search for crossovers, else None."""
    return (header.model_extra or {}).get("search")


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _default_path(sweep: Sweep, header: Header, resume: bool) -> Path:
    folder = Path("results") / str(header.machine["name"])
    if resume:
        # The name of another sweep may hold this one's ("quick", "quick-cpu"): the header tells.
        for path in sorted(folder.glob(f"*-{sweep.name}-*.jsonl"), reverse=True):
            earlier = resumable(path)
            if earlier is None:
                return path
            same_kind = (_searched(earlier.header) is None) == (_searched(header) is None)
            if earlier.header.sweep.get("name") == sweep.name and same_kind:
                return path
        raise BadInput(f"--resume: no results of sweep {sweep.name!r} in {folder}")
    commit = header.software["commit"]
    return folder / f"{_now():%Y%m%dT%H%M%SZ}-{sweep.name}-{commit}.jsonl"


def _check_place(path: Path, resume: bool) -> None:
    if path.suffix == ".gz":
        raise BadInput(f"results file {path} is compressed; allowed: a .jsonl file")
    if path.exists() and not resume:
        raise BadInput(f"results file {path} exists; allowed: --resume, or another --out")
    if path.is_dir():
        raise BadInput(f"results file {path} cannot be read: Is a directory")


class _Earlier:
    """The duels of a results file, the newest of each cell.

    Attributes
    ----------
    duels : how many the file has, those measured again included
    """

    def __init__(self, results: Results | None) -> None:
        closings = results.closings if results else []
        self.duels = len(closings)
        records: dict[str, list[Record]] = collections.defaultdict(list)
        for record in results.records if results else []:
            records[record.duel].append(record)
        self._times = collections.Counter(_cell(one.duel) for one in closings)
        self._newest = {
            _cell(one.duel): (records[one.duel], sum(one.seconds.values())) for one in closings
        }

    def finished(self, retry_failed: bool) -> dict[str, tuple[list[Record], float]]:
        """Records and seconds of the duels that need no measuring, by their ids."""
        return {
            cell: (records, seconds)
            for cell, (records, seconds) in self._newest.items()
            if not (retry_failed and any(one.status in FAILED for one in records))
        }

    def named(self, duel: Duel) -> Duel:
        """The duel under an id that the file does not have yet."""
        times = self._times[duel.id]
        return duel.model_copy(update={"id": f"{duel.id}{RETRY}{times}"}) if times else duel


def _cell(duel_id: str) -> str:
    return duel_id.partition(RETRY)[0]


def _differences(then: Header, now: Header) -> Iterator[tuple[str, Any, Any]]:
    """What should not change inside a file: sweep, contenders, versions, machine."""
    for what, ask in CONDITIONS.items():
        if ask(then) != ask(now):
            yield what, ask(then), ask(now)
    for key, value in now.sweep.items():
        field = Sweep.model_fields[key]  # an earlier version may not have had it
        earlier = then.sweep.get(key, field.get_default(call_default_factory=True))
        if earlier != value:
            yield key, earlier, value
    if then.contenders != now.contenders:
        yield "contenders", then.contenders, now.contenders
    for kind in ("versions", "cuda"):
        before, after = (one.software.get(kind) or {} for one in (then, now))
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                yield f"version of {name}", before.get(name), after.get(name)


CONDITIONS: dict[str, Callable[[Header], Any]] = {
    "machine": lambda header: header.machine.get("name"),
    "--find-crossover of pair": _searched,
    "os": lambda header: header.machine.get("os"),
    "python": lambda header: header.software.get("python"),
    "commit": lambda header: header.software.get("commit"),
}
