"""Results files as one data frame of one machine."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convcross import records
from convcross.failures import BadInput
from convkernels.problem import Problem

log = logging.getLogger("convcross")

# What two cells must share to lie on one curve.
CONDITIONS = ["device", "regime", "dtype", "op", "mode", "data", "batch", "channels"]
# Round numbers start anew in each duel; this keeps those of two duels apart, and keeps parity.
ROUNDS_A_DUEL = 1_000_000


def _is_grid(problem: Problem) -> bool:
    """A square image and kernel, and nothing that ``CONDITIONS`` does not tell."""
    image, kernel = problem.image, problem.kernel
    plain = Problem(
        image,
        kernel,
        batch=problem.batch,
        in_channels=problem.in_channels,
        out_channels=problem.out_channels,
        op=problem.op,
        mode=problem.mode or "full",
        dtype=problem.dtype,
    )
    return image[0] == image[1] and kernel[0] == kernel[1] and problem == plain


@dataclass(frozen=True)
class Results:
    """What files of one machine hold.

    Attributes
    ----------
    machine : its name
    headers : of each file, in the order given
    frame : one row a record; see ``_row`` for the columns
    notes : what was left out or doubled, one sentence each
    paths : the files
    """

    machine: str
    headers: list[records.Header]
    frame: pd.DataFrame
    notes: list[str]
    paths: list[Path]

    @property
    def grid(self) -> pd.DataFrame:
        """Usable records of square images with square kernels: the N×n grid."""
        return self.frame[self.frame["usable"] & self.frame["is_grid"]]


def load(paths: Sequence[Path]) -> Results:
    """Read results files of one machine; of a contender measured twice the newest record counts.

    Notes are logged as warnings too.

    Raises
    ------
    BadInput
        No file, a file that ``records.read`` refuses, files of several machines or thread counts,
        or no record at all.
    """
    if not paths:
        raise BadInput("no results file given; allowed: one or more files of one machine")
    files = [records.read(Path(path)) for path in paths]
    machine = _one_machine(files)
    notes = [f"{file.path.name}: {file.dropped} was left out" for file in files if file.dropped]
    duels: dict[tuple[int, str], int] = {}
    newest: dict[tuple[object, ...], tuple[str, dict[str, Any]]] = {}
    doubled: Counter[str] = Counter()
    for number, file in enumerate(files):
        for record in file.records:
            duel = duels.setdefault((number, record.duel), len(duels))
            row = _row(record, duel, file.path.name)
            parts = ("problem", "data", "seed", "regime", "contender", "device")
            key = tuple(row[part] for part in parts)
            when = record.started_at or file.header.started_at
            if key in newest:
                doubled[file.path.name] += 1
                if when < newest[key][0]:
                    continue
            newest[key] = (when, row)
    if not newest:
        names = ", ".join(str(path) for path in paths)
        raise BadInput(f"{names}: no finished duel; allowed: at least one record")
    notes += [
        f"{name}: {count} measurement{'s' if count > 1 else ''} found twice; the newest counts"
        for name, count in doubled.items()
    ]
    frame = pd.DataFrame([row for _, row in newest.values()])
    _one_thread_count(frame)
    for note in notes:
        log.warning(note)
    return Results(machine, [file.header for file in files], frame, notes, [f.path for f in files])


def _one_machine(files: Sequence[records.Results]) -> str:
    names = [str(file.header.machine.get("name", "unnamed machine")) for file in files]
    for name, file in zip(names, files, strict=True):
        if name != names[0]:
            raise BadInput(
                f"{file.path}: machine is {name!r}, that of {files[0].path} is {names[0]!r}; "
                "allowed: files of one machine, as times of two never make one curve"
            )
    return names[0]


def _one_thread_count(frame: pd.DataFrame) -> None:
    counts = sorted(frame.loc[frame["device"] == "cpu", "threads"].dropna().unique())
    if len(counts) > 1:
        found = " and ".join(str(int(count)) for count in counts)
        raise BadInput(f"threads are {found} in one comparison; allowed: one number of CPU threads")


def _problem(record: records.Record, source: str) -> Problem:
    try:
        return Problem.from_json(record.problem)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{source}: duel {record.duel}: problem: {error}") from None


def _row(record: records.Record, duel: int, source: str) -> dict[str, Any]:
    """A record as a flat row: conditions, N and n, status, costs, and its raw samples."""
    problem = _problem(record, source)
    channels = (problem.in_channels, problem.out_channels)
    run, fresh, plan = (
        np.asarray(record.phase_seconds.get(phase, ()), dtype=np.float64)
        for phase in ("run", "fresh", "plan")
    )
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
        rounds[phase] = np.asarray(numbers, dtype=np.int64) + duel * ROUNDS_A_DUEL
    kinds = [record.image_data]
    if record.kernel_data != "normal":
        kinds.append(f"{record.kernel_data} kernel")
    timed = len(run) > 0 and bool((run > 0).all())
    return {
        "device": record.device,
        "regime": record.regime,
        "dtype": problem.dtype,
        "op": problem.op,
        "mode": problem.mode,
        "data": ", ".join(kinds),
        "batch": problem.batch,
        "channels": channels[0] if channels[0] == channels[1] else channels,
        "N": problem.image[0],
        "n": problem.kernel[0],
        "is_grid": _is_grid(problem),
        "problem": problem,
        "contender": f"{record.algorithm}/{record.namespace}",
        "family": record.family,
        "threads": record.threads,
        "seed": record.seed,
        "status": record.status,
        "reason": record.reason or "",
        "flags": tuple(record.flags),
        "usable": record.status == "ok" and "impossible" not in record.flags and timed,
        "seconds": float(np.median(run)) if timed else np.nan,
        "low": np.nan if record.ci_low_s is None else record.ci_low_s,
        "high": np.nan if record.ci_high_s is None else record.ci_high_s,
        "error": record.error.rel_l2 if record.error else np.nan,
        "workspace": np.nan if record.workspace_bytes is None else record.workspace_bytes,
        "run": run,
        "rounds": rounds["run"],
        "fresh": fresh,
        "fresh_rounds": rounds["fresh"],
        "plan": plan,
    }
