"""Anybody's table of times as a results file, marked imported, with its source.

What such a file cannot tell is said where it is read: nothing of it was verified here, and a time
without samples has no interval, hence n* has none. With a column ``sample`` the rows of a cell are
its samples; with ``launch``, those of several processes.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convcross.errors import BadInput
from convcross.imports import table
from convcross.imports.table import CELL, Table
from convcross.results.fields import MOST_ROUNDS
from convcross.results.schema import DuelFooter, Errors, Header, Imported, Record, dump
from convcross.stats.median import median_interval
from convcross.sweeps.spec import MOST
from convcross.text import file_name, one_line
from convkernels.problem import Problem
from convkernels.registry import LONGEST

UNTOLD = "unknown"  # regime and arithmetic of times of which no more is known
NAMESPACE = "imported"  # of a contender that names none
DUEL = ["N", "n", "dtype", "mode", "launch"]  # what the contenders of a duel share


def import_timings(
    path: Path, *, source: str | None, machine: str, device: str, out: Path | None
) -> tuple[Path, Table]:
    """Write a results file of a table of times.

    Parameters
    ----------
    path : see ``table.read``
    source : where the times are from; None for the name of the file
    machine, device : what they were measured on; files of one machine make one curve
    out : a new results file; None for one under ``results/<machine>/``

    Returns
    -------
    the results file, and the table, which tells what was left out

    Raises
    ------
    BadInput
        A table that ``table.read`` refuses or that is too large, names that do not show, or a place
        that is taken or cannot be written.
    """
    for what, name in (("machine", machine), ("device", device)):
        if not 0 < len(name) <= LONGEST or name != one_line(name):
            raise BadInput(f"{what} is {name!r}; allowed: 1 to {LONGEST} printable characters")
    now = datetime.datetime.now(datetime.UTC)
    name = f"{now:%Y%m%dT%H%M%SZ}-{file_name(path.stem)}-imported.jsonl"
    target = out or Path("results") / file_name(machine) / name
    if target.exists():
        raise BadInput(f"results file {target} exists; allowed: a new one")
    found = table.read(path)
    rows = found.rows.sort_values([*CELL, "sample"], kind="stable", ignore_index=True)
    _check_extent(rows, path)
    header = Header(
        machine={"name": machine},
        software={},
        sweep={"name": path.stem, "launches": int(rows["launch"].max())},
        contenders=[f"{_short(name)}@{device}" for name in sorted(set(rows["contender"]))],
        started_at=now.isoformat(),
        imported=Imported(
            source=source or path.name, rows=found.count, left_out=list(found.sentences())
        ),
    )
    _write(target, header, _duels(rows, device, found.sampled))
    return target, found


def _write(target: Path, header: Header, duels: Iterator[list[Record]]) -> None:
    """The file, whole or not at all."""
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(open(part, "wb"))
            stack.callback(part.unlink, missing_ok=True)
            file.write(dump([header]))
            for records in duels:
                footer = DuelFooter(duel=records[0].duel, records=len(records), seconds={})
                file.write(dump([*records, footer]))
            file.flush()
            os.fsync(file.fileno())
            part.rename(target)
    except OSError as error:
        raise BadInput(f"results file {target} cannot be written: {error.strerror}") from None


def _check_extent(rows: pd.DataFrame, path: Path) -> None:
    counts = rows.groupby(DUEL, observed=True, sort=False).size()
    if len(counts) > MOST:
        raise BadInput(
            f"table {path} has {len(counts)} problems, each launch counted; allowed: up to {MOST}"
        )
    if counts.max() >= MOST_ROUNDS:
        raise BadInput(
            f"table {path} has {counts.max()} times of one problem; allowed: under {MOST_ROUNDS}"
        )


def _short(contender: str) -> str:
    """algorithm/namespace"""
    return contender if "/" in contender else f"{contender}/{NAMESPACE}"


def _duels(rows: pd.DataFrame, device: str, sampled: bool) -> Iterator[list[Record]]:
    """The records of each problem and launch.

    Parameters
    ----------
    rows : by CELL and sample
    sampled : the rows of a cell are its samples; else it has one, which is what is known of it
    """
    starts = np.flatnonzero(~rows.duplicated(CELL))
    cells = rows.iloc[starts]
    families = cells.groupby("contender", observed=True)["family"].first().to_dict()
    seconds = rows["seconds"].to_numpy()
    ends = itertools.pairwise([*starts.tolist(), len(rows)])
    told: list[dict[str, Any]] = cells.to_dict("records")  # type: ignore[assignment]
    numbered = zip(told, ends, strict=True)
    for place, group in itertools.groupby(numbered, lambda one: tuple(map(one[0].get, DUEL))):
        N, n, dtype, mode, launch = place
        problem = Problem((N, N), (n, n), dtype=dtype, mode=mode)
        records = []
        together = list(group)
        first = together[0][1][0]
        for cell, (start, stop) in together:
            algorithm, _, namespace = _short(cell["contender"]).partition("/")
            times: dict[str, Any] = _told(cell)
            if sampled:  # not taken side by side: no round of two contenders is the same
                rounds = list(range(start - first, stop - first))
                times = _samples(seconds[start:stop].tolist(), rounds)
            records.append(
                Record(
                    duel=f"{N}-{n}-{dtype}-{mode}~{launch}",
                    problem=problem,
                    algorithm=algorithm,
                    namespace=namespace,
                    device=device,
                    family=families[cell["contender"]],
                    arithmetic=UNTOLD,
                    image_data="normal",
                    kernel_data="normal",
                    seed=0,
                    launch=launch,
                    regime=UNTOLD,
                    status="ok",
                    error=Errors(rel_l2=cell["error"]) if cell["error"] >= 0 else None,
                    **times,
                )
            )
        yield records


def _told(cell: dict[str, Any]) -> dict[str, Any]:
    """What a record has of a time without samples."""
    told = {"median_s": cell["seconds"], "ci_low_s": cell["low"], "ci_high_s": cell["high"]}
    return {key: value for key, value in told.items() if value >= 0}  # not the unknown


def _samples(seconds: list[float], rounds: list[int]) -> dict[str, Any]:
    """What a record has of several."""
    middle, low, high = median_interval(seconds)
    return {
        "phase_seconds": {"run": seconds},
        "rounds": rounds,
        "median_s": middle,
        "ci_low_s": low,
        "ci_high_s": high,
    }
