"""Results files as one data frame of one machine."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from convcross.analysis.grids import is_grid, is_line
from convcross.analysis.launches import p95, pooled
from convcross.analysis.newest import Changes, Newest
from convcross.errors import BadInput
from convcross.results import reader, schema
from convcross.results.fields import MOST_ROUNDS
from convcross.results.status import STATUSES
from convcross.stats.bootstrap import SHORTEST, Array, median
from convcross.sweeps.spec import LARGEST
from convcross.text import one_line
from convkernels.problem import Problem
from convkernels.registry import LONGEST

log = logging.getLogger("convcross")

# What two cells must share to lie on one curve.
CONDITIONS = ["device", "regime", "dtype", "op", "mode", "data"]
CONDITIONS += ["dimensions", "direction", "batch", "channels"]
FLAGS = {
    "impossible": "its time lies below the floor of the hardware",
    "ran-fft": "of family direct, it executed an FFT kernel",
    "power-limited": "it ran at a clock more than 2 % below its rivals'",
    "preempted": "it waited for a core in most of its samples",
    "launch-bound": "the device waited for its launches: the time is the host's",
}

UNVERIFIED = "nobody verified here what was computed, nor how it was timed"


@dataclass(frozen=True)
class Results:
    """What files of one machine hold.

    Attributes
    ----------
    machine : its name
    headers : of each file, in the order given
    frame : one row a record; see ``_row`` for the columns
    notes : what was left out, doubled or included with a flag, one sentence each
    paths : the files
    learned : how networks have learned, of all files
    """

    machine: str
    headers: list[schema.Header]
    frame: pd.DataFrame
    notes: list[str]
    paths: list[Path]
    learned: list[schema.Learned] = dataclasses.field(default_factory=list)

    @property
    def grid(self) -> pd.DataFrame:
        """Usable records of square images with square kernels, and of lines: the N×n grid."""
        return self.frame[self.frame["usable"] & self.frame["is_grid"]]


def load(paths: Sequence[Path], *, include_flagged: bool = False, learned: bool = False) -> Results:
    """Read results files of one machine; of a contender measured twice the newest record counts.

    Duels that another machine measured (``--resume-anyway``) are left out. Flagged records are not
    usable unless ``include_flagged``. Notes are logged as warnings too.

    Parameters
    ----------
    learned : files without a duel, of networks that have learned alone, are taken too: the frame
        then has no row

    Raises
    ------
    BadInput
        No file, a file that ``reader.Reader`` refuses, files of several machines or thread counts,
        or nothing measured in any.
    """
    if not paths:
        raise BadInput("no results file given; allowed: one or more files of one machine")
    with contextlib.ExitStack() as stack, _no_collector():
        files = [stack.enter_context(reader.reading(Path(path))) for path in paths]
        machine = _one_machine(files)
        rows, notes = _rows(files)
    networks = [one for file in files for one in file.learned]
    if not rows and not (learned and networks):
        names = ", ".join(str(path) for path in paths)
        raise BadInput(f"{names}: no finished duel of {machine!r}; allowed: at least one record")
    frame = pd.DataFrame(rows) if rows else _nothing()
    _one_thread_count(frame)
    measured = frame.pop("measured")
    flagged = frame["flags"].map(bool) & measured
    frame["usable"] = measured if include_flagged else measured & ~flagged
    frame["failed"] = pd.Series(failed(frame), dtype=object)
    frame["refused"] = pd.Series(refused(frame), dtype=object)
    notes += _said_of_flags(frame.loc[flagged, "flags"], include_flagged)
    for note in notes:
        log.warning(one_line(note))
    headers, paths = [file.header for file in files], [file.path for file in files]
    return Results(machine, headers, frame, notes, paths, networks)


def _nothing() -> pd.DataFrame:
    """The columns of ``_row`` with their types, and no row."""
    names = ("algorithm", "namespace", "device", "family", "image_data", "kernel_data", "regime")
    record = schema.Record(
        duel="",
        problem=Problem((1, 1), (1, 1)),
        arithmetic="",
        seed=0,
        status="ok",
        **dict.fromkeys(names, "none"),
    )
    return pd.DataFrame(pooled([_row(record, False, 0, "")])).iloc[:0]


@contextlib.contextmanager
def _no_collector() -> Iterator[None]:
    """Without the cyclic garbage collector, which would walk all that is read again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _rows(files: Sequence[reader.Reader]) -> tuple[list[dict[str, Any]], list[str]]:
    """The newest row of each measurement, and notes on what was dropped, changed or doubled."""
    notes = []
    groups: dict[tuple[int, str, Any], int] = {}
    newest = Newest()
    for number, file in enumerate(files):
        name = file.path.name
        grids: dict[Problem, bool] = {}
        changes = Changes()
        for found, footer in file:
            if not changes.same_machine(footer):
                continue
            for record in found:
                together = (number, record.duel, record.telemetry.group)
                group = groups.setdefault(together, len(groups))
                if record.problem not in grids:
                    _check_sizes(record, name)
                    grids[record.problem] = is_grid(record.problem, file.header)
                newest.take(file, record, _row(record, grids[record.problem], group, name))
        if file.header.imported is not None:
            notes.append(f"{name}: imported from {file.header.imported.source}: {UNVERIFIED}")
        if file.dropped:
            notes.append(f"{name}: {file.dropped} was left out")
        notes += changes.sentences(name)
    rows = pooled(newest.rows)
    return rows, notes + newest.sentences() + _said_of_launches(files, rows)


