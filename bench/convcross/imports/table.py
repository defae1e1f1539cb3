"""A table of times, read from CSV and checked row by row: what is wrong is left out and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from convcross.errors import BadInput
from convcross.stats.bootstrap import SHORTEST
from convcross.sweeps.spec import LARGEST
from convcross.text import one_line
from convkernels.problem import DTYPES, MODES
from convkernels.registry import LONGEST

REQUIRED = ("contender", "family", "N", "n", "seconds")
OPTIONAL = {"launch": "1", "sample": "1", "dtype": "float32", "mode": "same"}  # and their defaults
KNOWN = (*REQUIRED, *OPTIONAL, "low", "high", "error")
CELL = ["N", "n", "dtype", "mode", "launch", "contender"]  # what a time is of, samples apart

ROWS = 200_000  # that are text at one time
LONGEST_S = 1e9  # seconds
SHOWN = 5  # numbers of rows that are told of one fault
SEPARATES = "[,/@]"  # not in a family; names of contenders have at most one "/"


@dataclass
class Table:
    """Rows that are sound.

    Attributes
    ----------
    rows : columns of KNOWN, with ``row``: its line in the file, the header being line 1
    count : rows of the file
    faults : what is wrong → rows left out for it
    others : columns that mean nothing here
    sampled : whether the file numbers samples
    """

    rows: pd.DataFrame
    count: int
    others: list[str]
    sampled: bool
    faults: dict[str, list[int]] = field(default_factory=dict)

    @property
    def left_out(self) -> int:
        return sum(map(len, self.faults.values()))

    def sentences(self) -> Iterator[str]:
        """What was left out, and why, one sentence a fault."""
        for fault, rows in self.faults.items():
            some = ", ".join(map(str, rows[:SHOWN])) + (", …" if len(rows) > SHOWN else "")
            what = f"{len(rows)} rows" if len(rows) > 1 else "1 row"
            yield f"{what} left out: {fault} (line{'s' if len(rows) > 1 else ''} {some})"
        if self.others:
            yield f"columns passed over: {one_line(', '.join(self.others))}"


def read(path: Path) -> Table:
    """Read a table of times from CSV, so many ROWS at one time.

    Parameters
    ----------
    path : with a header; columns of KNOWN in any order, seconds in seconds

    Raises
    ------
    BadInput
        A file that cannot be read or is no CSV, a column that is missing, or no sound row.
    """
    where = f"table {path}"
    try:
        with pd.read_csv(
            path,
            dtype=str,
            na_filter=False,
            skipinitialspace=True,
            encoding="utf-8-sig",
            chunksize=ROWS,
            index_col=False,
        ) as chunks:
            return _table(chunks, where)
    except OSError as error:
        raise BadInput(f"{where}: {error.strerror}") from None
    except pd.errors.EmptyDataError:
        raise BadInput(f"{where} is empty; allowed: a header and rows of CSV") from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise BadInput(f"{where}: no CSV: {one_line(str(error))}") from None


def _table(chunks: Iterator[pd.DataFrame], where: str) -> Table:
    found: Table | None = None
    kept = []
    for chunk in chunks:
        chunk.columns = chunk.columns.str.strip()
        if found is None:
            _check_columns(list(chunk.columns), where)
            others = [name for name in chunk.columns if name not in KNOWN]
            found = Table(chunk.iloc[:0], 0, others, "sample" in chunk.columns)
        rows, fault = _checked(chunk)
        found.count += len(rows)
        _note(found, rows, fault)
        kept.append(rows[fault == ""])
    if found is None or not found.count:
        raise BadInput(f"{where} has no row; allowed: a header and rows of CSV")
    rows = _together(kept)
    again = rows.duplicated([*CELL, "sample"])
    how = "the first counts (columns launch and sample tell repeated measurements apart)"
    _note(found, rows[again], np.full(int(again.sum()), f"a second time of the same cell; {how}"))
    found.rows = rows[~again]
    if found.rows.empty:
        raise BadInput(f"{where}: no sound row; {'; '.join(found.sentences())}")
    return found


def _check_columns(columns: list[str], where: str) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise BadInput(
            f"{where}: no column {', '.join(missing)} (there are: {one_line(', '.join(columns))}); "
            f"allowed: {', '.join(REQUIRED)}, with times in seconds, and "
            f"{', '.join(name for name in KNOWN if name not in REQUIRED)}"
        )


def _note(table: Table, rows: pd.DataFrame, fault: np.ndarray) -> None:
    for name in np.unique(fault):
        if name:
            table.faults.setdefault(str(name), []).extend(rows["row"][fault == name].tolist())


def _checked(chunk: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """The rows with numbers for their numbers, and of each what is wrong, "" for nothing."""
    text = {name: chunk[name].fillna("").str.strip() for name in KNOWN if name in chunk}
    for name, default in OPTIONAL.items():
        given = text.get(name, pd.Series("", index=chunk.index))
        text[name] = given.where(given != "", default)
    blank = pd.Series("", index=chunk.index)
    number = {
        name: pd.to_numeric(text.get(name, blank), errors="coerce").astype(float)
        for name in ("N", "n", "seconds", "launch", "sample", "low", "high", "error")
    }
    absent = {name: text.get(name, blank) == "" for name in ("low", "high", "error")}
    seconds, low, high = number["seconds"], number["low"], number["high"]
    faults: dict[str, pd.Series[bool]] = {
        "contender is no printable name without commas, with one / at most": ~_each(
            text["contender"], _is_contender
        ),
        "family is no printable name without commas": ~_each(text["family"], _is_family),
        f"N is no whole number from 1 to {LARGEST}": ~_whole(number["N"]),
        f"n is no whole number from 1 to {LARGEST}": ~_whole(number["n"]),
        "launch or sample is no whole number from 1": ~(
            _whole(number["launch"]) & _whole(number["sample"], 1 << 30)
        ),
        "seconds is no number (in seconds, without a unit)": seconds.isna(),
        "seconds is 0 or less": ~(seconds >= SHORTEST),
        f"seconds is more than {LONGEST_S:g}": seconds > LONGEST_S,
        "low or high is no number of seconds with low ≤ seconds ≤ high": ~(
            (absent["low"] | ((low >= 0) & (low <= seconds)))
            & (absent["high"] | ((high >= seconds) & (high <= LONGEST_S)))
        ),
        "error is no number from 0": ~(
            absent["error"] | ((number["error"] >= 0) & (number["error"] < np.inf))
        ),
        f"dtype is none of {', '.join(DTYPES)}": ~text["dtype"].isin(DTYPES),
        f"mode is none of {', '.join(MODES)}": ~text["mode"].isin(MODES),
        "n is larger than N, of mode valid": (text["mode"] == "valid")
        & (number["n"] > number["N"]),
    }
    fault = np.select([wrong.to_numpy() for wrong in faults.values()], list(faults), "")
    words = {name: text[name].astype("category") for name in ("contender", "dtype", "mode")}
    rows = pd.DataFrame({**words, "family": text["family"].str.lower().astype("category")})
    for name, values in number.items():
        rows[name] = values
    rows["row"] = chunk.index + 2
    return rows, fault


def _each(values: pd.Series[str], holds: Callable[[str], bool]) -> pd.Series[bool]:
    """Of each, asked once for each that is different."""
    return values.isin([value for value in values.unique() if holds(value)])


def _printable(value: str) -> bool:
    return 0 < len(value) <= LONGEST and value == one_line(value)


def _is_contender(value: str) -> bool:
    name, slash, namespace = value.partition("/")
    parts = [name, *([namespace] if slash else [])]
    return all(_printable(part) and not set(SEPARATES) & set(part) for part in parts)


def _is_family(value: str) -> bool:
    return _printable(value) and not set(SEPARATES) & set(value)


def _whole(values: pd.Series[float], most: int = LARGEST) -> pd.Series[bool]:
    return (values >= 1) & (values <= most) & (values % 1 == 0)


def _together(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """The parts as one frame, in as little memory as its numbers need."""
    rows = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    for name in ("contender", "family", "dtype", "mode"):
        rows[name] = rows[name].astype("category")
    return rows.astype(dict.fromkeys(("N", "n", "launch", "sample"), np.int32))
