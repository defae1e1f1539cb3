"""Where the time of a run goes: the stages of staged runs, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from convcross.stats.bootstrap import median
from convcross.text import one_line

# In the order of a run, as figures stack them; others follow by name.
ORDER = ("pad", "unfold", "forward", "multiply", "product", "inverse", "crop", "rest", "kernel")
COLUMNS = ["contender", "family", "N", "n", "stage", "seconds", "share"]
KERNEL = "kernel"  # see ``staging``
NAME = 40  # characters of a stage's name, which a contender may choose


def by_stage(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each contender, N, n and stage: the median over staged runs.

    Columns: contender, family, N, n, stage, seconds, and share, of load and run together. Empty
    where no staged run is recorded.

    Parameters
    ----------
    rows : usable grid of one set of conditions; column ``stages`` has stage → seconds
    """
    keys = COLUMNS[:4]
    found = [
        (*cell, one_line(stage, NAME), median(np.asarray(seconds)))
        for *cell, stages in zip(*(rows[key] for key in [*keys, "stages"]), strict=True)
        for stage, seconds in (stages or {}).items()
        if len(seconds)
    ]
    cells = pd.DataFrame(found, columns=[*keys, "stage", "seconds"])
    return shares(
        cells.groupby([*keys, "stage"], as_index=False).agg(seconds=("seconds", "median"))
    )


def shares(cells: pd.DataFrame, without: Sequence[str] = ()) -> pd.DataFrame:
    """The rows with each stage's share of its cell anew, some stages left out."""
    kept = cells[~cells["stage"].isin(without)]
    total = kept.groupby(["contender", "N", "n"])["seconds"].transform("sum")
    return kept.assign(share=kept["seconds"] / total)


def ordered(stages: Sequence[str]) -> list[str]:
    """Stages in the order in which they are stacked."""
    return sorted(set(stages), key=lambda name: (_place(name), name))


def _place(stage: str) -> int:
    return ORDER.index(stage) if stage in ORDER else ORDER.index("rest")
