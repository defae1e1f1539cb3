"""Contenders that exist on paper: what they declare, and the seconds that they would take."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from convkernels import Cost, Problem

OVERHEAD = 3e-6  # seconds a call
RATE, BANDWIDTH = 5e10, 1e10  # FLOP and bytes a second of one core


@dataclass(frozen=True)
class Planted:
    """A contender's declared cost and its true seconds, of a problem."""

    name: str
    cost: Callable[[Problem], Cost]
    seconds: Callable[[Problem], float]

    def measured(
        self,
        problems: list[Problem],
        rng: np.random.Generator,
        *,
        noise: float = 0.05,
        disturbed: float = 0.1,
    ) -> list[float]:
        """Seconds with noise; this share of them beside a neighbour, 1.3 to 3 times as long."""
        true = np.array([self.seconds(problem) for problem in problems])
        factor = np.exp(noise * rng.standard_normal(len(true)))
        beside = rng.random(len(true)) < disturbed
        slower = np.where(beside, rng.uniform(1.3, 3.0, len(true)), 1.0)
        return [float(value) for value in true * factor * slower]


def declared(problem: Problem) -> Cost:
    return Cost(problem.flops, problem.min_bytes)


def smooth(problem: Problem) -> float:
    return OVERHEAD + problem.flops / RATE + problem.min_bytes / BANDWIDTH


def tiles(problem: Problem) -> Cost:
    """Work in whole tiles of 32 × 64 outputs, which the contender declares."""
    rows, columns = problem.output
    count = problem.batch * -(-rows // 32) * -(-columns // 64)
    pairs = problem.in_channels // problem.groups * problem.out_channels
    flops = 2.0 * count * 32 * 64 * pairs * math.prod(problem.kernel)
    return Cost(flops, problem.min_bytes)


def padded(problem: Problem) -> Cost:
    """Transforms of the next power of two, which the contender declares."""
    side = 2 ** math.ceil(math.log2(max(problem.image) + max(problem.kernel) // 2))
    images = problem.batch * (problem.in_channels + problem.out_channels)
    filters = problem.in_channels // problem.groups * problem.out_channels
    transform = 5.0 * side**2 * math.log2(side)
    work = 4.0 * problem.batch * filters * side**2 + images * transform
    return Cost(work, 16.0 * images * side**2, 8.0 * images * side**2, filters * transform)


def computing(cost: Callable[[Problem], Cost]) -> Callable[[Problem], float]:
    def seconds(problem: Problem) -> float:
        found = cost(problem)
        return OVERHEAD + found.flops / RATE + found.bytes / BANDWIDTH

    return seconds


def threaded(problem: Problem) -> float:
    """On a second core from a million FLOP on, which takes 20 µs to wake."""
    alone = problem.flops / RATE
    return OVERHEAD + (alone if problem.flops < 1e6 else 2e-5 + alone / 2)


def cached(problem: Problem) -> float:
    """At a third of the bandwidth past 4 MB."""
    slow = 3.0 if problem.min_bytes > 4e6 else 1.0
    return OVERHEAD + problem.flops / (2 * RATE) + 10 * slow * problem.min_bytes / BANDWIDTH


def regimes(problem: Problem) -> float:
    """Code of its own for kernels of up to 7 rows, 2.5 times as fast, and for many channels."""
    fast = 2.5 if problem.kernel[0] <= 7 else 1.0
    return OVERHEAD + problem.flops / (RATE * fast * min(4.0, problem.in_channels**0.5))


PLANTED = [
    Planted("smooth", declared, smooth),
    Planted("tiles, declared", tiles, computing(tiles)),
    Planted("tiles, not declared", declared, computing(tiles)),
    Planted("powers of two, declared", padded, computing(padded)),
    Planted("a second thread past 1 MFLOP", declared, threaded),
    Planted("a cache of 4 MB", declared, cached),
    Planted("three codes", declared, regimes),
]


def drawn(rng: np.random.Generator, count: int) -> list[Problem]:
    """Problems log-uniform in their sizes: half of one channel, a quarter batches, a quarter
    channels."""

    def between(least: float, most: float) -> int:
        return round(math.exp(rng.uniform(math.log(least), math.log(most))))

    found = []
    for number in range(count):
        kernel = 2 * between(1, 31) + 1
        if number % 4 < 2:
            sizes = (between(64, 1024), 1, 1, 1)
        elif number % 4 == 2:
            sizes = (between(64, 512), between(2, 32), 1, 1)
        else:
            sizes = (between(16, 128), between(1, 16), between(3, 128), between(16, 128))
        side, batch, channels, filters = sizes
        found.append(
            Problem(
                (side, side),
                (kernel, kernel),
                batch=batch,
                in_channels=channels,
                out_channels=filters,
                mode="same",
            )
        )
    return found
