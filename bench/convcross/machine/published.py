"""Published peaks of cards and processors that are not here: ``published.toml``, as typed data."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from convcross.errors import BadInput
from convcross.machine.floor_crossover import Machine

FILE = Path(__file__).with_name("published.toml")

Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Bytes = Annotated[int, Field(gt=0)]
Document = Annotated[str, Field(pattern=r"\b20\d\d\b")]  # a document of the vendor, and its year


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Source(Strict):
    """Where each figure is from."""

    flops: Document
    bandwidth: Document
    cache: Document
    tile_memory: Document


class Published(Strict):
    """One card or processor; ``published.toml`` says what its figures are."""

    title: str
    float32: Rate
    float64: Rate
    bandwidth: Rate
    cache: Bytes
    tile_memory: Bytes
    source: Source


def parse(text: str) -> dict[str, Published]:
    """What a file of this form holds, by name. Raises pydantic's ValidationError."""
    return TypeAdapter(dict[str, Published]).validate_python(tomllib.loads(text))


@functools.cache
def cards() -> dict[str, Published]:
    """Every card and processor that is known, by the name that ``--card`` takes."""
    return parse(FILE.read_text(encoding="utf-8"))


def machine(name: str, dtype: str) -> Machine:
    """A published card as the floors want it. Raises BadInput on a name that is not known."""
    if name not in cards():
        raise BadInput(f"card is {name!r}; allowed: {', '.join(cards())}")
    card = cards()[name]
    return Machine(
        name=card.title,
        dtype=dtype,
        peak={"float32": card.float32, "float64": card.float64}[dtype],
        bandwidth=card.bandwidth,
        cache=card.cache,
        tile_memory=card.tile_memory,
        source="; ".join(f"{figure}: {text}" for figure, text in _by_document(card.source)),
    )


def _by_document(source: Source) -> list[tuple[str, str]]:
    """(figures, document): each document once."""
    figures: dict[str, list[str]] = {}
    for figure, text in source.model_dump().items():
        figures.setdefault(text, []).append(figure.replace("flops", "peak").replace("_", " "))
    return [(", ".join(names), text) for text, names in figures.items()]
