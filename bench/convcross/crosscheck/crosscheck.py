"""Our timer beside other people's, on the same functions in the same run.

Ours is the real path: ``measure`` on a duel, verified, interleaved and settled. Ours and the peers
take turns, TURNS times, so that neighbours and drifting clocks meet all of them. Each turn gives a
median; compared are those of the quietest turns, the lowest of each side. Neighbours only ever add
time: where they hold the cores for a whole turn, its median is theirs (one of 0.48 ms read 0.9).
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from convcross.crosscheck.peers import (
    KNOWN_WORK,
    SEED,
    THREADS,
    Case,
    CudaBench,
    DoBench,
    KnownLength,
    Peer,
    PyPerf,
    TorchTimer,
)
from convcross.machine import doctor
from convcross.machine.contention import NOTICED
from convcross.measure.duel import measure
from convcross.results.schema import Record
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits
from convcross.text import seconds
from convkernels import Problem, optional
from convkernels.discovery import find, load_path

TURNS = 4
# Seconds after which no turn begins. A turn is bounded too: ours by the limits of its duels, a
# peer's by what it is asked for or by the limit of its process (15 s of pyperf's, 45 s of
# cuda-bench's). So the table of a CPU ends inside 3 minutes and that of a card inside 5.
BUDGET = {"cpu": 165.0, "cuda": 235.0}
LIMITS = {"cpu": Limits(seconds=0.8), "cuda": Limits(seconds=0.2)}
CPU_PEERS: list[Peer] = [PyPerf(), TorchTimer()]
CUDA_PEERS: list[Peer] = [DoBench(), CudaBench(), KnownLength()]

# (N, n) and contenders: from some 10 µs to some 50 ms on one core, from some 10 µs to some 10 ms
# on a card.
ON_CPU: list[tuple[int, int, tuple[str, ...]]] = [
    (16, 3, ("torch-conv2d/torch",)),
    (32, 3, ("direct/numpy",)),
    (64, 7, ("fft/numpy",)),
    (8, 1, ("fixed-work/numpy",)),
    (256, 15, ("fft/torch",)),
    (256, 7, ("torch-conv2d/torch",)),
    (1024, 15, ("fft/torch",)),
    (1024, 7, ("torch-conv2d/torch",)),
]
ON_CUDA: list[tuple[int, int, tuple[str, ...]]] = [
    (256, 7, ("torch-conv2d/torch", "cuda-direct/cupy", "fft/torch", "fft/cupy")),
    (1024, 15, ("torch-conv2d/torch", "cuda-direct/cupy", "fft/torch", "fft/cupy")),
    (2048, 31, ("torch-conv2d/torch", "cuda-direct/cupy", "fft/torch", "fft/cupy")),
    (2048, 63, ("torch-conv2d/torch", "fft/torch", "fft/cupy")),
    (8, 1, ("spin-1ms/cupy", "spin-4ms/cupy")),
]

WIDTH = 132  # of a table that is not printed on a terminal

Tell = Callable[[str], None]
Median = tuple[float, float, float]  # with its interval, in seconds


@dataclasses.dataclass(frozen=True)
class Row:
    """Ours against one peer on one case, in seconds.

    ratio : ours / the peer's
    within : whether the ratio is within the limit of 1; None where nothing was compared
    rounds : turns that both took
    reason : why nothing was compared, or what failed
    """

    case: str
    regime: str
    ours_s: float | None
    ci_low_s: float | None
    ci_high_s: float | None
    peer: str
    peer_s: float | None
    ratio: float | None
    limit: float
    within: bool | None
    rounds: int
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields as they are."""
        return dataclasses.asdict(self)


