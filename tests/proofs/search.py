"""Does the search find what the whole grid finds, for a fifth to a third of its cost? A table.

Planted cost curves of two contenders a side go through ``search.Search`` and
``statistics.interleave`` themselves; only the clock is replaced. The grid is all odd n from 3 to
127. Each curve is drawn anew in each trial: where it crosses, how flat direct is at small n, where
the padded size jumps. Run by ``make proofs``; a short version is a test. With --real, contenders of
this machine are measured in the place of that, by grid and by search, in some four minutes.
"""

from __future__ import annotations

import contextlib
import math
import random
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.fft import next_fast_len

from convcross.analysis.crossover.curves import SEED, Side, curve
from convcross.analysis.crossover.verdict import Verdict, judge
from convcross.measure.timing.sampling import Sample, interleave
from convcross.results.schema import Record
from convcross.run.search.line import GridLine, representing
from convcross.run.search.search import Search
from convcross.sweeps.contenders import available
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits, Sweep

N = 512
KERNELS = range(3, 128, 2)
SIZES = np.array(KERNELS, dtype=float)
PAIR = ("direct", "fft")
# Contender → its side, and how many times slower than the side's curve it is. The second of a side
# is close enough to be measured throughout, or far enough to be left out.
CONTENDERS = {
    "direct/numpy@cpu": (0, 1.0),
    "scipy-convolve2d/numpy@cpu": (0, 3.0),
    "fft/numpy@cpu": (1, 1.0),
    "scipy-fftconvolve/numpy@cpu": (1, 1.2),
}
NOISE, SHARED = 0.02, 0.05  # spread of log samples: each one's own, and that of a round
BESIDE = 15  # runs of a contender beside its samples: warm-up, plans, verification
STEP = 2.0  # of n, that the answers may differ by

Rng = np.random.Generator
Curves = tuple[np.ndarray, np.ndarray]  # logarithm of seconds of A and of B at SIZES


def _direct(rng: Rng) -> tuple[np.ndarray, float, float]:
    """log(seconds) of a + n², n* drawn evenly in log, and log(seconds) at n*."""
    flat, crossing = rng.uniform(0, 60), math.exp(rng.uniform(math.log(5), math.log(100)))
    return np.log(flat + SIZES**2), crossing, math.log(flat + crossing**2)


def single(rng: Rng) -> Curves:
    a, crossing, level = _direct(rng)
    return a, level + rng.uniform(0, 0.2) * np.log(SIZES / crossing)


