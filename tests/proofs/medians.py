"""Do the intervals of medians cover the truth, stopping rule included? Prints a table.

Streams of samples with a known median go through ``statistics.interleave`` itself, which looks,
stops and reports as it does in a sweep. Run by ``make proofs``; a short version is a test.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from convcross.measure.timing.sampling import Sample, interleave
from convcross.stats.median import median_interval

LIMIT = 400  # samples, as a sweep's at most


@dataclass(frozen=True)
class Stream:
    """LIMIT samples a trial, and the true median of the first ``count`` of them."""

    name: str
    draw: Callable[[np.random.Generator], np.ndarray]
    truth: Callable[[int], float]


def _mixture(share: float, low: float, high: float, noise: float) -> Stream:
    def cdf(value: float) -> float:
        below = stats.norm.cdf(value, low, noise * low)
        return float((1 - share) * below + share * stats.norm.cdf(value, high, noise * high) - 0.5)

    median = optimize.brentq(cdf, 0.5 * low, 2 * high)

    def draw(rng: np.random.Generator) -> np.ndarray:
        level = np.where(rng.random(LIMIT) < share, high, low)
        return level * (1 + noise * rng.standard_normal(LIMIT))

    return Stream(f"{share:.0%} at {high / low:g}x, noise {noise:.0%}", draw, lambda count: median)


def _jitter(spread: float) -> Stream:
    return Stream(
        f"log-normal jitter of {spread:.1%}",
        lambda rng: np.exp(spread * rng.standard_normal(LIMIT)),
        lambda count: 1.0,
    )


def _drift(slope: float, noise: float) -> Stream:
    ramp = slope * np.arange(LIMIT) / LIMIT
    return Stream(
        f"drift of {slope:.0%} in {LIMIT} samples, noise {noise:.0%}",
        lambda rng: 1 + ramp + noise * rng.standard_normal(LIMIT),
        lambda count: 1 + float(ramp[:count].mean()),  # symmetric: the median of the window
    )


STREAMS = [
    _jitter(0.005),
    _jitter(0.02),
    _jitter(0.05),
    _mixture(0.05, 1.0, 10.0, 0.02),
    _mixture(0.4, 1.0, 1.1, 0.01),
    _mixture(0.5, 1.0, 1.1, 0.01),
    _drift(0.05, 0.02),
]


def coverage(stream: Stream, trials: int, seed: int = 0) -> tuple[float, float]:
    """(share of trials whose interval covers the truth, mean samples taken)."""
    rng, order = np.random.default_rng(seed), random.Random(seed)
    covered = taken = 0
    for _ in range(trials):
        samples = iter(stream.draw(rng).tolist())
        action = {"one": lambda samples=samples: Sample(next(samples), 0.0)}
        series = interleave(action, seconds=1.0, samples=LIMIT, order=order)["one"]
        _, low, high = median_interval(series.samples)
        covered += low <= stream.truth(len(series.samples)) <= high
        taken += len(series.samples)
    return covered / trials, taken / trials


def main(trials: int) -> int:
    print(f"{'stream':44} {'covered':>8} {'samples':>8}   ({trials} trials; at least 94 %)")
    failed = 0
    for stream in STREAMS:
        share, samples = coverage(stream, trials)
        failed += share < 0.94
        print(f"{stream.name:44} {share:8.1%} {samples:8.0f}")
    return failed


if __name__ == "__main__":
    sys.exit(main(5000))
