"""Grids by outputs whose n* is known: an FFT that shares spectra, against a direct sum."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convcross.results.schema import Record
from convkernels import Problem
from support import synthetic

KERNELS = (3, 5, 7, 9, 11, 13)
RATE = 1e10  # FLOP/s of the direct sum
# FLOP of a transform, of a product over all frequencies, of a filter's transform: with outputs of 8
# n* is 8 at 16 channels and 5 at 64 while the filter stays.
TRANSFORM, PRODUCT, FILTER = 53248.0, 1536.0, 4096.0


def run_flops(problem: Problem) -> float:
    """B·(C + K) transforms and B·C·K products."""
    images = problem.batch * (problem.in_channels + problem.out_channels)
    products = problem.batch * problem.in_channels * problem.out_channels
    return images * TRANSFORM + products * PRODUCT


def load_flops(problem: Problem) -> float:
    """C·K transforms."""
    return problem.in_channels * problem.out_channels * FILTER


def n_star(
    output: int, batch: int, channels: int, *, fresh: bool = False, pace: float = 1.0
) -> float:
    """Where 2·B·C²·n²·output² FLOP of the sum are those of the FFT, over its pace."""
    flops = 2 * TRANSFORM / channels + PRODUCT + (FILTER / batch if fresh else 0.0)
    return math.sqrt(flops / pace / 2) / output


def problem(output: int, n: int, batch: int, channels: int) -> Problem:
    side = output + n - 1
    many = {"batch": batch, "in_channels": channels, "out_channels": channels}
    return Problem((side, side), (n, n), op="correlation", mode="valid", **many)


def duel(cell: Problem, pace: float, rng: np.random.Generator, **changes: Any) -> list[Record]:
    """The sum and the FFT in one cell, in twelve rounds."""
    rounds = 12

    def record(name: str, run: float, load: float, **more: Any) -> Record:
        seconds = run * np.exp(0.01 * rng.standard_normal(rounds))
        fresh = (run + load) * np.exp(0.01 * rng.standard_normal(rounds))
        return synthetic.record(
            name,
            cell,
            phase_seconds={"run": seconds.tolist(), "fresh": fresh.tolist()},
            rounds=list(range(rounds)),
            fresh_rounds=list(range(rounds)),
            median_s=float(np.median(seconds)),
            settled=True,
            **{**more, **changes},
        )

    flops, once = run_flops(cell), load_flops(cell)
    return [
        record("direct/numpy", cell.flops / RATE, 0.0, declared_once_flops=0.0),
        record(
            "fft/numpy",
            flops / (pace * RATE),
            once / (pace * RATE),
            declared_flops=flops,
            declared_once_flops=once,
        ),
    ]


def duels(
    outputs: Iterable[int] = (8,),
    batches: Iterable[int] = (1, 4),
    channels: Iterable[int] = (16, 64),
    *,
    kernels: Sequence[int] = KERNELS,
    pace: float = 1.0,
    **changes: Any,
) -> list[list[Record]]:
    """A duel a cell; ``pace`` is the FFT's FLOP/s over RATE."""
    rng = np.random.default_rng(7)
    cells = [
        problem(output, n, batch, many)
        for output in outputs
        for n in kernels
        for batch in batches
        for many in channels
    ]
    return [duel(cell, pace, rng, **changes) for cell in cells]


def write(path: Path, found: Iterable[list[Record]], outputs: Sequence[int] = (8,)) -> Path:
    """A results file of a sweep by outputs."""
    head = synthetic.header()
    head.sweep["outputs"] = list(outputs)
    return synthetic.write(path, found, head)
