"""The file of a machine's ceilings, ``results/<machine>/ceilings.json``: peak rates, bandwidths.

A ceiling is a maximum: measured again, the larger of each figure stays, so that a busy moment
cannot lower it. The dates and versions in the file are those of the last measurement.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from convcross.errors import BadInput, first_complaint
from convkernels.problem import DTYPES

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
    return Path("results") / machine_name / "ceilings.json"


def load(machine_name: str) -> dict[str, Any] | None:
    """The ceilings of a machine (``describe.name``), None where they were never measured.

    Raises BadInput on a file that is damaged or of another machine.
    """
    file = path(machine_name)
    try:
        found = Ceilings.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadInput(f"ceilings file {file} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise BadInput(
            f"ceilings file {file}: {first_complaint(error)}; "
            "allowed: what convcross doctor --ceilings writes"
        ) from None
    if found.machine != machine_name:
        raise BadInput(
            f"ceilings file {file}: machine is {found.machine!r}; allowed: {machine_name}"
        )
    return found.model_dump(mode="json")


def write(ceilings: Mapping[str, Any]) -> Path:
    """Keep ceilings in the place of what was there; the file. Raises BadInput where it cannot."""
    file = path(ceilings["machine"])
    beside = file.with_suffix(".tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(ceilings, indent=1, allow_nan=False) + "\n")
        os.replace(beside, file)
    except OSError as error:
        raise BadInput(f"ceilings file {file} cannot be written: {error.strerror}") from None
    return file


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