def groups(device: str) -> list[list[Case]]:
    """What is compared on a device ("cpu", "cuda:0"), as far as its libraries are installed: in
    groups that take turns. On a card all are one: a process takes longer to start than to time.
    """
    load_path(KNOWN_WORK)
    on_cpu = device == "cpu"
    found = [
        [
            Case(f"{name}@{device}", Problem((size, size), (n, n), mode="same"), regime)
            for regime in (("warm",) if on_cpu else ("flushed", "warm", "graph"))
            for name in names
            if find(name.partition("/")[0]).missing(name.partition("/")[2]) is None
        ]
        for size, n, names in (ON_CPU if on_cpu else ON_CUDA)
    ]
    together = found if on_cpu else [list(itertools.chain.from_iterable(found))]
    return [group for group in together if group]


def missing(peers: Iterable[Peer]) -> dict[str, str]:
    """The peers that are not installed, and the command that installs each."""
    return {
        peer.name: doctor.pip(peer.package)
        for peer in peers
        if peer.package and not all(map(optional.installed, peer.modules))
    }


def compare(
    groups: Sequence[Sequence[Case]],
    peers: Sequence[Peer],
    *,
    limits: Limits,
    budget: float,
    tell: Tell,
    rounds: int = TURNS,
) -> list[Row]:
    """Time every case with ours and with every peer in turns.

    Parameters
    ----------
    groups : cases of one device, timed one group after the other
    peers : of those that are installed
    limits : of each duel
    budget : seconds after which no turn begins
    tell : takes a line of progress
    """
    deadline = time.perf_counter() + budget
    found = list(itertools.chain.from_iterable(groups))
    ours: dict[Case, list[Median]] = {case: [] for case in found}
    theirs: dict[tuple[Case, Peer], list[float]] = {
        (case, peer): [] for case in found for peer in peers
    }
    refusals: dict[tuple[Case, Peer], str] = {}
    failures: dict[tuple[Case, Peer], str] = {}
    spent = others = 0.0
    for number, group in itertools.product(range(rounds), groups):
        if time.perf_counter() > deadline:
            break
        turn = f"round {number + 1} of {rounds}"
        tell(f"{turn}: {_what(group)}: ours")
        begin = time.perf_counter()
        records, share = _ours(group, limits)
        spent += (took := time.perf_counter() - begin)
        others += share * took
        for case, record in records.items():
            if record.status == "ok":
                ours[case].append(_median(record))
                continue
            kind = refusals if record.status == "unsupported" else failures
            kind.update({(case, peer): f"ours: {record.reason}" for peer in peers})
        for peer in peers:
            asked = {}
            for case in group:
                reason = peer.refuses(case)
                if reason is not None:
                    refusals[case, peer] = reason
                elif (case, peer) not in refusals | failures:
                    asked[case] = ours[case][-1][0]
            if not asked or time.perf_counter() > deadline:
                continue
            tell(f"{turn}: {_what(list(asked))}: {peer.name}")
            try:
                answers = peer.medians(list(asked), asked)
            except Exception as error:  # a peer that fails costs its own rows
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                failures.update({(case, peer): reason for case in asked})
                tell(f"{turn}: {peer.name}: {reason}")
                continue
            for case, answer in answers.items():
                if isinstance(answer, str):
                    refusals[case, peer] = answer
                else:
                    theirs[case, peer].append(answer)
    if others > NOTICED * spent:
        tell(f"other processes took {others / spent:.0%} of the cores while ours was timed")
    return [
        _row(case, peer, ours[case], times, refusals.get(key), failures.get(key))
        for key, times in theirs.items()
        for case, peer in [key]
    ]


def _what(cases: Sequence[Case]) -> str:
    return cases[0].name if len(cases) == 1 else f"{len(cases)} cases"


def _ours(group: Sequence[Case], limits: Limits) -> tuple[dict[Case, Record], float]:
    """The records of the cases, a duel for each problem and regime; and the largest share of the
    cores that other processes took."""
    records: dict[Case, Record] = {}
    others = 0.0
    for (problem, regime), part in itertools.groupby(group, lambda x: (x.problem, x.regime)):
        members = list(part)
        duel = Duel(
            id=f"cross-check-{members[0].name}",
            problem=problem,
            contenders=[case.contender for case in members],
            image_data="normal",
            kernel_data="normal",
            seed=SEED,
            regime=regime,
            threads=THREADS,
            limits=limits,
            algorithm_paths=[KNOWN_WORK],
        )
        result = measure(duel)
        records.update(zip(members, result.records, strict=True))
        others = max(others, result.neighbours["others"])
    return records, others


