"""The crossovers of the floors of a machine, as rows and as a table to read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from convcross.machine.floor_crossover import FFTS, UNPAIRED, Machine, best_tile, n_star
from convcross.text import binary, rate

HEADINGS = {"pipeline": "whole image", "fused": "in 3 kernels", "tiles": "tiles"}


@dataclasses.dataclass(frozen=True)
class Row:
    """n* for one size of image.

    Attributes
    ----------
    n_star : of each FFT in FFTS, its FLOP at the FMA peak: the least time
    n_star_unpaired : the same at half the peak
    tile : side of the best tile at n* of the tiles
    """

    N: int
    n_star: dict[str, float | None]
    n_star_unpaired: dict[str, float | None]
    tile: int | None


def rows(machine: Machine, sizes: Iterable[int]) -> list[Row]:
    """One row a size, n* to one decimal."""
    return [_row(machine, size) for size in sizes]


def _row(machine: Machine, size: int) -> Row:
    paired, unpaired = n_star(size, machine), n_star(size, machine, UNPAIRED)
    crossing = paired["tiles"]
    return Row(
        N=size,
        n_star=_rounded(paired),
        n_star_unpaired=_rounded(unpaired),
        tile=None if crossing is None else best_tile(size, crossing, machine),
    )


def _rounded(found: dict[str, float | None]) -> dict[str, float | None]:
    return {name: None if n is None else round(n, 1) for name, n in found.items()}


def to_json(machine: Machine, found: Sequence[Row]) -> dict[str, Any]:
    """The machine's fields, with "rows"."""
    return {
        "kind": "floor",
        "arithmetic_only": True,
        **dataclasses.asdict(machine),
        "rows": [dataclasses.asdict(row) for row in found],
    }


def print_table(machine: Machine, found: Sequence[Row]) -> None:
    """The rows, with what they rest on."""
    print(f"{machine.name}, {machine.dtype}: n* of direct and FFT by arithmetic, not measured")
    table = Table("N", *HEADINGS.values())
    for row in found:
        table.add_row(str(row.N), *(_cell(row, name) for name in FFTS))
    Console().print(table)
    print(
        f"{rate(machine.peak, 'FLOP')}, {rate(machine.bandwidth, 'B')}; "
        f"cache {binary(machine.cache)}, a tile's memory {binary(machine.tile_memory)}"
    )
    print(machine.source)


def _cell(row: Row, name: str) -> str:
    """n* where all FFT FLOP are paired into multiply-adds, to n* where none is."""
    ends = [row.n_star[name], row.n_star_unpaired[name]]
    text = " to ".join("–" if n is None else f"{n:.1f}" for n in dict.fromkeys(ends))
    return f"{text} ({row.tile}²)" if name == "tiles" and row.tile else text
