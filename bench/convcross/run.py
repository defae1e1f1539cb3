"""A sweep from its first duel to its last, each durable as it ends."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convcross import ceilings, machine
from convcross.duels import Duel, duels
from convcross.failures import BadInput
from convcross.measure import measure
from convcross.records import Closing, Header, Record, Writer, resumable
from convcross.spec import Sweep

if TYPE_CHECKING:
    from convcross.search import Search

FAILED = ("wrong", "oom", "error")
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
    interrupted : stopped by Ctrl-C
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
    budget: float | None = None,
    pair: tuple[str, str] | None = None,
    progress: Progress = lambda duel, number, of, records: None,
) -> Outcome:
    """Measure a sweep's duels, in the order of their information; or search it for a crossover.

    Parameters
    ----------
    groups : devices that share a duel (``duels.devices_named``)
    out : results file; None for a new one under ``results/<machine>/``, or with ``resume`` the
        newest one of this sweep there
    resume : go on with an existing file
    budget : seconds after which no duel is begun
    pair : (A, B): measure only what tells where B overtakes A (``search.Search``)
    progress : told of each finished duel: (duel, its number, of how many, its records)

    Raises
    ------
    BadInput
        A file that exists and is not to be resumed, or that another sweep made; a pair that
        cannot be searched for.
    """
    known = _ceilings({device for devices in groups for device in devices})
    search = _search(sweep, groups, pair, algorithm_paths, known)
    wanted = search.cells if search else duels(sweep, groups, algorithm_paths, known)
    header = _header(sweep, groups, wanted, known, pair)
    path = out or _default_path(sweep, header, resume)
    earlier = _earlier(path, header, resume)
    order: Iterable[Duel] = search or [duel for duel in wanted if duel.id not in earlier]
    outcome = Outcome(path, before=len(earlier))

    def left() -> int:
        return search.left() if search else len(wanted) - outcome.before - outcome.done

    outcome.unbounded = sorted({device for devices in groups for device in devices} - set(known))
    begin = time.perf_counter()
    writer = Writer(path, header)
    try:
        for duel in order:
            if search and duel.id in earlier:
                search.take(*earlier[duel.id])
                continue
            elapsed = time.perf_counter() - begin
            typical = elapsed / max(1, outcome.done)
            if budget is not None and elapsed + typical > budget:
                break
            records, seconds = _measured(duel, writer, outcome)
            if search:
                search.take(records, seconds)
            number = outcome.before + outcome.done
            progress(duel, number, number + left(), records)
    except KeyboardInterrupt:
        outcome.interrupted = True
        written = resumable(path)  # it may have struck between the write and the count
        outcome.done = len(written.closings if written else ()) - outcome.before
    finally:
        writer.close()
        outcome.wall = time.perf_counter() - begin
    outcome.left = left()
    outcome.found = search.told(path) if search else []
    return outcome


def _search(
    sweep: Sweep,
    groups: Sequence[Sequence[str]],
    pair: tuple[str, str] | None,
    algorithm_paths: Sequence[str],
    known: Mapping[str, dict[str, Any]],
) -> Search | None:
    if pair is None:
        return None
    from convcross.search import Search  # pandas comes with it

    return Search(sweep, groups, pair, algorithm_paths, known)


def _measured(duel: Duel, writer: Writer, outcome: Outcome) -> tuple[list[Record], float]:
    """The records of a duel, written, and the seconds that it took."""
    begin = time.perf_counter()
    result = measure(duel.model_dump(mode="json"))
    records = [Record.model_validate(record) for record in result["records"]]
    seconds = dict(result["seconds"])
    seconds["rest"] += time.perf_counter() - begin - sum(seconds.values())
    closing = Closing(
        duel=duel.id, records=len(records), seconds=seconds, neighbours=result["neighbours"]
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


def _earlier(path: Path, header: Header, resume: bool) -> dict[str, tuple[list[Record], float]]:
    """Records and seconds of the duels that need no measuring, by their ids."""
    if path.suffix == ".gz":
        raise BadInput(f"results file {path} is compressed; allowed: a .jsonl file")
    if not path.exists():
        return {}
    if not resume:
        raise BadInput(f"results file {path} exists; allowed: --resume, or another --out")
    earlier = resumable(path)
    if earlier is None:
        return {}
    for what, before, now in _differences(earlier.header, header):
        raise BadInput(f"--resume: {path} has {what} {before!r}, this run {now!r}")
    records: dict[str, list[Record]] = collections.defaultdict(list)
    for record in earlier.records:
        records[record.duel].append(record)
    return {one.duel: (records[one.duel], sum(one.seconds.values())) for one in earlier.closings}


def _differences(before: Header, now: Header) -> Iterator[tuple[str, Any, Any]]:
    """What must not change inside a file: machine, sweep, contenders."""
    if before.machine.get("name") != now.machine["name"]:
        yield "machine", before.machine.get("name"), now.machine["name"]
    if _searched(before) != _searched(now):
        yield "--find-crossover of pair", _searched(before), _searched(now)
    for key, value in now.sweep.items():
        field = Sweep.model_fields[key]  # an earlier version may not have had it
        earlier = before.sweep.get(key, field.get_default(call_default_factory=True))
        if earlier != value:
            yield key, earlier, value
    if before.contenders != now.contenders:
        yield "contenders", before.contenders, now.contenders
