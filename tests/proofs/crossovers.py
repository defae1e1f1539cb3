"""Do the intervals of n* cover planted crossovers? Prints a table.

Curves with a known crossing, and without, get the noise of a busy machine and go through the
samples, the family's choice, the bootstrap and the verdict as records do. Run by ``make proofs``;
a short version is a test.

The truth is the last zero of the noise-free log ratio, interpolated between the kernels measured;
"two steps inside" the grid, so that ``always`` and ``never`` are wrong there. A verdict is false
where its statement on n* is: an interval or a bound that leaves the truth out, or a crossing
where there is none.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import fft

from convcross.analysis.crossover import sides as pairs
from convcross.analysis.crossover.curves import Side, curve
from convcross.analysis.crossover.verdict import Verdict, judge
from convcross.stats.bootstrap import in_rounds

COVERED, FALSE, EXTREME = 0.93, 0.07, 0.01
ROUNDS = (8, 12, 18, 27, 41, 62)  # where looks come in a sweep
GRIDS = tuple(
    np.array(grid, dtype=float)
    for grid in ([3, 5, 7, 9, 11, 15, 21, 31], range(3, 33, 2), range(3, 65, 2))
)
NEVER = np.inf


@dataclass(frozen=True)
class Planted:
    """(contenders, kernels) seconds: those of side A, then those of side B; n* is ``truth``.

    0 for B better everywhere, ``NEVER`` for A, None where there is no difference.
    """

    n: np.ndarray
    a: np.ndarray
    b: np.ndarray
    truth: float | None
    N: int = 1024


def _inside(rng: np.random.Generator, n: np.ndarray) -> float:
    """A place two steps or more inside the grid."""
    return float(np.exp(rng.uniform(*np.log(n[[2, -3]]))))


def _last_zero(n: np.ndarray, ratio: np.ndarray) -> float | None:
    """The last zero two steps or more inside the grid; None where there is no such."""
    at = np.flatnonzero(ratio < 0)
    if not len(at) or not 2 <= at[-1] < len(n) - 3:
        return None
    left, right = ratio[at[-1]], ratio[at[-1] + 1]
    low, high = np.log(n[at[-1] : at[-1] + 2])
    return float(np.exp(low + (high - low) * left / (left - right)))


def _of_ratio(n: np.ndarray, ratio: np.ndarray, truth: float | None, N: int = 1024) -> Planted:
    """Sides of a log ratio."""
    return Planted(n, 1e-3 * np.exp(ratio)[None], np.full((1, len(n)), 1e-3), truth, N)


def square(rng: np.random.Generator, n: np.ndarray) -> Planted:
    ratio = 2 * np.log(n / _inside(rng, n))
    return _of_ratio(n, ratio, _last_zero(n, ratio))


def jumps(rng: np.random.Generator, n: np.ndarray) -> Planted:
    """The padded size M of an FFT jumps with n; each M is up to 25 % off M² log M."""
    N = int(rng.integers(60, 500))
    padded = np.array([fft.next_fast_len(N + int(k) // 2, real=True) for k in n])
    sizes, where = np.unique(padded, return_inverse=True)
    off = np.log(1.25) * rng.random(len(sizes))[where]
    ratio = 2 * np.log(n / _inside(rng, n)) - np.log(padded**2 * np.log(padded)) - off
    ratio += np.log(N**2 * np.log(N)) + 0.1
    return _of_ratio(n, ratio, _last_zero(n, ratio))


def parallel(rng: np.random.Generator, n: np.ndarray) -> Planted:
    ratio = rng.uniform(0.05, 0.3) * np.log(n / _inside(rng, n))
    return _of_ratio(n, ratio, _last_zero(n, ratio))


def double(rng: np.random.Generator, n: np.ndarray) -> Planted:
    """B, A, B: a parabola in log n, between its zeros up to 5 to 50 % below zero."""
    first, last = np.sort([_inside(rng, n), _inside(rng, n)])
    ratio = np.log(n / first) * np.log(n / last)
    depth = max(0.01, -ratio.min())
    ratio *= rng.uniform(0.05, 0.5) / depth
    return _of_ratio(n, ratio, _last_zero(n, ratio))


def family(rng: np.random.Generator, n: np.ndarray) -> Planted:
    """Three of family A within 5 % of each other, and two of B."""
    ratio = rng.uniform(0.3, 2) * np.log(n / _inside(rng, n))
    a = 1e-3 * np.exp(ratio + 0.05 * rng.random((3, len(n))))
    b = 1e-3 * np.exp(0.05 * rng.random((2, len(n))))
    return Planted(n, a, b, _last_zero(n, np.log(a.min(axis=0) / b.min(axis=0))))


def always(rng: np.random.Generator, n: np.ndarray) -> Planted:
    return _of_ratio(n, rng.uniform(0, 2) * np.log(n / n[0]) + rng.uniform(0.02, 0.5), 0.0)


def never(rng: np.random.Generator, n: np.ndarray) -> Planted:
    ratio = rng.uniform(0, 2) * np.log(n / n[-1]) - rng.uniform(0.02, 0.5)
    return _of_ratio(n, ratio, NEVER, N=int(n[-1]) + 1)


def beyond(rng: np.random.Generator, n: np.ndarray) -> Planted:
    return _of_ratio(n, rng.uniform(0, 2) * np.log(n / n[-1]) - rng.uniform(0.02, 0.5), NEVER)


def below(rng: np.random.Generator, n: np.ndarray) -> Planted:
    """Equal up to a kernel, then B ever better."""
    start = _inside(rng, n)
    return _of_ratio(n, np.maximum(0, rng.uniform(0.3, 2) * np.log(n / start)), 0.0)


def equal(rng: np.random.Generator, n: np.ndarray) -> Planted:
    return _of_ratio(n, np.zeros(len(n)), None)


CROSSING: dict[str, Callable[[np.random.Generator, np.ndarray], Planted]] = {
    "n² against flat": square,
    "jumps of the padded size": jumps,
    "near-parallel": parallel,
    "two crossings": double,
    "families of near-equals": family,
}
NONE: dict[str, Callable[[np.random.Generator, np.ndarray], Planted]] = {
    "always": always,
    "never": never,
    "beyond the grid": beyond,
    "equal, then B": below,
    "equal": equal,
}
EXPECTED = {
    "always": "always",
    "never": "never",
    "beyond the grid": "beyond-grid",
    "equal, then B": "beyond-grid",
    "equal": "tie",
}


def disturbed(
    rng: np.random.Generator, costs: np.ndarray, rounds: int, spread: float
) -> np.ndarray:
    """Times as a busy machine gives them, each with a median that is known.

    Rounds share a log-normal disturbance of 5 % and one of two clocks, the lower one 15 % slower
    and met in 30 % of rounds. A contender's own noise is log-normal, of half to twice the spread
    in each cell; 5 % of its samples take 2 to 10 times as long, and 5 % meet the other clock.

    Parameters
    ----------
    costs : (contenders, cells) seconds of an undisturbed run
    rounds : samples a contender and cell
    spread : of the logarithm of the own noise

    Returns
    -------
    (contenders, cells, rounds) seconds
    """
    shape = (*costs.shape, rounds)
    slow = (rng.random(shape[1:]) < 0.3) ^ (rng.random(shape) < 0.05)
    shared = 0.05 * rng.standard_normal(shape[1:]) + np.log(1.15) * slow
    own = spread * np.exp2(rng.uniform(-1, 1, costs.shape))[..., None] * rng.standard_normal(shape)
    late = np.where(rng.random(shape) < 0.05, rng.uniform(2, 10, shape), 1.0)
    times: np.ndarray = costs[..., None] * np.exp(shared + own) * late
    return times


def draw(kind: str, rng: np.random.Generator) -> Planted:
    """A curve of that kind; one that crosses does so two steps inside the grid."""
    plant = CROSSING.get(kind) or NONE[kind]
    while True:
        found = plant(rng, GRIDS[rng.integers(len(GRIDS))])
        if found.truth is not None or kind == "equal":
            return found


def timed(planted: Planted, rng: np.random.Generator) -> list[dict[int, list[np.ndarray]]]:
    """For A and for B: n → the samples of each of its contenders, a round each."""
    both = np.concatenate([planted.a, planted.b])
    times = disturbed(rng, both, ROUNDS[-1], float(np.exp(rng.uniform(*np.log([0.003, 0.05])))))
    counts = rng.choice(ROUNDS, len(planted.n))
    return [
        {
            int(n): [samples[:count] for samples in own[:, cell]]
            for cell, (n, count) in enumerate(zip(planted.n, counts, strict=True))
        }
        for own in np.split(times, [len(planted.a)])
    ]


def verdict(sides: list[dict[int, list[np.ndarray]]], N: int) -> Verdict:
    """As the analysis finds it from records of these times."""
    found: list[Side] = []
    for side in sides:
        cells: Side = {}
        for n, contenders in side.items():
            named = {
                str(number): in_rounds(times, np.arange(len(times)))
                for number, times in enumerate(contenders)
            }
            chosen, stands = pairs.representative(named)
            cells[n] = stands, sorted(set(chosen.values()))
        found.append(cells)
    return judge(curve(*found), N)


def true(found: Verdict, planted: Planted) -> bool:
    """Whether what the verdict says of n* is so."""
    if planted.truth is None:
        return found.verdict == "tie"
    low = -np.inf if found.low is None else found.low
    high = np.inf if found.high is None else found.high
    return low <= planted.truth <= high


@dataclass(frozen=True)
class Outcome:
    """Shares of the trials."""

    expected: float  # the verdict that should come came
    covered: float  # of those that cross, whose interval has the truth
    false: float  # whose statement on n* is not so
    extreme: float  # ``always`` or ``never``
    width: float  # median of high/low of the intervals, less 1

    def fails(self, kind: str) -> bool:
        if kind in NONE:
            return self.false > FALSE
        return self.covered < COVERED or self.extreme > EXTREME


def trials(kind: str, count: int, seed: int = 0) -> Outcome:
    rng = np.random.default_rng(seed)
    planted = [draw(kind, rng) for _ in range(count)]
    found = [verdict(timed(one, rng), one.N) for one in planted]
    right = [true(*both) for both in zip(found, planted, strict=True)]
    names = [one.verdict for one in found]
    crosses = [
        (ok, one.high / one.low - 1)
        for ok, one in zip(right, found, strict=True)
        if one.verdict == "crosses" and one.low and one.high
    ]
    ok, widths = zip(*crosses, strict=True) if crosses else ((), ())
    return Outcome(
        names.count(EXPECTED.get(kind, "crosses")) / count,
        float(np.mean(ok)) if ok else np.nan,
        1 - float(np.mean(right)),
        sum(name in ("always", "never") for name in names) / count,
        float(np.median(widths)) if ok else np.nan,
    )


def main(count: int) -> int:
    print(
        f"{count} trials a kind; of what crosses, at least {COVERED:.0%} of intervals cover, at "
        f"most {EXTREME:.0%} always or never; where none crosses, at most {FALSE:.0%} false\n"
        f"{'planted':26} {'expected verdict':>22} {'covered':>8} {'false':>6} "
        f"{'always/never':>13} {'width':>6}"
    )
    failed = 0
    for kind in [*CROSSING, *NONE]:
        one = trials(kind, count)
        failed += one.fails(kind)
        shown = [f"{share:.1%}" if kind in CROSSING else "" for share in (one.covered, one.width)]
        print(
            f"{kind:26} {EXPECTED.get(kind, 'crosses'):>13} {one.expected:8.1%} {shown[0]:>8} "
            f"{one.false:6.1%} {one.extreme:13.1%} {shown[1]:>6}"
        )
    return failed


if __name__ == "__main__":
    sys.exit(main(2000))
