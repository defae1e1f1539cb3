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
import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from convkernels.problem import ITEMSIZE, Problem
from convkernels.registry import Cost

Array = npt.NDArray[np.float64]

CONFIDENCE = 0.9  # of the interval of a prediction
LEAST_SECONDS = 1e-8  # that any call takes
LEAST_SCALE = 1e-6  # of a length scale or deviation: by smaller ones numbers overflow
LARGEST_LOG = 700.0  # of a number of seconds: a prediction is finite
OFFSET = 0.1  # standard deviation of what the base is wrong by everywhere, in log seconds

CACHE = 64 << 20  # bytes of arrays and workspace of which half of all traffic misses the caches

# The base's terms: what seconds are a sum of.
TERMS = (
    "call",  # 1
    "flops",  # that the algorithm declares, as the next three
    "bytes",
    "once_flops",  # of plan and load
    "once_bytes",
    "spilled",  # bytes that miss the caches
    "unsummed",  # FLOP where no channels are summed: libraries have other code for it
    "planes",  # pairs of an image plane and a filter's
    "sums",  # outputs of all of those
    "rows",  # and of those by each row of the kernel
    "transforms",  # FLOP of whole-image transforms, for libraries that declare none
)

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
    """The base's terms of a problem, in the order of TERMS."""
    (top, bottom), (left, right) = problem.pads
    height, width = problem.image
    rows, columns = problem.output
    batch, depth = problem.batch, problem.in_channels // problem.groups
    filters = depth * problem.out_channels
    sums = batch * filters * rows * columns
    numbers = problem.in_channels * height * width + problem.out_channels * rows * columns
    memory = cost.workspace + ITEMSIZE[problem.dtype] * batch * numbers
    points = (height + top + bottom) * (width + left + right)
    planes = batch * (problem.in_channels + problem.out_channels) + filters
    return (
        1.0,
        cost.flops,
        cost.bytes,
        cost.once_flops,
        cost.once_bytes,
        cost.bytes * memory / (memory + CACHE),
        cost.flops if depth == 1 else 0.0,
        batch * filters,
        sums,
        sums * problem.kernel[0],
        2.5 * points * math.log2(points + 1) * planes,
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
    weights : (n,) of the samples in a mean: ``solve``, kept so that a choice needs no inverse
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
    weights: tuple[float, ...] = ()

    def seconds(self, problem: Problem, cost: Cost) -> float:
        """Those of ``predict``, without their interval and its price."""
        base = sum(map(operator.mul, self.coefficients, terms(problem, cost)))
        between, _ = self._between(np.array(features(problem)))
        return _seconds(math.log(max(base, LEAST_SECONDS)) + float(between @ self.weights))

    def predict(self, problem: Problem, cost: Cost) -> Prediction:
        """Seconds of a problem, of which the algorithm declares this cost."""
        base = sum(map(operator.mul, self.coefficients, terms(problem, cost)))
        mean, deviation = self.process(np.array(features(problem)))
        middle = math.log(max(base, LEAST_SECONDS)) + float(mean)
        reach = self.reach * float(deviation)
        return Prediction(*map(_seconds, (middle, middle - reach, middle + reach)))

    def predict_many(self, problems: Sequence[Problem], costs: Sequence[Cost]) -> Array:
        """(m, 3) seconds, low and high of m problems."""
        if not len(problems):
            return np.empty((0, 3))
        work = np.array([terms(*pair) for pair in zip(problems, costs, strict=True)])
        mean, deviation = self.process(np.array([features(problem) for problem in problems]))
        middle = np.log(np.maximum(work @ self.coefficients, LEAST_SECONDS)) + mean
        reach = self.reach * deviation
        logs = np.stack([middle, middle - reach, middle + reach], axis=1)
        found: Array = np.exp(np.clip(logs, -LARGEST_LOG, LARGEST_LOG))
        return found

    def process(self, at: Array) -> tuple[Array, Array]:
        """(…,) mean and standard deviation of a measurement's log over the base, at features
        (…, d): Rasmussen & Williams 2006, algorithm 2.1, with the inverse."""
        between, lines = self._between(at)
        own = self.signal**2 + OFFSET**2 + self.noise**2 + (lines * lines).sum(-1)
        explained = (between @ self._inverse * between).sum(-1)
        return between @ self.weights, np.sqrt(np.maximum(own - explained, self.noise**2))

    def solve(self) -> tuple[float, ...]:
        """``weights``: (K + noise)⁻¹ · residuals."""
        return tuple((self._inverse @ self.residuals).tolist())

    def _between(self, at: Array) -> tuple[Array, Array]:
        """(…, n) covariances of the samples with what is at features (…, d), and those as lines."""
        placed = self._placed
        scaled, lines = at * placed.rates, (at - placed.middle) * self.slopes
        squares = (scaled * scaled).sum(-1, keepdims=True) + placed.squares
        squares -= 2 * (scaled @ placed.scaled.T)
        between = self.signal**2 * correlation(np.maximum(squares, 0.0))
        between += lines @ placed.lines.T + OFFSET**2
        return between, lines

    @functools.cached_property
    def _placed(self) -> _Placed:
        """What predictions share."""
        at, rates = np.array(self.samples), 1 / np.array(self.scales)
        middle = np.median(at, axis=0)
        scaled, lines = at * rates, (at - middle) * self.slopes
        return _Placed(rates, middle, scaled, lines, (scaled * scaled).sum(-1))

    @functools.cached_property
    def _inverse(self) -> Array:
        """(n, n) (K + noise)⁻¹"""
        scaled, lines = self._placed.scaled, self._placed.lines
        apart = ((scaled[:, None, :] - scaled[None, :, :]) ** 2).sum(-1)
        whole: Array = self.signal**2 * correlation(apart) + lines @ lines.T + OFFSET**2
        whole[np.diag_indices(len(scaled))] += self.noise**2 + np.array(self.excess)
        return np.linalg.inv(whole).astype(np.float64)

    def to_json(self) -> dict[str, Any]:
        """What ``from_json`` reads."""
        found = dataclasses.asdict(self)
        return found | {"terms": list(TERMS), "features": list(FEATURES)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CostModel:
        """The model that ``to_json`` wrote. Raises ValueError that names the key on any other."""
        if not isinstance(data, Mapping):
            raise ValueError(f"cost model is a {type(data).__name__}; allowed: an object")
        for key, names in (("terms", TERMS), ("features", FEATURES)):
            if data.get(key) != list(names):
                raise ValueError(f"{key} is {data.get(key)!r}; allowed: {', '.join(names)}")
        samples = data.get("samples")
        if not isinstance(samples, Sequence) or not samples:
            raise ValueError(f"samples is {samples!r}; allowed: a list of samples")
        count, wide = len(samples), len(FEATURES)
        return cls(
            coefficients=_numbers(data, "coefficients", len(TERMS), least=0.0),
            signal=_number(data, "signal"),
            noise=_number(data, "noise"),
            scales=_numbers(data, "scales", wide, least=LEAST_SCALE),
            slopes=_numbers(data, "slopes", wide, least=0.0),
            reach=_number(data, "reach"),
            samples=tuple(_numbers({"samples": one}, "samples", wide) for one in samples),
            residuals=_numbers(data, "residuals", count),
            excess=_numbers(data, "excess", count, least=0.0),
            weights=_numbers(data, "weights", count),
        )


class _Placed(NamedTuple):
    """1 / scales (d,); of the n samples, the middle of the features (d,), those scaled and as lines
    (n, d), the squares of the scaled ones (n,)."""

    rates: Array
    middle: Array
    scaled: Array
    lines: Array
    squares: Array


def _seconds(log: float) -> float:
    return math.exp(min(max(log, -LARGEST_LOG), LARGEST_LOG))


def _number(data: Mapping[str, Any], key: str) -> float:
    """A positive number of a key."""
    value: Any = data.get(key)
    if not _is_number(value) or value < LEAST_SCALE:
        raise ValueError(f"{key} is {value!r}; allowed: a number >= {LEAST_SCALE:g}")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _numbers(
    data: Mapping[str, Any], key: str, count: int, least: float = -math.inf
) -> tuple[float, ...]:
    """So many finite numbers of a key, each at least this."""
    values = data.get(key)
    allowed = f"{count} numbers" + (f" >= {least:g}" if math.isfinite(least) else "")
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != count:
        raise ValueError(f"{key} is {values!r}; allowed: {allowed}")
    for value in values:
        if not _is_number(value) or value < least:
            raise ValueError(f"{key} has {value!r}; allowed: {allowed}")
    return tuple(map(float, values))
