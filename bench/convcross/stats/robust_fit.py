"""A cost model fitted to logarithms, robustly: a + exp(offset + β + logs · exponents).

The loss is soft L1 (scipy.optimize.least_squares), so that an outlier does not lead. Intervals are
95 %, by Student's t and the larger of two variances of that estimator (Huber 1981, section 7.6):
the sandwich with leverages taken out of the residuals (HC3 of MacKinnon & White 1985) and that of
misfits of one distribution, as the first alone is too small for few cells (Angrist & Pischke 2009,
section 8.1). They hold where misfits of cells are independent; tests/proofs/exponents.py covers
planted exponents with them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, stats

from convcross.stats.bootstrap import Array
from convcross.stats.confidence import CONFIDENCE

MOST_CONSTANT = 1.5  # a, over the least time: it may exceed what noise made the least
LOSS_SCALE = 2.0  # standard deviations of misfit from which on it counts less than squared
LEAST_SCALE = 1e-6  # of log residuals: below it they are rounding


@dataclass(frozen=True)
class Solution:
    """θ = (a over the least value, β, exponents…), its covariances, and log(fitted / measured)."""

    theta: Array
    covariances: tuple[Array, Array]
    residuals: Array
    quantile: float

    def reach(self, direction: Array) -> float:
        """Half width of the interval of direction · θ, by the larger of the two variances."""
        variances = [float(direction @ covariance @ direction) for covariance in self.covariances]
        return self.quantile * math.sqrt(max(0.0, *variances))


def soft_l1_fit(value: Array, offset: Array, logs: Array, constant: bool) -> Solution:
    """Fit a + exp(offset + β + logs · exponents) to positive values (cells,)."""
    targets, least = np.log(value), float(value.min())
    free = np.array([constant, True, *[True] * logs.shape[1]])

    def parts(theta: Array) -> tuple[Array, Array, Array]:
        full = np.zeros(len(free))
        full[free] = theta
        power = np.exp(np.minimum(offset + full[1] + logs @ full[2:], 700.0))
        total = full[0] * least + power + 1e-300
        share = (power / total)[:, None]
        jacobian = np.hstack([(least / total)[:, None], share, share * logs])
        return total, jacobian[:, free], full

    def residuals(theta: Array) -> Array:
        difference: Array = np.log(parts(theta)[0]) - targets
        return difference

    def solved(start: Array, scale: float) -> Any:
        bounds = np.where(free, -np.inf, 0.0), np.full(len(free), np.inf)
        bounds[0][0], bounds[1][0] = 0.0, MOST_CONSTANT
        return optimize.least_squares(
            residuals,
            start,
            jac=lambda theta: parts(theta)[1],
            bounds=(bounds[0][free], bounds[1][free]),
            loss="soft_l1",
            f_scale=scale,
            x_scale="jac",
        )

    columns = np.hstack([np.ones((len(value), 1)), logs])
    line = np.linalg.lstsq(columns, targets - offset, rcond=None)[0]
    starts = [np.array([a, *line])[free] for a in ((0.01, 0.5, 0.9) if constant else (0.0,))]
    first = min((solved(start, 0.1) for start in starts), key=lambda solution: solution.cost)
    scale = LOSS_SCALE * robust_scale(first.fun, free.sum())
    best = solved(first.x, scale)
    _, jacobian, theta = parts(best.x)
    covariances = _covariances(jacobian, best.fun, scale)
    if not constant:  # a = 0 for sure
        covariances = (np.pad(covariances[0], (1, 0)), np.pad(covariances[1], (1, 0)))
    spare = len(value) - int(free.sum())
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, spare))
    return Solution(theta, covariances, best.fun, quantile)


def robust_scale(residuals: Array, parameters: int) -> float:
    """Robust standard deviation of log residuals, by the size that four of five stay under.

    Not their median size: of two levels of noise that tells but the nearer one.
    """
    lost = math.sqrt(len(residuals) / max(1, len(residuals) - int(parameters)))
    size = float(np.quantile(np.abs(residuals), 0.8) / stats.norm.ppf(0.9))
    return max(LEAST_SCALE, lost * size)


def _covariances(jacobian: Array, residuals: Array, scale: float) -> tuple[Array, Array]:
    """Covariance of the soft L1 estimate, for misfits of unlike and of one distribution.

    The first is the sandwich, each score divided by 1 − its leverage.
    """
    z = 1 + (residuals / scale) ** 2
    scores, slopes = residuals / np.sqrt(z), z**-1.5
    bread = np.linalg.pinv(jacobian.T @ (slopes[:, None] * jacobian))
    leverage = np.einsum("ij,jk,ik->i", jacobian, bread, jacobian) * slopes
    corrected = scores / np.maximum(1e-3, 1 - leverage)
    meat = jacobian.T @ (corrected[:, None] ** 2 * jacobian)
    count, parameters = jacobian.shape
    variance = np.sum(scores**2) / (count - parameters) / np.mean(slopes) ** 2
    return bread @ meat @ bread, variance * np.linalg.pinv(jacobian.T @ jacobian)
