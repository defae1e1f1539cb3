"""n* by output, batch and channels, of a grid by outputs: by how much reuse of spectra moves it.

In an FFT channels share spectra: B·C images, C·K filters and B·K results are transformed for B·C·K
products at each frequency. The more channels and images, the less the transforms weigh, and n*
falls towards that of the products alone.

Measured, it is the crossover of the fastest contender of all other families and the fastest FFT, by
the curves and the verdict of every other crossover. By arithmetic, it is that verdict on

    time of the others / time of FFT = (FLOP of the others / FLOP of FFT) · pace

of the least FLOP that a contender of either side declares in its records. Pace is FFT's FLOP/s over
the others': 1, or one number for the whole grid, the median of what was measured. So the arithmetic
may be right on where n* lies by its pace, and on how n* moves by the FLOP alone.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from convcross.analysis import scaled
from convcross.analysis.crossover.curves import Grid
from convcross.analysis.crossover.sides import Pair
from convcross.analysis.crossover.verdict import Curve, Verdict, judge
from convcross.analysis.grids import by_output
from convcross.analysis.load import CONDITIONS, Results, failed, refused
from convcross.stats.bootstrap import Array
from convcross.text import one_line

log = logging.getLogger("convcross")

PAIR: Pair = ("others", "fft")
SHARED = [key for key in CONDITIONS if key not in ("batch", "channels")]
ROUNDING = 1 + 1e-9  # what by arithmetic is one number may differ by so much
# Phase → columns of the FLOP that it takes. Planning is more than FLOP.
FLOPS = {"steady": ["declared_flops"], "fresh": ["declared_flops", "declared_once_flops"]}


@dataclass(frozen=True)
class Star:
    """Where FFT overtakes all others, at one output, batch and number of channels.

    Attributes
    ----------
    output : pixels of a side
    channels : of the images, and as many of the results
    kernels : kernel sizes at which both sides have a time
    measured : with its interval
    representatives : the contenders compared, of the others and of FFT: see ``Curve.compared``
    paced, alone : by arithmetic, at the pace of the grid and of FLOP alone; None without FLOP
    """

    output: int
    batch: int
    channels: int
    kernels: list[int]
    measured: Verdict
    representatives: tuple[list[str], list[str]]
    paced: Verdict | None
    alone: Verdict | None


@dataclass(frozen=True)
class Stars:
    """n* over one grid by outputs.

    Attributes
    ----------
    conditions : those of ``SHARED``
    phase : "steady", "fresh" or "first"
    pace : FLOP/s of FFT over the others', the median of the grid; None where FLOP are not known
    stars : by output, batch and channels, rising
    scaled : a sentence on problems that stand for larger ones, or ""
    """

    machine: str
    conditions: Mapping[str, Any]
    phase: str
    pace: float | None
    stars: list[Star]
    scaled: str


def of_results(results: Results, phase: str = "steady") -> list[Stars]:
    """n* of each grid by outputs in the files, in time; none where no file has such a grid."""
    rows = _grid(results.frame)
    if rows.empty:
        return []
    flops, grid = _flops(rows, phase), Grid(rows, phase, "time", "output")
    grids: dict[tuple[Any, ...], list[tuple[dict[str, Any], int, Curve, Array]]] = {}
    for conditions, output, curve in grid.curves(PAIR):
        ratio = _log_ratio(flops, (*conditions.values(), output), curve)
        own = tuple(conditions[key] for key in SHARED)
        grids.setdefault(own, []).append((conditions, output, curve, ratio))
    for note in dict.fromkeys(grid.notes):
        log.warning(one_line(note))
    found = []
    for own, cells in grids.items():
        slower = [curve.ratio - ratio for _, _, curve, ratio in cells if np.isfinite(ratio).all()]
        pace = float(np.median(np.concatenate(slower))) if slower else None  # its logarithm
        stars = [_star(*cell, pace) for cell in cells]
        here = rows[[row == own for row in zip(*(rows[key] for key in SHARED), strict=True)]]
        found.append(
            Stars(
                machine=results.machine,
                conditions={key: _plain(value) for key, value in zip(SHARED, own, strict=True)},
                phase=phase,
                pace=None if pace is None else math.exp(pace),
                stars=sorted(stars, key=lambda one: (one.output, one.batch, one.channels)),
                scaled=scaled.said(here["scaled"]),
            )
        )
    return found


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, np.integer) else value


def _grid(frame: pd.DataFrame) -> pd.DataFrame:
    """The usable rows by output, with N the side of the output, and of families fft and others.

    Only an FFT that refuses a kernel leaves the grid for it (see ``Grid``): that an algorithm for
    kernels of 3 alone refuses one of 5 is why the others are slower there.
    """
    rows = frame[by_output(frame)]
    rows = rows[rows["channels"].map(lambda channels: isinstance(channels, int)).astype(bool)]
    if not rows["usable"].any():
        return rows.iloc[:0]
    rows = rows.assign(
        N=[problem.output[1] for problem in rows["problem"]],
        family=rows["family"].where(rows["family"] == PAIR[1], PAIR[0]),
        is_grid=True,
    )
    none: frozenset[str] = frozenset()
    refusals = zip(rows["family"], refused(rows), strict=True)
    rows = rows.assign(
        failed=pd.Series(failed(rows), index=rows.index, dtype=object),
        refused=pd.Series(
            [names if family == PAIR[1] else none for family, names in refusals],
            index=rows.index,
            dtype=object,
        ),
    )
    return rows[rows["usable"]]


def _flops(rows: pd.DataFrame, phase: str) -> dict[tuple[Any, ...], float]:
    """(conditions, output, n, family) → the least FLOP that a contender declares for the phase."""
    if phase not in FLOPS:
        return {}
    needed = rows[FLOPS[phase]].sum(axis=1, skipna=False)
    keys = [rows[key] for key in (*CONDITIONS, "N", "n", "family")]
    least = needed.where(needed > 0).groupby(keys, sort=False).min().dropna()
    return dict(zip(least.index, least, strict=True))


def _log_ratio(flops: Mapping[Any, float], place: tuple[Any, ...], curve: Curve) -> Array:
    """(K,) log of the FLOP of the others over those of FFT; NaN where they are not known."""
    a, b = (np.log([flops.get((*place, int(n), side), math.nan) for n in curve.n]) for side in PAIR)
    ratio: Array = a - b
    return ratio


def _star(
    conditions: Mapping[str, Any], output: int, curve: Curve, ratio: Array, pace: float | None
) -> Star:
    measured = judge(curve, math.inf)
    known = pace is not None and bool(np.isfinite(ratio).all())
    return Star(
        output=int(output),
        batch=int(conditions["batch"]),
        channels=int(conditions["channels"]),
        kernels=[int(n) for n in curve.n],
        measured=measured,
        representatives=curve.compared(measured.n_star),
        paced=_by_arithmetic(curve.n, ratio + pace) if known and pace is not None else None,
        alone=_by_arithmetic(curve.n, ratio) if known else None,
    )


def _by_arithmetic(n: Array, ratio: Array) -> Verdict:
    """The verdict on log ratios that have no spread."""
    return judge(Curve(n, ratio, ratio[:, None], np.zeros(len(n)), exact=True), math.inf)


# ---- whether it moves ------------------------------------------------------------------------


@dataclass(frozen=True)
class Move:
    """n* at both ends of an axis, all else alike."""

    first: Star
    last: Star


def moves(stars: Sequence[Star], axis: str) -> list[Move]:
    """From the least to the most of "channels" or "batch", of all that have both."""
    ends = [getattr(star, axis) for star in stars]
    least, most = min(ends, default=0), max(ends, default=0)
    if least == most:
        return []
    other = "batch" if axis == "channels" else "channels"
    groups: dict[tuple[int, int], dict[int, Star]] = {}
    for star in stars:
        groups.setdefault((star.output, getattr(star, other)), {})[getattr(star, axis)] = star
    return [Move(own[least], own[most]) for own in groups.values() if {least, most} <= set(own)]


def sense(first: Verdict, last: Verdict) -> int:
    """-1 where n* falls from the first to the last, 1 where it rises: their intervals, or what the
    bounds leave open, have no common point. Else 0."""
    before, after = _span(first), _span(last)
    return int(after[0] > before[1] * ROUNDING) - int(after[1] * ROUNDING < before[0])


def _span(found: Verdict) -> tuple[float, float]:
    if found.n_star is not None:
        return found.low or found.n_star, found.high or found.n_star
    return found.low or 0.0, found.high or math.inf