def _median(record: Record) -> Median:
    numbers = record.median_s, record.ci_low_s, record.ci_high_s
    assert None not in numbers
    return numbers  # type: ignore[return-value]


def _row(
    case: Case,
    peer: Peer,
    ours: Sequence[Median],
    theirs: Sequence[float],
    refusal: str | None,
    failure: str | None,
) -> Row:
    count = min(len(ours), len(theirs))  # the last turn of ours may have been the last of all
    middle, low, high = min(ours[:count] or ours, default=(None, None, None))
    about = case.name, case.regime, middle, low, high, peer.name
    reason = failure or refusal or (None if theirs else "the time was spent before its turn")
    if reason is not None or middle is None:
        within = False if failure else None
        return Row(*about, None, None, peer.limit, within, len(theirs), reason)
    other = min(theirs)
    ratio = middle / other
    return Row(*about, other, ratio, peer.limit, abs(ratio - 1) <= peer.limit, len(theirs))


def verdict(rows: Iterable[Row]) -> str:
    """One sentence on a table."""
    compared = [row for row in rows if row.within is not None]
    if not compared:
        return "nothing was compared"
    outside = [row for row in compared if not row.within]
    if not outside:
        return f"all {len(compared)} comparisons are within their limits"
    return f"{len(outside)} of {len(compared)} comparisons are outside their limits, or failed"


def show(devices: Sequence[str], as_json: bool) -> bool:
    """Print the tables of these devices; whether all that was compared is within its limit."""

    def tell(line: str) -> None:
        print(line, file=sys.stderr if as_json else sys.stdout, flush=True)

    rows: list[Row] = []
    commands: dict[str, str] = {}
    for device in devices:
        kind = device.partition(":")[0]
        peers = CPU_PEERS if kind == "cpu" else CUDA_PEERS
        lacking = missing(peers)
        commands.update(lacking)
        there = [peer for peer in peers if peer.name not in lacking]
        if there:
            limits, budget = LIMITS[kind], BUDGET[kind]
            rows += compare(groups(device), there, limits=limits, budget=budget, tell=tell)
    if as_json:
        report = {
            "rows": [row.to_json() for row in rows],
            "missing": commands,
            "verdict": verdict(rows),
        }
        print(json.dumps(report, indent=2, allow_nan=False))
    else:
        _print(rows, commands)
    return all(row.within is not False for row in rows)


def _print(rows: Sequence[Row], commands: Mapping[str, str]) -> None:
    if rows:
        table = Table(
            "case", "regime", "ours", "interval", "peer", "its", "ratio", "within", "turns"
        )
        for row in rows:
            table.add_row(
                row.case, row.regime, *_ours_of(row), row.peer, *_theirs_of(row), str(row.rounds)
            )
        Console(width=None if sys.stdout.isatty() else WIDTH).print(table)
    for row in rows:
        if row.reason:
            print(f"{row.case}, {row.regime}, {row.peer}: {row.reason}")
    for name, command in commands.items():
        print(f"{name} is not installed: {command}")
    print(verdict(rows))


def _ours_of(row: Row) -> tuple[str, str]:
    if row.ours_s is None or row.ci_low_s is None or row.ci_high_s is None:
        return "–", "–"
    low, high = (bound / row.ours_s - 1 for bound in (row.ci_low_s, row.ci_high_s))
    return seconds(row.ours_s, 4), f"{low:+.1%} {high:+.1%}"


def _theirs_of(row: Row) -> tuple[str, str, str]:
    limit = f"({row.limit:.0%})"
    if row.peer_s is None or row.ratio is None:
        return "–", "–", "–" if row.within is None else f"no {limit}"
    return seconds(row.peer_s, 4), f"{row.ratio:.3f}", f"{'yes' if row.within else 'NO'} {limit}"
