"""How often does ``compare`` call equal cells slower or faster, and does it find what is? Tables.

One launch: two files of the same times, each cell of each with its own samples, log-normal by 3 %,
of which one in twenty takes 2 to 10 times as long. A comparison is false where any of its cells is
said to differ; where all are equal, Benjamini and Hochberg's bound is that of a false comparison
too.

Several launches: two runs of twelve cells, whose launches have levels of their own as in
``launches``: shared by all cells of a run's process, of each cell for itself, half of both, or
bimodal. Counted are the cells that are called slower, and those called faster, of runs of the same
code; and the cells called slower where the second run is slower by 10 % in all of them.

Run by ``make proofs``; a short version is a test.
"""

from __future__ import annotations

import sys

import numpy as np

from convcross.analysis.compare.cells import ALPHA
from convcross.analysis.crossover.verdict import TIE
from convcross.stats import launches as statistics
from convcross.stats.two_samples import adjusted, mann_whitney
from proofs.launches import LAUNCHES, LEVELS, offsets

CELLS = (1, 10, 40)
SAMPLES = (8, 18, 62)
DEVIATIONS = (0.01, 0.02, 0.05)
KERNELS = 12  # cells of a run of several launches
SLOWED, FOUND = np.log(1.1), 0.9
TELLING = {3: 0.01, 5: 0.02}  # launches → deviation up to which 10 % are to be found
EACH = 0.01  # of equal cells, slower, and faster


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


def called(
    kind: str, deviation: float, launches: int, count: int, slowed: float = 0.0, seed: int = 0
) -> tuple[float, float]:
    """The shares of cells called slower and faster, of so many pairs of runs."""
    rng = np.random.default_rng(seed)
    signs = np.zeros((count, KERNELS))
    for trial in range(count):
        a, b = (
            np.stack([offsets(kind, deviation, (1, KERNELS), rng)[0] for _ in range(launches)]).T
            for _ in range(2)
        )
        b = b + slowed
        spreads = [statistics.pooled(own) for own in (a, b)]
        found = [
            statistics.difference(one, spreads[0], other, spreads[1])
            for one, other in zip(a, b, strict=True)
        ]
        apart = np.array(adjusted([one.p for one in found])) < ALPHA
        points = np.array([one.point for one in found])
        signs[trial] = np.sign(points) * (apart & (np.abs(points) >= TIE))
    return float(np.mean(signs > 0)), float(np.mean(signs < 0))


def main(count: int) -> int:
    print(f"{count} comparisons of equal cells a row; at most {ALPHA:.1%} are to be false")
    print(f"{'cells':>6} {'false comparisons':>18}")
    failed = 0
    for cells in CELLS:
        share = false(cells, count)
        print(f"{cells:6} {share:18.2%}")
        failed += share > ALPHA + 3 * np.sqrt(ALPHA / count)
    print(
        f"{count} pairs of runs a row; at most {EACH:.0%} of cells of the same code slower, and "
        f"faster; of cells slower by 10 %, {FOUND:.0%} are found where 3 launches lie "
        f"{TELLING[3]:.0%} apart or less, 5 {TELLING[5]:.0%}\n"
        f"{'levels':8} {'SD':>4} {'launches':>8} {'slower':>7} {'faster':>7} {'10 % found':>11}"
    )
    for kind in LEVELS:
        for deviation in DEVIATIONS:
            for launches in LAUNCHES:
                slower, faster = called(kind, deviation, launches, count)
                power, _ = called(kind, deviation, launches, count, SLOWED)
                missed = max(slower, faster) > EACH
                missed |= kind != "bimodal" and deviation <= TELLING[launches] and power < FOUND
                failed += missed
                print(
                    f"{kind:8} {deviation:4.0%} {launches:8} {slower:7.2%} {faster:7.2%} "
                    f"{power:11.1%}{'  missed' if missed else ''}",
                    flush=True,
                )
    return failed


if __name__ == "__main__":
    sys.exit(main(1000))