def fast_sizes(rng: Rng) -> Curves:
    """FFT of the next fast size, each size with an efficiency of its own."""
    a, crossing, level = _direct(rng)
    image = int(rng.integers(100, 1100))
    padded = np.array([next_fast_len(image + int(n) // 2, real=True) for n in SIZES])
    efficiency = 0.08 * rng.standard_normal(4000)[padded % 4000]
    b = np.log(padded**2 * np.log2(padded)) + efficiency
    return a, b + level - np.interp(crossing, SIZES, b)


def powers_of_two(rng: Rng) -> Curves:
    """FFT of the next power of two: four times the cost, all at once, near the crossing."""
    a, crossing, level = _direct(rng)
    jump = crossing * rng.uniform(0.7, 1.6)
    return a, level + math.log(4.4) * (jump < SIZES)


def steps(rng: Rng) -> Curves:
    a, crossing, level = _direct(rng)
    b = np.full_like(a, level)
    for _ in range(rng.integers(1, 4)):
        jump = crossing * rng.uniform(0.8, 1.5)
        b += math.log(rng.uniform(1.1, 1.6)) * (jump < SIZES)
    return a, b


def double(rng: Rng) -> Curves:
    """B overtakes, falls back and overtakes again, an octave or so between."""
    first, width = math.exp(rng.uniform(math.log(5), math.log(25))), rng.uniform(0.5, 0.9)
    x = np.log(SIZES / first)
    ratio = 3 * x * (x - width) * (x - 2 * width) / (1 + x**2) / width
    return ratio, np.zeros_like(ratio)


def near_parallel(rng: Rng) -> Curves:
    """Within 3 % of each other everywhere."""
    a = np.log(20 + SIZES**2)
    return a, a + 0.03 * np.sin(np.log(SIZES) + rng.uniform(0, 2 * math.pi))


def equal(rng: Rng) -> Curves:
    a = np.log(20 + SIZES**2)
    return a, a


def always(rng: Rng) -> Curves:
    a, _, _ = _direct(rng)
    return a, np.full_like(a, a[0] - rng.uniform(0.1, 1.0))


def never(rng: Rng) -> Curves:
    a, _, _ = _direct(rng)
    return a, np.full_like(a, a[-1] + rng.uniform(0.1, 1.0))


@dataclass(frozen=True)
class Scenario:
    """Curves, the share of trials that must agree, and the share of the grid they may cost.

    Agree with the whole grid or, where a truth is given, with that verdict.
    """

    curves: Callable[[Rng], Curves]
    agree: float
    share: float
    truth: str | None = None

    @property
    def name(self) -> str:
        return self.curves.__name__.replace("_", " ")


SCENARIOS = [
    Scenario(single, 0.98, 0.20),
    Scenario(fast_sizes, 0.95, 0.35),
    Scenario(powers_of_two, 0.95, 0.35),
    Scenario(steps, 0.95, 0.35),
    Scenario(double, 0.95, 0.35),
    Scenario(near_parallel, 0.0, 0.35),  # no crossing to agree on within a step; it must end
    Scenario(equal, 0.95, 0.35, "tie"),  # the whole grid has more cells to be wrong in
    Scenario(always, 0.98, 0.20),
    Scenario(never, 0.98, 0.20),
]


class Clock:
    """Measures duels of planted curves: records, and seconds on the device."""

    def __init__(self, curves: Curves, seed: int) -> None:
        middle = np.log(1e-3) - np.median(curves[1])  # a run of B takes 1 ms or so
        self.seconds = [np.exp(side + middle) for side in curves]
        self.rng = np.random.default_rng([SEED, seed])
        self.order = random.Random(seed)

    def measure(self, duel: Duel) -> tuple[list[Record], float]:
        n = duel.problem.kernel[0]
        place = int(np.searchsorted(SIZES, n))
        shared = np.exp(SHARED * self.rng.standard_normal(duel.limits.samples))
        own = NOISE * self.rng.standard_normal((len(duel.contenders), duel.limits.samples))
        spent, actions = 0.0, {}
        for name, noise in zip(duel.contenders, np.exp(own), strict=True):
            side, slower = CONTENDERS[name]
            seconds = slower * self.seconds[side][place]
            spent += BESIDE * seconds
            samples = iter((seconds * shared * noise).tolist())
            actions[name] = lambda samples=samples: Sample(one := next(samples), one)
        limits = duel.limits
        found = interleave(
            actions, seconds=limits.seconds, samples=limits.samples, order=self.order
        )
        records = []
        for name, series in found.items():
            algorithm, _, rest = name.partition("/")
            spent += series.spent
            records.append(
                Record(
                    duel=duel.id,
                    problem=duel.problem,
                    algorithm=algorithm,
                    namespace=rest.partition("@")[0],
                    device="cpu",
                    family=PAIR[CONTENDERS[name][0]],
                    arithmetic="ieee",
                    image_data="normal",
                    kernel_data="normal",
                    seed=0,
                    regime="warm",
                    status="ok",
                    phase_seconds={"run": series.samples},
                    rounds=series.rounds,
                )
            )
        return records, spent


def sweep() -> Sweep:
    return Sweep(
        name="planted",
        sizes=[N],
        kernels=list(KERNELS),
        launches=1,
        contenders=[name.partition("@")[0] for name in CONTENDERS],
        limits=Limits(seconds=0.3),
    )


def verdict(cells: Iterable[tuple[float, list[Record]]], line: GridLine) -> Verdict:
    """As the analysis has it, from the newest records of each n."""
    sides: tuple[Side, Side] = {}, {}
    for n, records in dict(cells).items():
        for own, side in zip(sides, line.sides, strict=True):
            found = representing(records, side)
            assert found is not None
            own[int(n)] = found, []
    return judge(curve(*sides), N)


@dataclass(frozen=True)
class Trial:
    """Whether the search agrees, and the share of the grid's cells and seconds that it took."""

    agree: bool
    cells: float
    seconds: float


def agree(grid: Verdict, search: Verdict) -> bool:
    if grid.n_star is None or search.n_star is None:
        return grid.verdict == search.verdict
    return abs(grid.n_star - search.n_star) <= STEP


def trial(scenario: Scenario, seed: int) -> Trial:
    clock = Clock(scenario.curves(np.random.default_rng([seed, 1])), seed)
    search = Search(sweep(), available(["cpu"]), PAIR)
    (line,) = search.lines
    found, spent, taken = [], 0.0, 0
    while (duel := search.next()) is not None:
        records, seconds = clock.measure(duel)
        search.record_result(duel.id, records, seconds)
        found.append((duel.problem.kernel[0], records))
        spent, taken = spent + seconds, taken + 1
    whole, cost = [], 0.0
    for cell in line.cells:
        records, seconds = clock.measure(cell)
        whole.append((cell.problem.kernel[0], records))
        cost += seconds
    answer = verdict(found, line)
    right = (
        answer.verdict == scenario.truth if scenario.truth else agree(verdict(whole, line), answer)
    )
    return Trial(right, taken / len(whole), spent / cost)


def tried(scenario: Scenario, trials: int) -> list[Trial]:
    return [trial(scenario, seed) for seed in range(trials)]


def missed(scenario: Scenario, done: list[Trial]) -> bool:
    agree = np.mean([one.agree for one in done])
    cells, seconds = (np.mean([getattr(one, key) for one in done]) for key in ("cells", "seconds"))
    return bool(agree < scenario.agree or max(cells, seconds) > scenario.share)


def main(trials: int) -> int:
    print(
        f"{'curves':16} {'agree':>7} {'at least':>8} {'cells':>7} {'most':>7} {'seconds':>8} "
        f"{'allowed':>8}   ({trials} trials, shares of the grid)"
    )
    failed = 0
    for scenario in SCENARIOS:
        done = tried(scenario, trials)
        failed += missed(scenario, done)
        print(
            f"{scenario.name:16} {np.mean([one.agree for one in done]):7.1%} {scenario.agree:8.0%} "
            f"{np.mean([one.cells for one in done]):7.1%} {max(one.cells for one in done):7.1%} "
            f"{np.mean([one.seconds for one in done]):8.1%} {scenario.share:8.0%}",
            flush=True,
        )
    return min(failed, 1)


def real() -> int:
    """The whole grid and the search on contenders of this machine's CPU."""
    from convcross.analysis.crossover.crossover import crossovers
    from convcross.results.reader import read
    from convcross.run.session import run
    from convcross.run.workers.local import machines

    swept = Sweep.model_validate(
        {
            "name": "real",
            "sizes": [128, 256],
            "kernels": list(KERNELS),
            "contenders": [*(name.partition("@")[0] for name in CONTENDERS), "fft/torch"],
            "limits": {"seconds": 0.05, "run_seconds": 0.05},
        }
    )
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, pair in (("search", PAIR), ("grid", None)):
            path = Path(folder) / f"{name}.jsonl"
            [here] = machines([["cpu"]])
            with contextlib.closing(here):
                [outcome] = run(swept, [here], out=path, pair=pair)
            found[name] = crossovers([path], pairs=[PAIR]), read(path).footers
            print(*outcome.found, sep="\n")
    failed = 0
    print(f"{'N':>5} {'n* grid':>22} {'n* search':>22} {'cells':>12} {'seconds':>18} {'share':>6}")
    for ours, theirs in zip(found["search"][0], found["grid"][0], strict=True):
        spent = {}
        for name, (_, footers) in found.items():
            own = [one for one in footers if one.duel.startswith(f"{ours.N}x")]
            spent[name] = len(own), sum(sum(one.seconds.values()) for one in own)
        told = [
            f"{row.verdict} {row.n_star or 0:.2f} [{row.low or 0:.1f}, {row.high or 0:.1f}]"
            for row in (theirs, ours)
        ]
        (few, seconds), (many, all_seconds) = spent["search"], spent["grid"]
        print(
            f"{ours.N:5} {told[0]:>22} {told[1]:>22} {few:5} of {many:3} "
            f"{seconds:7.1f} of {all_seconds:6.1f} {seconds / all_seconds:6.0%}"
        )
        alike = ours.verdict == theirs.verdict
        failed += not alike or abs((ours.n_star or 0) - (theirs.n_star or 0)) > STEP
        failed += max(few / many, seconds / all_seconds) > 0.2
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(real() if "--real" in sys.argv else main(100))
