"""A contender's cost as a function of the problem, fitted to a few measurements of it.

The base's coefficients, all ≥ 0, are those of the least squared relative error (Lawson & Hanson
1974, Solving Least Squares Problems, chapter 23). A Gaussian process of what they miss follows, its
length scales, signal and noise at the maximum of the marginal likelihood times weak priors
(Rasmussen & Williams 2006, sections 5.4.1 and 5.4.2). Neighbours on a machine only ever add time:
a sample that lies above what the others predict of it by more than noise would counts less, by the
weights of Student's t (Lange, Little & Taylor 1989, JASA 84). Intervals are as wide as the
residuals of leaving each sample out ask for (section 5.4.2, eq. 5.12; the rank of split conformal
prediction: Lei et al. 2018, JASA 113). tests/proofs/prediction.py says what they cover.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize, stats

from convcross.stats.bootstrap import Array
from convkernels.prediction import (
    CONFIDENCE,
    FEATURES,
    LEAST_SECONDS,
    OFFSET,
    CostModel,
    features,
    terms,
)
from convkernels.problem import Problem
from convkernels.registry import Cost

LEAST = 3  # samples
SLOPE = 0.1  # exponent, by which a power of a feature may err
SCALES = {"image": 2.0, "kernel": 2.0}  # octaves; those of the others
SCALE = 3.0
SIGNAL, NOISE = 0.2, 0.04  # log seconds
WEAK = 0.8  # standard deviation of the logarithms of hyperparameters
FREEDOM = 4.0  # degrees of freedom of Student's t
ROUNDS = 2  # of weights


@dataclass(frozen=True)
class Sample:
    """What is measured, as the model sees it: (n, terms), (n, d) and (n,) log seconds."""

    work: Array
    at: Array
    logs: Array


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
        Of fewer measurements of the same phase: its length scales, signal and noise are kept, which
        is cheap.

    Raises
    ------
    ValueError
        Fewer measurements, sequences of several lengths, or seconds that are not positive.
    """
    if not len(problems) == len(costs) == len(seconds):
        counts = f"{len(problems)} problems, {len(costs)} costs and {len(seconds)} seconds"
        raise ValueError(f"{counts}; allowed: as many of each")
    if len(problems) < LEAST:
        raise ValueError(f"measurements are {len(problems)}; allowed: {LEAST} or more")
    for value in seconds:
        if not 0 < value < math.inf:
            raise ValueError(f"seconds has {value!r}; allowed: positive numbers")
    sample = Sample(
        np.array([terms(*pair) for pair in zip(problems, costs, strict=True)]),
        np.array([features(problem) for problem in problems]),
        np.log(np.asarray(seconds, dtype=np.float64)),
    )
    coefficients = _base(sample)
    base = np.maximum(sample.work @ coefficients, LEAST_SECONDS)
    process = _Process(sample.at, sample.logs - np.log(base))
    theta = process.start() if warm is None else process.of(warm)
    excess = np.zeros(len(sample.logs))
    for number in range(ROUNDS + 1):
        if warm is None:
            theta = process.best(theta, excess)
        if number < ROUNDS:
            excess = process.disturbed(theta, excess)
    return process.model(theta, excess, coefficients)


def _base(sample: Sample) -> Array:
    """Coefficients ≥ 0 of the terms; a disturbed sample, above the others, counts less."""
    relative = sample.work / np.exp(sample.logs)[:, None]
    size = np.maximum(np.linalg.norm(relative, axis=0), 1e-300)
    weights = np.ones(len(relative))
    for _ in range(3):
        found, _ = optimize.nnls(relative * weights[:, None] / size, weights)
        ratio = np.maximum(relative @ (found / size), 1e-9)
        above = -np.log(ratio)
        spread = max(0.05, 1.4826 * float(np.median(np.abs(above))))
        weights = 1 / np.sqrt(np.maximum(1.0, above / (2 * spread)))
    coefficients: Array = found / size
    coefficients[0] = max(coefficients[0], LEAST_SECONDS)
    return coefficients