def _said_of_launches(files: Sequence[reader.Reader], rows: Sequence[dict[str, Any]]) -> list[str]:
    """What is missing of what files were to have; nothing is said between launches of one."""
    notes = [
        f"{file.path.name}: measured in one process, before there were launches; its intervals "
        "say nothing of the next process"
        for file in files
        if "launches" not in file.header.sweep
    ]
    asked = max(map(_asked, files), default=1)
    counts = [len(np.unique(row["run_launches"])) for row in rows if row["measured"]]
    if fewer := sum(count < asked for count in counts):
        told = "are wider for it" if max(counts) > 1 else "say nothing of the next process"
        notes.append(
            f"{fewer} of {len(counts)} measurements have fewer than {asked} launches; their "
            f"intervals {told}"
        )
    return notes


def _asked(file: reader.Reader) -> int:
    """Launches of the sweep, as its header has them; one where it has no such number."""
    launches = file.header.sweep.get("launches")
    return launches if isinstance(launches, int) else 1


def failed(frame: pd.DataFrame) -> list[frozenset[str]]:
    """Of each row, the contenders of its family with a defect in its cell, hence no usable time.

    Only what leaves a time unknown is a defect: a wrong result, an error, a flag. What was refused
    or found no memory is no choice there, and what timed out is slower than all that did not.
    """
    untimed = ["ok", *(name for name, status in STATUSES.items() if status.untimed)]  # ok: flagged
    return _in_cell(frame, ~frame["usable"] & frame["status"].isin(untimed))


def refused(frame: pd.DataFrame) -> list[frozenset[str]]:
    """Of each row, the contenders of its family that refused the problem of its cell."""
    return _in_cell(frame, frame["status"] == "unsupported")


def _in_cell(frame: pd.DataFrame, some: pd.Series[bool]) -> list[frozenset[str]]:
    """Of each row, the contenders of some rows of its family and cell, without a usable time."""
    none: frozenset[str] = frozenset()
    some = frame["is_grid"] & some
    if not some.any():
        return [none] * len(frame)
    cells = list(zip(*(frame[key] for key in [*CONDITIONS, "family", "N", "n"]), strict=True))
    names, usable = frame["contender"].tolist(), frame["usable"].tolist()
    found: dict[tuple[Any, ...], set[str]] = {}
    for place in np.flatnonzero(some):
        found.setdefault(cells[place], set()).add(names[place])
    for cell, name, whole in zip(cells, names, usable, strict=True):
        if whole and cell in found:
            found[cell].discard(name)
    frozen = {cell: frozenset(contenders) for cell, contenders in found.items()}
    return [frozen.get(cell, none) for cell in cells]


def _said_of_flags(flags: pd.Series[Any], included: bool) -> list[str]:
    if flags.empty:
        return []
    counts = Counter(flag for own in flags for flag in own)
    listing = ", ".join(f"{count} {flag}" for flag, count in sorted(counts.items()))
    cells = f"{len(flags)} flagged measurement{'s' if len(flags) > 1 else ''} ({listing})"
    return [f"{cells} included as asked" if included else f"{cells} left out (--include-flagged)"]


def _one_machine(files: Sequence[reader.Reader]) -> str:
    names = [_machine(file) for file in files]
    for name, file in zip(names, files, strict=True):
        if name != names[0]:
            raise BadInput(
                f"{file.path}: machine is {name!r}, that of {files[0].path} is {names[0]!r}; "
                "allowed: files of one machine, as times of two never make one curve"
            )
    return names[0]


def _machine(file: reader.Reader) -> str:
    return one_line(str(file.header.machine.get("name", "unnamed machine")), LONGEST)


def _one_thread_count(frame: pd.DataFrame) -> None:
    counts = sorted(frame.loc[frame["device"] == "cpu", "threads"].dropna().unique())
    if len(counts) > 1:
        found = " and ".join(str(int(count)) for count in counts)
        raise BadInput(f"threads are {found} in one comparison; allowed: one number of CPU threads")


def _check_sizes(record: schema.Record, source: str) -> None:
    """Those that a sweep may ask for: beyond them products and bytes overflow."""
    problem = record.problem
    pads = [pad for side in problem.padding or () for pad in side]
    channels = problem.batch, problem.in_channels, problem.out_channels
    sizes = [*problem.image, *problem.kernel, *channels, *problem.stride, *problem.dilation, *pads]
    if max(sizes) > LARGEST:
        raise BadInput(
            f"{source}: duel {record.duel}: problem: size is {max(sizes)}; allowed: up to {LARGEST}"
        )


