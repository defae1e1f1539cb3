"""The file of a machine's ceilings, ``results/<machine>/ceilings.json``: peak rates, bandwidths.

A ceiling is a maximum: measured again, the larger of each figure stays, so that a busy moment
cannot lower it. The dates and versions in the file are those of the last measurement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from convcross.machine import kept
from convkernels.problem import DTYPES

KIND = "ceilings"

Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Ceilings(BaseModel):
    """The file's content."""

    model_config = ConfigDict(extra="allow")
    kind: Literal["ceilings"] = "ceilings"
    machine: str
    device: str
    threads: int | None  # of a CPU's libraries, together; None for a GPU
    measured_at: str
    commit: str
    versions: dict[str, str | None]
    cuda: dict[str, str | None] | None
    flops: dict[str, Rate]  # FLOP/s for each dtype, and "tf32" on a GPU
    bytes: Annotated[list[tuple[int, Rate]], Field(min_length=1)]  # [working set, bytes/s], rising
    neighbours: dict[str, float]  # who else used the cores in the quietest round; {} for a GPU

    @field_validator("flops")
    @classmethod
    def _every_dtype(cls, rates: dict[str, float]) -> dict[str, float]:
        for dtype in DTYPES:
            if dtype not in rates:
                raise ValueError(f"no rate for {dtype}")
        return rates


def path(machine_name: str) -> Path:
    """Where the ceilings of a machine are kept, relative to the working directory."""
    return kept.path(machine_name, KIND)


def load(machine_name: str) -> dict[str, Any] | None:
    """The ceilings of a machine (``describe.name``), None where they were never measured.

    Raises BadInput on a file that is damaged or of another machine.
    """
    found = kept.load(Ceilings, machine_name, KIND, "convcross doctor --ceilings")
    return None if found is None else found.model_dump(mode="json")


def write(ceilings: Mapping[str, Any]) -> Path:
    """Keep ceilings in the place of what was there; the file. Raises BadInput where it cannot."""
    return kept.write(ceilings, KIND)


def better(earlier: Mapping[str, Any] | None, now: Mapping[str, Any]) -> dict[str, Any]:
    """The larger of each figure of two measurements of one machine, with the rest of ``now``."""
    if earlier is None:
        return dict(now)
    counts = [measured["threads"] for measured in (earlier, now) if measured["threads"] is not None]
    flops = dict(earlier["flops"])
    for name, rate in now["flops"].items():
        flops[name] = max(rate, flops.get(name, 0.0))
    steps = ladder((size, rate) for size, rate in [*earlier["bytes"], *now["bytes"]])
    return {
        **now,
        "neighbours": min(earlier["neighbours"], now["neighbours"], key=taken),
        "threads": max(counts, default=None),
        "flops": flops,
        "bytes": [list(step) for step in steps],
    }


def ladder(measured: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    """(working set, bytes/s) in rising order, a smaller set never slower than a larger one.

    Where it was measured slower, the overhead of a call showed and not the cache.
    """
    best = 0.0
    steps: dict[int, float] = {}
    for size, rate in sorted(measured, reverse=True):
        best = steps[size] = max(best, rate)
    return sorted(steps.items())


def taken(shares: Mapping[str, float]) -> float:
    """The share of the cores that others took, in all."""
    return sum(shares.values())
