"""What a contender's phase will take on a problem that nobody measured, and how sure that is.

    log seconds = log(c · terms) + g(features) + noise

The base, c · terms with every coefficient ≥ 0, is arithmetic: a constant a call, the FLOP and bytes
that the algorithm declares (padded sizes, tiles, batch and channels are in them), and the work of
whole-image transforms, for libraries that declare none. What it misses of caches, threads and
vectors is a Gaussian process g of the problem's sizes in octaves (Rasmussen & Williams 2006,
Gaussian Processes for Machine Learning, sections 2.2 and 4.2.1, algorithm 2.1): near measured
problems it follows them, far from all of them it returns to a power law about the base, and its
standard deviation grows. ``convcross.advice.fit`` makes such models from measurements;
tests/proofs/prediction.py shows what they are worth.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from convkernels.problem import ITEMSIZE, Problem
from convkernels.registry import Cost

Array = npt.NDArray[np.float64]

CONFIDENCE = 0.9  # of the interval of a prediction
LEAST_SECONDS = 1e-8  # that any call takes
LARGEST_LOG = 600.0  # of a number of seconds: a prediction is finite
OFFSET = 0.1  # standard deviation of what the base is wrong by everywhere, in log seconds

# The base's terms. The FLOP and bytes of plan and load are the algorithm's too.
TERMS = ("call", "flops", "bytes", "once_flops", "once_bytes", "planes", "transforms")

# A feature is in octaves, so that 1 is twice as much of it; the last four are 0 or 1.
FEATURES = (
    "image",
    "kernel",
    "batch",
    "depth",
    "filters",
    "groups",
    "output",
    "tall_image",
    "tall_kernel",
    "dilation",
    "itemsize",
    "circular",
    "grad_input",
    "grad_weight",
)


class Prediction(NamedTuple):
    """Seconds, and the ends of an interval of 90 % for what would be measured."""

    seconds: float
    low: float
    high: float


def terms(problem: Problem, cost: Cost) -> tuple[float, ...]:
    """The base's terms of a problem, in the order of TERMS: 1, FLOP, bytes, FLOP and bytes of plan
    and load, pairs of a plane and its filter, FLOP of whole-image real transforms."""
    (top, bottom), (left, right) = problem.pads
    points = (problem.image[0] + top + bottom) * (problem.image[1] + left + right)
    pairs = problem.in_channels // problem.groups * problem.out_channels
    images = problem.batch * (problem.in_channels + problem.out_channels)
    return (
        1.0,
        cost.flops,
        cost.bytes,
        cost.once_flops,
        cost.once_bytes,
        float(problem.batch * pairs),
        2.5 * points * math.log2(points + 1) * (images + pairs),
    )


def features(problem: Problem) -> tuple[float, ...]:
    """The features of a problem, in the order of FEATURES: octaves of the side of the image and the
    kernel, of batch, channels and filters of a group, groups, output over image, height over width,
    dilation, bytes a number; then 0 or 1."""
    (height, width), (kh, kw) = problem.image, problem.kernel
    groups, log2 = problem.groups, math.log2
    rows, columns = problem.output
    return (
        log2(height * width) / 2,
        log2(kh * kw) / 2,
        log2(problem.batch),
        log2(problem.in_channels / groups),
        log2(problem.out_channels / groups),
        log2(groups),
        log2(rows * columns / (height * width)) / 2,
        log2(height / width),
        log2(kh / kw),
        log2(problem.dilation[0] * problem.dilation[1]) / 2,
        log2(ITEMSIZE[problem.dtype] / 4),
        float(problem.boundary == "circular"),
        float(problem.direction == "grad_input"),
        float(problem.direction == "grad_weight"),
    )


def correlation(squares: Array) -> Array:
    """Matérn's with ν = 5/2 of squared scaled distances (Rasmussen & Williams 2006, eq. 4.17)."""
    distance = np.sqrt(5.0 * squares)
    found: Array = (1.0 + distance + distance * distance / 3.0) * np.exp(-distance)
    return found


