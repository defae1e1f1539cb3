"""A contender's cost as a function of the problem, fitted to a few measurements of it.

The base's coefficients, all ≥ 0, are those of least squares (Lawson & Hanson 1974, Solving Least
Squares Problems, chapter 23) of (t − f) / √(t f), which is a log ratio for small ones, iterated.
A Gaussian process of what they miss follows, its length scales, signal and noise at the maximum of
the marginal likelihood times weak priors (Rasmussen & Williams 2006, sections 5.4.1 and 5.2).
Neighbours on a machine only ever add time: a sample that lies above what the others predict of it
by more than noise would counts less, by the weights of Student's t (Lange, Little & Taylor 1989,
JASA 84). An interval is as wide as samples left out of a fit lie from it, fold by fold, at the rank
of split conformal prediction (Vovk, Gammerman & Shafer 2005, section 4.1; Lei et al. 2018, JASA
113). tests/proofs/prediction.py says what they cover.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import threadpoolctl
from scipy import linalg, optimize, stats

from convcross.stats.bootstrap import Array
from convkernels.prediction import (
    CONFIDENCE,
    FEATURES,
    LEAST_SECONDS,
    OFFSET,
    CostModel,
    correlation,
    features,
    terms,
)
from convkernels.problem import Problem
from convkernels.registry import Cost

LEAST = 3  # samples
FOLDS = 5
SLOPE = 0.1  # exponent, by which a power of a feature may err
SHORT, LONG = 2.0, 3.0  # octaves: length scales of the sides of image and kernel, and of the rest
SIGNAL, NOISE = 0.2, 0.08  # log seconds
WEAK = 0.8  # standard deviation of the logarithms of hyperparameters
FARTHEST = 4.0  # that they may lie from their priors
FREEDOM = 4.0  # degrees of freedom of Student's t
ROUNDS = 2  # of weights of the process
BASE_ROUNDS = 8  # of weights of the base
TIGHT = 0.05  # log seconds: misfits of the base below it all count in full


@dataclass(frozen=True)
class Sample:
    """What is measured, as the model sees it: (n, terms), (n, features) and (n,) log seconds."""

    work: Array
    at: Array
    logs: Array

    def __getitem__(self, which: npt.NDArray[np.bool_]) -> Sample:
        return Sample(self.work[which], self.at[which], self.logs[which])

    def residuals(self, coefficients: Sequence[float] | Array) -> Array:
        """(n,) log of measured seconds over the base."""
        return self.logs - np.log(np.maximum(self.work @ coefficients, LEAST_SECONDS))


def fit(
    problems: Sequence[Problem],
    costs: Sequence[Cost],
    seconds: Sequence[float],
    *,
    warm: CostModel | None = None,
) -> CostModel:
    """The cost model of one phase of one contender.

    Parameters
    ----------
    problems, costs, seconds : of each measurement: at least 3, of 80 at most in mind
    warm : CostModel or None
        Of other measurements of the same phase, as of fewer: its length scales, signal and noise
        are kept, which takes a tenth of the time; intervals are then narrower than they should be.

    Raises
    ------
    ValueError
        Fewer measurements, sequences of several lengths, or seconds that are not positive.
    """
    sample = _sample(problems, costs, seconds)
    with _blas().limit(limits=1):  # of matrices so small, threads only wait for each other
        process = _fitted(sample, warm)
        if warm is not None:
            return process.model(process.left_out())
        return process.model(_left_out_by_fold(sample, process.model(np.empty(0))))


@functools.cache
def _blas() -> Any:
    """The BLAS libraries of NumPy and SciPy, which are loaded by now."""
    return threadpoolctl.ThreadpoolController().select(user_api="blas")


def _sample(problems: Sequence[Problem], costs: Sequence[Cost], seconds: Sequence[float]) -> Sample:
    if not len(problems) == len(costs) == len(seconds):
        counts = f"{len(problems)} problems, {len(costs)} costs and {len(seconds)} seconds"
        raise ValueError(f"{counts}; allowed: as many of each")
    if len(problems) < LEAST:
        raise ValueError(f"measurements are {len(problems)}; allowed: {LEAST} or more")
    for value in seconds:
        if not 0 < value < math.inf:
            raise ValueError(f"seconds has {value!r}; allowed: positive numbers")
    return Sample(
        np.array([terms(*pair) for pair in zip(problems, costs, strict=True)]),
        np.array([features(problem) for problem in problems]),
        np.log(np.asarray(seconds, dtype=np.float64)),
    )


def _base(sample: Sample) -> Array:
    """Coefficients ≥ 0 of the terms; samples that lie far from the others count less."""
    seconds = np.exp(sample.logs)
    fitted, weights = seconds, np.ones(len(seconds))
    for _ in range(BASE_ROUNDS):
        scale = weights / np.sqrt(seconds * np.maximum(fitted, 1e-3 * seconds))
        rows = sample.work * scale[:, None]
        size = np.maximum(np.linalg.norm(rows, axis=0), 1e-300)
        found, _ = optimize.nnls(rows / size, seconds * scale)
        coefficients = found / size
        fitted = sample.work @ coefficients
        misfit = np.abs(sample.residuals(coefficients))
        spread = max(TIGHT, 1.4826 * float(np.median(misfit)))
        weights = 1 / np.sqrt(np.maximum(1.0, misfit / (2 * spread)))
    coefficients[0] = max(coefficients[0], LEAST_SECONDS)
    return np.asarray(coefficients)


def _fitted(sample: Sample, start: CostModel | None = None, *, tuned: bool = False) -> _Process:
    """The process of a sample; from a start, with its hyperparameters unless they are tuned."""
    process = _Process(sample, _base(sample), start)
    tuned = tuned or start is None
    if tuned:
        process.tune()
    for _ in range(ROUNDS):
        process.weigh()
    if tuned:
        process.tune()
    return process


def _left_out_by_fold(sample: Sample, whole: CostModel) -> Array:
    """(n,) standard deviations that each sample lies from a fit without those of its fold."""
    count = len(sample.logs)
    fold = np.random.default_rng(0).permutation(count) % min(FOLDS, count)
    scores = np.empty(count)
    for number in np.unique(fold):
        model = _fitted(sample[fold != number], whole, tuned=True).model(np.empty(0))
        out = sample[fold == number]
        mean, deviation = model.process(out.at)
        scores[fold == number] = (out.residuals(model.coefficients) - mean) / deviation
    return scores


class _Process:
    """The Gaussian process of a sample's residuals. Its hyperparameters θ are logs: of noise, of
    signal, and of the length scales of those features that differ between samples."""

    def __init__(self, sample: Sample, coefficients: Array, start: CostModel | None) -> None:
        at = sample.at
        self.at, self.coefficients = at, coefficients
        self.residuals = sample.residuals(coefficients)
        self.varied = np.flatnonzero(np.ptp(at, axis=0) > 0)
        apart = at[:, None, self.varied] - at[None, :, self.varied]
        self.squares = np.moveaxis(apart**2, -1, 0).reshape(len(self.varied), len(at) ** 2)
        lines = (at - np.median(at, axis=0)) * SLOPE
        self.lines = lines @ lines.T + OFFSET**2
        self.scales = np.array(
            [SHORT if name in ("image", "kernel") else LONG for name in FEATURES]
        )
        self.prior = np.log([NOISE, SIGNAL, *self.scales[self.varied]])
        self.theta = self.prior
        if start is not None:
            scales = np.array(start.scales)[self.varied]
            self.theta = np.log([start.noise, start.signal, *scales])
        self.excess = np.zeros(len(at))

    @property
    def noise(self) -> float:
        """Variance of a measurement."""
        return math.exp(2 * self.theta[0])

    def tune(self) -> None:
        """Take θ of the largest posterior density."""
        self.theta = optimize.minimize(
            self._loss,
            self.theta,
            jac=True,
            method="L-BFGS-B",
            bounds=[(center - FARTHEST, center + FARTHEST) for center in self.prior],
            options={"maxiter": 40, "ftol": 1e-5},
        ).x

    def _parts(self, theta: Array) -> tuple[Array, Array, Array]:
        """Covariance of the samples (n, n), its smooth part, and the derivative of that by r²."""
        count = len(self.at)
        squares = (np.exp(-2 * theta[2:]) @ self.squares).reshape(count, count)
        variance, distance = math.exp(2 * theta[1]), np.sqrt(5.0 * squares)
        smooth = variance * correlation(squares)
        slope = -5 / 6 * variance * (1 + distance) * np.exp(-distance)
        whole = smooth + self.lines
        whole.flat[:: count + 1] += math.exp(2 * theta[0]) + self.excess
        return whole, smooth, slope

    def _loss(self, theta: Array) -> tuple[float, Array]:
        """Minus the log of the posterior density, and its gradient: eqs. 5.8 and 5.9."""
        whole, smooth, slope = self._parts(theta)
        factor, _ = linalg.lapack.dpotrf(whole, lower=True)
        lower, _ = linalg.lapack.dpotri(factor, lower=True)
        inverse = np.tril(lower) + np.tril(lower, -1).T
        weights = inverse @ self.residuals
        away = (theta - self.prior) / WEAK
        loss = (self.residuals @ weights + away @ away) / 2 + np.log(np.diag(factor)).sum()
        inner = inverse - np.outer(weights, weights)
        by_scale = -(self.squares @ (inner * slope).ravel()) * np.exp(-2 * theta[2:])
        by_noise, by_signal = np.trace(inner) * math.exp(2 * theta[0]), (inner * smooth).sum()
        return float(loss), np.array([by_noise, by_signal, *by_scale]) + away / WEAK

    def left_out(self) -> Array:
        """(n,) standard deviations that each sample lies above what the others predict: eq. 5.12,
        the deviation that of a sample that nothing disturbed."""
        inverse = np.linalg.inv(self._parts(self.theta)[0])
        variance = 1 / np.diag(inverse)
        deviation = np.sqrt(np.maximum(variance - self.excess, self.noise))
        scores: Array = (inverse @ self.residuals) * variance / deviation
        return scores

    def weigh(self) -> None:
        """Give samples that lie above what the others predict more noise."""
        above = np.maximum(self.left_out(), 0.0)
        weight = np.minimum(1.0, (FREEDOM + 1) / (FREEDOM + above**2))
        self.excess = self.noise * (1 / weight - 1)

    def model(self, scores: Array) -> CostModel:
        """With intervals that reach as far as such scores of samples left out ask for."""
        scales = self.scales.copy()
        scales[self.varied] = np.exp(self.theta[2:])
        values: dict[str, Any] = {
            "coefficients": self.coefficients,
            "scales": scales,
            "slopes": np.full(len(FEATURES), SLOPE),
            "residuals": self.residuals,
            "excess": self.excess,
        }
        model = CostModel(
            **{name: tuple(array.tolist()) for name, array in values.items()},
            signal=math.exp(self.theta[1]),
            noise=math.exp(self.theta[0]),
            reach=_reach(scores, len(self.at)),
            samples=tuple(map(tuple, self.at.tolist())),
        )
        return dataclasses.replace(model, weights=model.solve())


def _reach(scores: Array, count: int) -> float:
    """Standard deviations of an interval: by rank where there are enough scores, and no fewer than
    those of Student's t of the samples."""
    least = float(stats.t.ppf((1 + CONFIDENCE) / 2, max(1, count - LEAST + 1)))
    rank = math.ceil((len(scores) + 1) * CONFIDENCE)
    if rank > len(scores):
        return max(least, float(np.abs(scores).max(initial=0.0)))
    return max(least, float(np.sort(np.abs(scores))[rank - 1]))
