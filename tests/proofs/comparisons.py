"""How often does ``compare`` call equal cells slower or faster? Prints a table.

Two files of the same times: each cell of each has its own samples, log-normal by 3 %, of which one
in twenty takes 2 to 10 times as long. A comparison is false where any of its cells is said to
differ; where all are equal, Benjamini and Hochberg's bound is that of a false comparison too.
Run by ``make proofs``; a short version is a test.
"""

from __future__ import annotations

import sys

import numpy as np

from convcross.analysis.compare.compare import ALPHA
from convcross.stats.two_samples import adjusted, mann_whitney

CELLS = (1, 10, 40)
SAMPLES = (8, 18, 62)


def times(rng: np.random.Generator, count: int) -> np.ndarray:
    late = np.where(rng.random(count) < 0.05, rng.uniform(2, 10, count), 1.0)
    return 1e-3 * np.exp(0.03 * rng.standard_normal(count)) * late


def false(cells: int, count: int, seed: int = 0) -> float:
    """The share of so many comparisons in which a cell is said to differ."""
    rng = np.random.default_rng(seed)
    found = 0
    for _ in range(count):
        sizes = rng.choice(SAMPLES, cells)
        p = [mann_whitney(times(rng, size), times(rng, size)) for size in sizes]
        found += min(adjusted(p)) < ALPHA
    return found / count


def main(count: int) -> int:
    print(f"{count} comparisons of equal cells a row; at most {ALPHA:.1%} are to be false")
    print(f"{'cells':>6} {'false comparisons':>18}")
    failed = 0
    for cells in CELLS:
        share = false(cells, count)
        print(f"{cells:6} {share:18.2%}")
        failed += share > ALPHA + 3 * np.sqrt(ALPHA / count)
    return failed


if __name__ == "__main__":
    sys.exit(main(1000))