@dataclasses.dataclass(frozen=True)
class CostModel:
    """Seconds of one phase (plan, load, fresh or run) of one contender, as a function of the
    problem.

    Attributes
    ----------
    coefficients : of TERMS, in seconds a unit, ≥ 0
    signal, noise : standard deviations of the Gaussian process and of a measurement, log seconds
    scales : length scale of each of FEATURES, octaves
    slopes : standard deviation of the power law's exponent in each of FEATURES
    reach : half width of an interval, in standard deviations
    samples : (n, features) of the measured problems
    residuals : (n,) log of measured seconds over the base
    excess : (n,) variance of a disturbed measurement's noise beyond that of the others
    """

    coefficients: tuple[float, ...]
    signal: float
    noise: float
    scales: tuple[float, ...]
    slopes: tuple[float, ...]
    reach: float
    samples: tuple[tuple[float, ...], ...]
    residuals: tuple[float, ...]
    excess: tuple[float, ...]

    def predict(self, problem: Problem, cost: Cost) -> Prediction:
        """Seconds of a problem, of which the algorithm declares this cost."""
        seconds, low, high = self.predict_many([problem], [cost])[0].tolist()
        return Prediction(seconds, low, high)

    def predict_many(self, problems: Sequence[Problem], costs: Sequence[Cost]) -> Array:
        """(m, 3) seconds, low and high of m problems."""
        work = np.array([terms(*pair) for pair in zip(problems, costs, strict=True)])
        at = np.array([features(problem) for problem in problems])
        if not len(at):
            return np.empty((0, 3))
        base = np.maximum(work @ self.coefficients, LEAST_SECONDS)
        mean, deviation = self._process(at)
        middle, reach = np.log(base) + mean, self.reach * deviation
        logs = np.stack([middle, middle - reach, middle + reach], axis=1)
        found: Array = np.exp(np.clip(logs, -LARGEST_LOG, LARGEST_LOG))
        return found

    def _process(self, at: Array) -> tuple[Array, Array]:
        """(m,) mean and standard deviation of a measurement's log over the base."""
        solved = self._solved
        lines = (at - solved.middle) * self.slopes
        between = covariance(at / self.scales, solved.scaled, self.signal)
        between += lines @ solved.lines.T + OFFSET**2
        own = self.signal**2 + OFFSET**2 + self.noise**2 + np.einsum("md,md->m", lines, lines)
        explained = np.einsum("mn,mn->m", between @ solved.inverse, between)
        return between @ solved.weights, np.sqrt(np.maximum(own - explained, self.noise**2))

    @functools.cached_property
    def _solved(self) -> _Solved:
        """What predictions share: Rasmussen & Williams 2006, algorithm 2.1, with the inverse."""
        at = np.array(self.samples)
        middle = np.median(at, axis=0)
        scaled, lines = at / self.scales, (at - middle) * self.slopes
        whole = covariance(scaled, scaled, self.signal) + lines @ lines.T + OFFSET**2
        whole[np.diag_indices(len(at))] += self.noise**2 + np.array(self.excess)
        inverse = np.linalg.inv(whole)
        return _Solved(middle, scaled, lines, inverse, inverse @ self.residuals)

    def to_json(self) -> dict[str, Any]:
        """What ``from_json`` reads."""
        found = dataclasses.asdict(self)
        return found | {"terms": list(TERMS), "features": list(FEATURES)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CostModel:
        """The model that ``to_json`` wrote. Raises ValueError that names the key on any other."""
        for key, names in (("terms", TERMS), ("features", FEATURES)):
            if list(data.get(key, ())) != list(names):
                raise ValueError(f"{key} is {data.get(key)!r}; allowed: {', '.join(names)}")
        samples = data.get("samples")
        if not isinstance(samples, Sequence) or not samples:
            raise ValueError(f"samples is {samples!r}; allowed: a list of samples")
        count, wide = len(samples), len(FEATURES)
        return cls(
            coefficients=_numbers(data, "coefficients", len(TERMS), least=0.0),
            signal=_number(data, "signal"),
            noise=_number(data, "noise"),
            scales=_numbers(data, "scales", wide, least=1e-6),
            slopes=_numbers(data, "slopes", wide, least=0.0),
            reach=_number(data, "reach"),
            samples=tuple(_numbers({"samples": one}, "samples", wide) for one in samples),
            residuals=_numbers(data, "residuals", count),
            excess=_numbers(data, "excess", count, least=0.0),
        )


class _Solved(NamedTuple):
    middle: Array
    scaled: Array
    lines: Array
    inverse: Array
    weights: Array


def covariance(a: Array, b: Array, signal: float) -> Array:
    """(p, q) of the process's smooth part between scaled features (p, d) and (q, d)."""
    apart = a[:, None, :] - b[None, :, :]
    found: Array = signal**2 * correlation(np.einsum("pqd,pqd->pq", apart, apart))
    return found


def _number(data: Mapping[str, Any], key: str) -> float:
    return _numbers({key: [data.get(key)]}, key, 1, least=1e-6)[0]


def _numbers(
    data: Mapping[str, Any], key: str, count: int, least: float = -math.inf
) -> tuple[float, ...]:
    """So many finite numbers of a key, each at least this."""
    values = data.get(key)
    allowed = f"{count} numbers" + (f" >= {least:g}" if math.isfinite(least) else "")
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != count:
        raise ValueError(f"{key} is {values!r}; allowed: {allowed}")
    for value in values:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value < least:
            raise ValueError(f"{key} has {value!r}; allowed: {allowed}")
    return tuple(map(float, values))