class _Process:
    """The Gaussian process of residuals (n,) at features (n, d); θ = log of signal, noise and the
    length scales of those features that differ between samples."""

    def __init__(self, at: Array, residuals: Array) -> None:
        self.at, self.residuals = at, residuals
        self.varied = np.flatnonzero(np.ptp(at, axis=0) > 0)
        apart = at[:, None, self.varied] - at[None, :, self.varied]
        self.squares = np.ascontiguousarray(np.moveaxis(apart**2, -1, 0))
        lines = (at - np.median(at, axis=0)) * SLOPE
        self.fixed = lines @ lines.T + OFFSET**2
        self.scales = np.array([SCALES.get(name, SCALE) for name in FEATURES])
        self.prior = np.log([SIGNAL, NOISE, *self.scales[self.varied]])

    def start(self) -> Array:
        return self.prior.copy()

    def of(self, warm: CostModel) -> Array:
        scales = np.array(warm.scales)[self.varied]
        return np.log([warm.signal, warm.noise, *scales])

    def best(self, theta: Array, excess: Array) -> Array:
        """θ of the largest posterior density."""
        found = optimize.minimize(
            self.loss,
            theta,
            args=(excess,),
            jac=True,
            method="L-BFGS-B",
            bounds=[(center - 4, center + 4) for center in self.prior],
            options={"maxiter": 40, "ftol": 1e-6},
        )
        best: Array = found.x
        return best

    def parts(self, theta: Array, excess: Array) -> tuple[Array, Array, Array]:
        """Covariance of the samples; its smooth part; the derivative of that by r²."""
        signal, noise = np.exp(2 * theta[:2])
        squares = np.tensordot(np.exp(-2 * theta[2:]), self.squares, axes=1)
        distance = np.sqrt(5.0 * squares)
        decay = signal * np.exp(-distance)
        smooth = decay * (1 + distance + distance**2 / 3)
        slope = -5 / 6 * decay * (1 + distance)
        whole = smooth + self.fixed
        whole[np.diag_indices(len(whole))] += noise + excess
        return whole, smooth, slope

    def loss(self, theta: Array, excess: Array) -> tuple[float, Array]:
        """Minus the log of the posterior density, and its gradient: eqs. 5.8 and 5.9."""
        whole, smooth, slope = self.parts(theta, excess)
        factor = linalg.cholesky(whole, lower=True, check_finite=False)
        inverse = linalg.cho_solve((factor, True), np.eye(len(whole)), check_finite=False)
        weights = inverse @ self.residuals
        away = (theta - self.prior) / WEAK
        loss = self.residuals @ weights / 2 + np.log(np.diag(factor)).sum() + away @ away / 2
        inner = inverse - np.outer(weights, weights)
        by_scale = -np.tensordot(self.squares, inner * slope, axes=2) * np.exp(-2 * theta[2:])
        by_signal, by_noise = (inner * smooth).sum(), np.trace(inner) * math.exp(2 * theta[1])
        return float(loss), np.array([by_signal, by_noise, *by_scale]) + away / WEAK

    def left_out(self, theta: Array, excess: Array) -> tuple[Array, Array]:
        """(n,) residual and standard deviation of each sample as the others predict it."""
        inverse = np.linalg.inv(self.parts(theta, excess)[0])
        variance = 1 / np.diag(inverse)
        return (inverse @ self.residuals) * variance, np.sqrt(
            np.maximum(variance - excess, math.exp(2 * theta[1]))
        )

    def disturbed(self, theta: Array, excess: Array) -> Array:
        """Variance beyond noise, of samples that lie above what the others predict."""
        residual, deviation = self.left_out(theta, excess)
        above = np.maximum(residual / deviation, 0.0)
        weight = np.minimum(1.0, (FREEDOM + 1) / (FREEDOM + above**2))
        variance: Array = math.exp(2 * theta[1]) * (1 / weight - 1)
        return variance

    def model(self, theta: Array, excess: Array, coefficients: Array) -> CostModel:
        residual, deviation = self.left_out(theta, excess)
        scores = np.sort(np.abs(residual) / deviation)
        count = len(scores)
        freedom = max(1, count - 2)
        reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))
        rank = math.ceil((count + 1) * CONFIDENCE)
        if rank <= count:
            reach = max(reach, float(scores[rank - 1]))
        scales = self.scales.copy()
        scales[self.varied] = np.exp(theta[2:])
        return CostModel(
            coefficients=tuple(coefficients.tolist()),
            signal=math.exp(theta[0]),
            noise=math.exp(theta[1]),
            scales=tuple(scales.tolist()),
            slopes=(SLOPE,) * len(FEATURES),
            reach=reach,
            samples=tuple(map(tuple, self.at.tolist())),
            residuals=tuple(self.residuals.tolist()),
            excess=tuple(excess.tolist()),
        )
