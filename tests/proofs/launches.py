"""Do intervals hold in the next process? Prints a table.

The curves of ``crossovers``, with and without a crossing, measured in several launches, of which
each has levels of its own: shared by all cells of a contender, of each cell for itself, half of
both, or bimodal (one process in five is slower by 40 % throughout). The truth is the median over
all processes that might have been.

Coverage is of medians (of one contender in a random cell), of the log ratio there, and of n*. A
second table tells how often launches of one kind are said to be of two, and how often a slow mode
is found.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from convcross.analysis.crossover import sides as pairs
from convcross.analysis.crossover.curves import Side, curve
from convcross.analysis.crossover.verdict import Curve, Verdict, judge
from convcross.stats import launches as statistics
from convcross.stats import modes
from convcross.stats.bootstrap import in_rounds
from convcross.stats.percentile import interval
from proofs.crossovers import CROSSING, EXTREME, NONE, Planted, disturbed, draw, true

COVERED, FALSE = 0.93, 0.07
LAUNCHES = (3, 5)
DEVIATIONS = (0.01, 0.05, 0.2)
SLOW, HOW_OFTEN = np.log(1.4), 0.2  # of the bimodal ones
LEVELS = ("shared", "own", "both", "bimodal")
ROUNDS = (8, 12, 18)  # a launch


def offsets(
    kind: str, deviation: float, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """(contenders, cells) by which the logarithms of times of one launch are off."""
    shared = rng.standard_normal((shape[0], 1))
    own = rng.standard_normal(shape)
    if kind == "bimodal":
        slow: np.ndarray = SLOW * (rng.random((shape[0], 1)) < HOW_OFTEN) + deviation / 10 * own
        return slow
    weights = {"shared": (1.0, 0.0), "own": (0.0, 1.0), "both": (0.5**0.5, 0.5**0.5)}[kind]
    found: np.ndarray = deviation * (weights[0] * shared + weights[1] * own)
    return found


def measured(
    planted: Planted, kind: str, deviation: float, launches: int, rng: np.random.Generator
) -> Curve:
    """The curve as the analysis makes it of so many launches."""
    costs = np.concatenate([planted.a, planted.b])
    spread = float(np.exp(rng.uniform(*np.log([0.003, 0.05]))))
    times, of, rounds = [], [], []
    for launch in range(1, launches + 1):
        count = int(rng.choice(ROUNDS))
        level = np.exp(offsets(kind, deviation, costs.shape, rng))
        times.append(disturbed(rng, costs * level, count, spread))
        of.append(np.full(count, launch))
        rounds.append(1000 * launch + np.arange(count))
    every, launch_of, round_of = (
        np.concatenate(times, -1),
        np.concatenate(of),
        np.concatenate(rounds),
    )
    found: list[Side] = []
    for own in np.split(every, [len(planted.a)]):
        side: Side = {}
        for cell, n in enumerate(planted.n):
            named = {
                str(number): in_rounds(samples, round_of, launch_of)
                for number, samples in enumerate(own[:, cell])
            }
            chosen, stands = pairs.representative(named)
            side[int(n)] = stands, sorted(set(chosen.values()))
        found.append(side)
    return curve(*found)


def median_covered(kind: str, deviation: float, launches: int, rng: np.random.Generator) -> bool:
    """Whether the interval of a median, pooled over eight cells, has the truth."""
    cells = 8
    levels = np.stack(
        [
            offsets(kind, deviation, (1, cells), rng)[0] + 0.003 * rng.standard_normal(cells)
            for _ in range(launches)
        ]
    ).T
    reach = statistics.pooled(levels).reach(levels[0])
    return bool(abs(np.median(levels[0])) <= reach)


@dataclass(frozen=True)
class Outcome:
    """Shares of the trials; half-widths are medians, relative."""

    medians: float
    ratios: float
    n_star: float
    width: float
    false: float  # statements on n*, of all planted curves
    extreme: float

    @property
    def fails(self) -> bool:
        covered = min(self.medians, self.ratios, self.n_star) >= COVERED
        return not covered or self.false > FALSE or self.extreme > EXTREME


def trials(kind: str, deviation: float, launches: int, count: int, seed: int = 0) -> Outcome:
    rng = np.random.default_rng(seed)
    planted = [draw(name, rng) for _ in range(count // 8) for name in (*CROSSING, *list(NONE)[:3])]
    ratios, crosses, right, extreme = [], [], [], 0
    for one in planted:
        found = measured(one, kind, deviation, launches, rng)
        cell = int(rng.integers(len(one.n)))
        low, high = interval(found.replicates[cell])
        ratio = np.log(one.a.min(axis=0) / one.b.min(axis=0))[cell]
        ratios.append(low <= ratio <= high)
        verdict = judge(found, one.N)
        right.append(true(verdict, one))
        extreme += _extreme(verdict, one)
        if verdict.verdict == "crosses" and verdict.low and verdict.high:
            crosses.append((right[-1], (verdict.high / verdict.low) ** 0.5 - 1))
    ok, widths = zip(*crosses, strict=True) if crosses else ((True,), (0.0,))
    return Outcome(
        float(np.mean([median_covered(kind, deviation, launches, rng) for _ in range(count)])),
        float(np.mean(ratios)),
        float(np.mean(ok)),
        float(np.median(widths)),
        1 - float(np.mean(right)),
        extreme / len(planted),
    )


def _extreme(verdict: Verdict, planted: Planted) -> bool:
    """``always`` or ``never`` of a curve that is neither."""
    return verdict.verdict in ("always", "never") and planted.truth not in (0.0, np.inf)


def two_kinds(launches: int, apart: float, count: int, seed: int = 0) -> float:
    """The share of so many trials in which launches seem to be of two kinds, where three in ten
    (at least one) are slower by so many standard deviations of the others."""
    rng = np.random.default_rng(seed)
    slow = np.arange(launches) < max(1, round(0.3 * launches))
    rows = rng.standard_normal((count, launches)) + apart * slow
    return float(np.mean([modes.upper(row) > 0 for row in rows]))


def main(count: int) -> int:
    print(
        f"{count} trials a row; at least {COVERED:.0%} of intervals cover, at most {FALSE:.0%} of "
        f"statements on n* are false, at most {EXTREME:.0%} always or never\n"
        f"{'levels':8} {'SD':>4} {'launches':>8} {'medians':>8} {'ratios':>7} {'n*':>6} "
        f"{'± n*':>6} {'false':>6} {'extreme':>8}"
    )
    failed = 0
    for kind in LEVELS:
        for deviation in DEVIATIONS:
            for launches in LAUNCHES:
                one = trials(kind, deviation, launches, count)
                failed += one.fails
                print(
                    f"{kind:8} {deviation:4.0%} {launches:8} {one.medians:8.1%} {one.ratios:7.1%} "
                    f"{one.n_star:6.1%} {one.width:6.1%} {one.false:6.1%} {one.extreme:8.1%}"
                    f"{'  missed' if one.fails else ''}",
                    flush=True,
                )
    print(f"two kinds of launches: {'launches':>8} {'apart, SD':>10} {'said':>7}")
    for launches in (5, 10, 20):
        for apart in (0.0, 4.0, 15.0):
            said = two_kinds(launches, apart, count)
            missed = said > 1.5 * modes.ERROR if apart == 0.0 else False
            failed += missed
            print(f"{'':22} {launches:8} {apart:10.0f} {said:7.1%}{'  missed' if missed else ''}")
    return failed


if __name__ == "__main__":
    sys.exit(main(2000))
