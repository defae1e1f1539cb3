"""What may stand in a results file, whoever wrote it: numbers that are finite, names that show.

The bounds are far beyond any measurement: a value past them would overflow in the analysis, or
break out of a line or a figure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from convcross.errors import first_complaint
from convcross.text import one_line
from convkernels.registry import LONGEST

MOST_ROUNDS = 1_000_000  # of a duel and memory group


def _printable(name: str) -> str:
    if name != one_line(name):
        raise ValueError(f"name is {name!r}; allowed: printable text on one line")
    return name


Name = Annotated[str, Field(min_length=1, max_length=LONGEST), AfterValidator(_printable)]
Positive = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]  # of a filter
Rate = Annotated[float, Field(ge=1, le=1e30, allow_inf_nan=False)]  # FLOP/s, bytes/s
Round = Annotated[int, Field(ge=0, lt=MOST_ROUNDS)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Threads = Annotated[int, Field(ge=1, le=1_000_000)]


class _Ceilings(BaseModel):
    device: Name = "cpu"
    flops: dict[str, Rate] = {}
    bytes: list[tuple[Positive, Rate]] = []


def _holding(model: type[BaseModel]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A check of those keys that the analysis uses; all stay as they are, and others too."""

    def check(value: dict[str, Any]) -> dict[str, Any]:
        try:
            model.model_validate(value)
        except ValidationError as error:
            raise ValueError(first_complaint(error)) from None
        return value

    return check


Ceilings = Annotated[dict[str, Any], AfterValidator(_holding(_Ceilings))]
