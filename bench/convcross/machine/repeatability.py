"""The file of what a machine can tell apart, ``results/<machine>/repeatability.json``.

Processes of one program differ on one machine, by layout, placement and neighbours; a difference
between two runs is one only where it is larger than that.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field
from scipy import special

from convcross.machine import kept
from convcross.stats import launches

KIND = "repeatability"
CONFIDENCE = 0.99  # that two runs of the same code lie within the smallest difference told

Positive = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Repeat(BaseModel):
    """A contender's processes at one image size.

    Attributes
    ----------
    N : side of the image
    deviation : between processes, of the logarithm of the time
    within : half width of the interval of one process, relative: what it knows of itself
    launches : processes
    cells : kernel sizes at which they have levels of their own (``stats.launches.Spread``)
    slow : how many of them make a group of their own, and how many times slower that is
    """

    contender: str
    device: str
    regime: str
    N: int
    deviation: Positive
    within: Positive
    launches: Annotated[int, Field(ge=2)]
    cells: Annotated[float, Field(ge=1, allow_inf_nan=False)]
    slow: tuple[int, Positive] | None = None

    def smallest(self, first: int, second: int) -> float:
        """The logarithm of the smallest ratio that two runs of so many launches tell apart."""
        error = math.hypot(*(launches.of_median(self.deviation, one) for one in (first, second)))
        freedom = launches.freedom(self.launches, self.cells)
        return error * float(special.stdtrit(freedom, (1 + CONFIDENCE) / 2))


class Repeatability(BaseModel):
    """The file's content."""

    kind: Literal["repeatability"] = "repeatability"
    machine: str
    measured_at: str
    commit: str
    sweep: str
    repeats: list[Repeat]

    def of(self, contender: str, device: str, regime: str, N: int) -> Repeat | None:
        """What was measured of a contender, at the image size that is nearest to N."""
        found = [
            repeat
            for repeat in self.repeats
            if (repeat.contender, repeat.device, repeat.regime) == (contender, device, regime)
        ]
        return min(found, key=lambda one: abs(math.log(one.N / N)), default=None)


def load(machine_name: str) -> Repeatability | None:
    """What is known of a machine, None where it was never measured.

    Raises BadInput on a file that is damaged or of another machine.
    """
    return kept.load(Repeatability, machine_name, KIND, "convcross repeatability")


def write(found: Repeatability) -> Path:
    """Keep it in the place of what was there; the file. Raises BadInput where it cannot."""
    return kept.write(found.model_dump(mode="json"), KIND)
