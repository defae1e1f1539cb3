"""Where the fastest FFT overtakes the fastest direct sum on one image, by prediction."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

from convcross.advice.weights import Weights, total
from convcross.sweeps.contenders import Contender
from convkernels import Problem
from convkernels.calibration import Calibration
from convkernels.discovery import find
from convkernels.prediction import Prediction

LARGEST = 127  # kernel size that is asked about: what a calibration has measured


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


@dataclasses.dataclass(frozen=True)
class _Point:
    """The fastest of either family at one kernel size, and what they take."""

    n: int
    pair: tuple[str, str]
    direct: Prediction
    fft: Prediction

    @property
    def ratio(self) -> float:
        """Log of the direct sum's time over FFT's."""
        return math.log(self.direct.seconds / self.fft.seconds)

    @property
    def alike(self) -> bool:
        """Whether either may be the faster."""
        return self.direct.low <= self.fft.high and self.fft.low <= self.direct.high


def crossover(problem: Problem, known: Calibration, counted: Weights) -> NearCrossover | None:
    """Between families direct and fft for kernels of other sizes on the same image, in the same
    direction; None where one of them is not among the contenders that take it.

    It ends where the fastest of a family refuses larger kernels: a rival that is ahead from there
    on is so by the refusal.
    """
    points = _points(problem, known, counted)
    if len(points) < 2:
        return None
    last = points[-1]
    crossings = [k for k in range(1, len(points)) if points[k - 1].ratio <= 0 < points[k].ratio]
    if not crossings or last.ratio <= 0:
        ahead = "fft" if last.ratio > 0 else "direct"
        return NearCrossover(None, None, None, ahead, last.n, last.pair)
    below, above = points[crossings[-1] - 1 : crossings[-1] + 1]
    n = below.n * (above.n / below.n) ** (-below.ratio / (above.ratio - below.ratio))
    low, high = below.n, above.n
    for point in itertools.takewhile(lambda point: point.alike, points[crossings[-1] - 1 :: -1]):
        low = point.n
    for point in points[crossings[-1] :]:
        high = point.n
        if not point.alike:
            break
    return NearCrossover(n, float(low), float(high), None, last.n, above.pair)


def _points(problem: Problem, known: Calibration, counted: Weights) -> list[_Point]:
    """Kernel sizes from the first that both families take to the last that the fastest take."""
    largest = min(*problem.image, LARGEST)
    sizes = [n for n in range(1, largest + 1, 2) if n <= 31 or n % 8 == 7]
    direct, fft = (_curve(problem, sizes, known, counted, name) for name in ("direct", "fft"))
    points: list[_Point] = []
    for n, a, b in zip(sizes, direct, fft, strict=True):
        if points and not (points[-1].pair[0] in a and points[-1].pair[1] in b):
            break
        if a and b:
            first, second = (min(one, key=lambda name: one[name].seconds) for one in (a, b))
            points.append(_Point(n, (first, second), a[first], b[second]))
    return points


def _curve(
    problem: Problem, sizes: Sequence[int], known: Calibration, counted: Weights, family: str
) -> list[dict[str, Prediction]]:
    """What those of a family that take it will take, for each size of the kernel."""
    found: list[dict[str, Prediction]] = [{} for _ in sizes]
    problems = [dataclasses.replace(problem, kernel=(n, n)) for n in sizes]
    for name, fit in known.contenders.items():
        algorithm, namespace = find(Contender(name).algorithm), Contender(name).namespace
        if algorithm.family != family or not fit.knows(algorithm, problem.direction):
            continue
        taken = [
            k
            for k, one in enumerate(problems)
            if algorithm.refuses(one, namespace, known.key.device) is None
        ]
        some = [problems[k] for k in taken]
        tables = fit.predict_many(algorithm, some, problem.direction)
        for place, *phases in zip(taken, *(table.tolist() for table in tables), strict=True):
            found[place][name] = total([Prediction(*row) for row in phases], counted)
    return found
