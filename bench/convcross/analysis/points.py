"""Every measurement as one row, whatever became of it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from convcross.analysis.load import CONDITIONS
from convcross.analysis.tables import describe


def points(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a record, by conditions, image, kernel and contender.

    Times are seconds, as they were measured (not divided by ``pacer_ratio``). Columns: the
    conditions, N, n, problem, contender, family, threads, seed, status, reason, flags, samples,
    median_s with its 95 % interval low_s to high_s, settled, p95_s (95 % of the samples take no
    longer; none of fewer than 20), launches, spread_percent (standard deviation between launches,
    over the contender's cells), preempted_percent (of the samples, that waited for a core and are
    in none of these), floor_s, floor_percent (the floor's share of the median), error (relative
    L2), pacer_ratio, is_grid.
    """
    problems = {problem: describe(problem) for problem in frame["problem"].unique()}
    pacer, timed = frame["pacer"], frame["seconds"].notna()
    found = frame[[*CONDITIONS, "N", "n"]].assign(
        problem=frame["problem"].map(problems),
        contender=frame["contender"],
        family=frame["family"],
        threads=frame["threads"],
        seed=frame["seed"],
        status=frame["status"],
        reason=frame["reason"],
        flags=frame["flags"].map(" ".join),
        samples=frame["run"].map(len).where(~frame["summary"], 0),
        median_s=frame["seconds"] * pacer,
        low_s=frame["low"] * pacer,
        high_s=frame["high"] * pacer,
        settled=frame["settled"].where(timed & ~frame["summary"]),
        p95_s=frame["p95"] * pacer,
        launches=[len(np.unique(launches)) for launches in frame["run_launches"]],
        spread_percent=100 * frame["spread"],
        preempted_percent=100 * frame["waited"],
        floor_s=frame["floor"],
        floor_percent=100 * frame["floor"] / (frame["seconds"] * pacer),
        error=frame["error"],
        pacer_ratio=pacer,
        is_grid=frame["is_grid"],
    )
    order = ["device", "regime", "dtype", "op", "mode", "data", "N", "n", "contender", "seed"]
    return found.sort_values(order, kind="stable", na_position="first").reset_index(drop=True)
