"""Where the fastest FFT overtakes the fastest direct sum on one image, by prediction."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from convcross.advice.weights import Weights, total
from convcross.sweeps.contenders import Contender
from convkernels import Problem
from convkernels.calibration import PHASES, Calibration
from convkernels.discovery import find
from convkernels.prediction import Prediction


@dataclasses.dataclass(frozen=True)
class NearCrossover:
    """The crossover.

    Attributes
    ----------
    n : kernel size, None where they do not cross up to ``largest``
    low, high : sizes between which either may be faster
    ahead : the family that is faster everywhere where they do not cross
    pair : the fastest of either at n, or at ``largest``
    """

    n: float | None
    low: float | None
    high: float | None
    ahead: str | None
    largest: int
    pair: tuple[str, str]


def crossover(problem: Problem, known: Calibration, counted: Weights) -> NearCrossover | None:
    """Between families direct and fft for kernels of other sizes on the same image; None where one
    of them is not among the contenders that take it."""
    largest = min(*problem.image, 127)
    sizes = [n for n in range(1, largest + 1, 2) if n <= 31 or n % 8 == 7] or [1]
    curves = {
        family: _curve(problem, sizes, known, counted, family) for family in ("direct", "fft")
    }
    direct, fft = curves["direct"], curves["fft"]
    both = [k for k in range(len(sizes)) if direct[k] is not None and fft[k] is not None]
    if len(both) < 2:
        return None
    ratios = []
    for k in both:
        (_, a), (_, b) = direct[k], fft[k]  # type: ignore[misc]
        ratios.append((math.log(a.seconds / b.seconds), a.low <= b.high and b.low <= a.high))
    last = max(
        (i for i in range(1, len(both)) if ratios[i - 1][0] <= 0 < ratios[i][0]), default=None
    )
    shown = both[last] if last is not None else both[-1]
    pair = direct[shown][0], fft[shown][0]  # type: ignore[index]
    if last is None or ratios[-1][0] <= 0:
        ahead = "fft" if ratios[-1][0] > 0 else "direct"
        return NearCrossover(None, None, None, ahead, sizes[both[-1]], pair)
    low, high = sizes[both[last - 1]], sizes[both[last]]
    below, above = ratios[last - 1][0], ratios[last][0]
    n = low * (high / low) ** (-below / (above - below))
    near = last - 1
    while near >= 0 and ratios[near][1]:
        near -= 1
    far = last
    while far < len(both) and ratios[far][1]:
        far += 1
    least = sizes[both[near + 1]] if near + 1 < last else low
    most = sizes[both[min(far, len(both) - 1)]]
    return NearCrossover(n, float(least), float(most), None, sizes[both[-1]], pair)


def _curve(
    problem: Problem, sizes: Sequence[int], known: Calibration, counted: Weights, family: str
) -> list[tuple[str, Prediction] | None]:
    """The fastest of a family for each size of the kernel, and what it takes."""
    best: list[tuple[str, Prediction] | None] = [None] * len(sizes)
    device = known.key.device
    problems = [dataclasses.replace(problem, kernel=(n, n)) for n in sizes]
    for name, fit in known.contenders.items():
        algorithm, namespace = find(Contender(name).algorithm), Contender(name).namespace
        if algorithm.family != family:
            continue
        taken = [
            k for k, one in enumerate(problems) if algorithm.refuses(one, namespace, device) is None
        ]
        some = [problems[k] for k in taken]
        costs = [algorithm.implementation.cost(one) for one in some]
        tables = [fit.phases[phase].predict_many(some, costs).tolist() for phase in PHASES]
        for place, *phases in zip(taken, *tables, strict=True):
            found = total([Prediction(*row) for row in phases], counted)
            held = best[place]
            if held is None or found.seconds < held[1].seconds:
                best[place] = name, found
    return best
