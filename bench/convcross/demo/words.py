"""What the demo says in words, on the terminal and in its figure."""

from __future__ import annotations

from collections.abc import Sequence

from convcross.results.schema import Record
from convcross.sweeps.data import Floats


def written(kernel: Floats) -> str:
    """A kernel of whole numbers as [1 2; 3 4]."""
    return "[" + "; ".join(" ".join(f"{value:g}" for value in row) for row in kernel) + "]"


def outcome(record: Record) -> str:
    """Why a record has no time."""
    status = "left out" if record.status == "timeout" else record.status
    return f"{status}: {record.reason}"


def verdict(timed: Sequence[Record]) -> str:
    """Who is fastest of records sorted by time; a tie where the intervals of two overlap."""
    first, *rest = timed
    name = first.contender.partition("@")[0]
    if not rest:
        return f"{name} alone was timed"
    second = rest[0]
    if (second.ci_low_s or 0.0) <= (first.ci_high_s or 0.0):
        return f"{name} and {second.contender.partition('@')[0]} tie"
    factor = (second.median_s or 0.0) / (first.median_s or 1.0)
    return f"{name} is fastest, by a factor of {factor:.2g}"