def _row(record: schema.Record, is_grid: bool, group: int, source: str) -> dict[str, Any]:
    """A record as a flat row: conditions, N and n, status, costs, and its raw samples.

    Samples, the median and its interval are divided by the pacer's ratio where rivals were timed
    in several memory groups: column ``pacer`` has it.
    """
    problem, energy = record.problem, record.telemetry.energy or schema.Energy()
    pacer = record.telemetry.pacer_ratio or 1.0
    channels = (problem.in_channels, problem.out_channels)
    run, fresh, load = (_samples(record, phase) / pacer for phase in ("run", "fresh", "load"))
    rounds = {}
    for phase, samples, numbers in (
        ("run", run, record.rounds),
        ("fresh", fresh, record.fresh_rounds),
    ):
        if len(numbers) != len(samples):
            raise BadInput(
                f"{source}: duel {record.duel}, {record.contender}: {len(numbers)} rounds for "
                f"{len(samples)} {phase} samples; allowed: one round a sample"
            )
        # Numbers start anew in each duel and memory group.
        rounds[phase] = np.asarray(numbers, dtype=np.int64) + group * MOST_ROUNDS
    taken = len(run)
    summary = not taken and record.status == "ok" and record.median_s is not None
    if summary:  # its one time stands for samples that nobody has
        run, rounds["run"] = np.array([record.median_s]), np.array([group * MOST_ROUNDS])
    if record.preempted:
        kept = ~np.asarray(record.waited("run"), dtype=bool)
        run, rounds["run"] = run[kept], rounds["run"][kept]
    if record.fresh_preempted:
        kept = ~np.asarray(record.waited("fresh"), dtype=bool)
        load = load[kept] if len(load) == len(fresh) else load
        fresh, rounds["fresh"] = fresh[kept], rounds["fresh"][kept]
    data = record.image_data
    if record.kernel_data != "normal":
        data += f", {record.kernel_data} kernel"
    timed = len(run) > 0 and bool(run.min() >= SHORTEST)
    errors = record.error_seeds or ([record.error.rel_l2] if record.error else [])
    return {
        "device": record.device,
        "regime": record.regime,
        "dtype": problem.dtype,
        "op": problem.op,
        "mode": problem.mode,
        "data": data,
        "batch": problem.batch,
        "channels": channels[0] if channels[0] == channels[1] else channels,
        "dimensions": 1 if is_line(problem) else 2,
        "direction": problem.direction,
        "N": problem.image[1],
        "n": problem.kernel[1],
        "is_grid": is_grid,
        "problem": problem,
        "contender": f"{record.algorithm}/{record.namespace}",
        "family": record.family,
        "threads": record.threads,
        "seed": record.seed,
        "launch": record.launch or 1,
        "status": record.status,
        "reason": record.reason or "",
        "flags": tuple(record.flags),
        "measured": record.status == "ok" and timed,
        "settled": summary or bool(record.settled),
        "summary": summary,
        "pacer": pacer,
        "floor": _number(record.floor_s),
        "seconds": median(run) if timed else np.nan,
        "low": np.nan if record.ci_low_s is None else record.ci_low_s / pacer,
        "high": np.nan if record.ci_high_s is None else record.ci_high_s / pacer,
        "error": record.error.rel_l2 if record.error else np.nan,
        "errors": np.asarray(errors, dtype=np.float64),
        "energy": np.asarray(energy.j_per_run or (), dtype=np.float64),
        "no_energy": energy.not_measured or "",
        "declared_flops": _number(record.declared_flops),
        "declared_bytes": _number(record.declared_bytes),
        "declared_once_flops": _number(record.declared_once_flops),
        "algebra": record.algebra,
        "workspace": _number(record.workspace_bytes),
        "p95": p95(run),
        "waited": 1 - len(run) / taken if taken else np.nan,
        "run": run,
        "rounds": rounds["run"],
        "fresh": fresh,
        "fresh_rounds": rounds["fresh"],
        "load": load,
        "plan": _samples(record, "plan"),
        "run_launches": _launch(record, len(run)),
        "fresh_launches": _launch(record, len(fresh)),
        "plan_launches": _launch(record, len(record.phase_seconds.get("plan", ()))),
        "spread": np.nan,
        # Plans of one process after the other, as on a machine that has compiled nothing yet.
        "cold_plan": _samples(record, "plan") + (record.provenance.compile_s or 0.0),
        "padded": record.provenance.padded,
        "scaled": record.provenance.scaled or "",
        "stages": record.stage_seconds,
    }


def _launch(record: schema.Record, count: int) -> npt.NDArray[np.int64]:
    """Of each of so many samples; a file from before there were launches has one."""
    return np.full(count, record.launch or 1, dtype=np.int64)


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _samples(record: schema.Record, phase: str) -> Array:
    return np.asarray(record.phase_seconds.get(phase, ()), dtype=np.float64)


def why_left_out(rows: pd.DataFrame) -> pd.Series[str]:
    """The status of each row that is not usable; of an "ok" one, its flags, or "no time"."""
    flags = rows["flags"].map(lambda words: ", ".join(sorted(words)) or "no time")
    return rows["status"].where(rows["status"] != "ok", flags)
