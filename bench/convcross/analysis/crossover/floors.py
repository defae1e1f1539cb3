"""Where the floors of direct and FFT cross on the machine of a results file: arithmetic."""

from __future__ import annotations

from collections.abc import Iterable

from convcross.analysis.crossover.sides import Pair
from convcross.analysis.load import Results
from convcross.machine import floor_crossover

# The floors of an FFT that are told beside what was measured, by their names in floor_crossover.
TOLD = {"pipeline": "fft (whole image)", "tiles": "fft (tiles)"}


def crossings(
    results: Results, device: str, dtype: str, N: int
) -> Iterable[tuple[Pair, float | None]]:
    """(pair, n*) of each floor, n* None where that of the direct sum is the lower one throughout.

    Nothing where the files name no ceilings of the device, or the dtype has no floor.
    """
    for header in reversed(results.headers):
        ceilings = header.ceilings
        if ceilings is None or ceilings["device"] != device:
            continue
        if dtype not in floor_crossover.DTYPES or dtype not in ceilings["flops"]:
            continue
        try:
            machine = floor_crossover.measured(ceilings, header.machine, dtype)
            found = floor_crossover.n_star(N, machine)
        except (KeyError, TypeError, ValueError, StopIteration):  # a header that is another's
            continue
        yield from ((("direct", name), found[key]) for key, name in TOLD.items())
        return
