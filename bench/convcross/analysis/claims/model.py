"""Cost models fitted to measured cells: exponents with intervals, and the crossover they predict.

A direct sum: t = a + b·n^p·N^q. An FFT: t = a + c·M²·log2 M at its padded size M. Errors:
e = k·n^e·N^f. All are fitted to logarithms, so that a cell counts by its relative misfit, by
``stats.robust_fit``, whose intervals are 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize

from convcross.analysis.crossover.sides import Pair
from convcross.analysis.crossover.verdict import Verdict
from convcross.analysis.tables import by_cell
from convcross.stats.bootstrap import Array
from convcross.stats.robust_fit import MOST_CONSTANT, robust_scale, soft_l1_fit

LARGEST = 1 << 20  # of a padded side
TINY = float(np.finfo(np.float64).tiny)
MORE_CELLS = 3  # than parameters, at least
MOST_LOG = 700.0  # of a factor and its interval: beyond, exp has no value


class Unfit(ValueError):
    """The cells cannot tell the parameters of this model; the message says why."""


@dataclass(frozen=True)
class Estimate:
    """A parameter and its 95 % interval."""

    value: float
    low: float
    high: float

    def covers(self, truth: float) -> bool:
        return self.low <= truth <= self.high


@dataclass(frozen=True)
class Fit:
    """A model of one contender, fitted to the cells that it was measured in.

    Attributes
    ----------
    constant : a, in seconds; None for errors
    factor : b, c or k
    exponents : p and q of n^p·N^q (e and f of errors); none for an FFT's model
    cells : N, n, M, work (M²·log2 M of an FFT's model, else 1), value (measured) and fitted, a row
        a cell
    spread : robust standard deviation of the relative misfit
    explained : share of the variance of the logarithms
    """

    contender: str
    family: str
    constant: Estimate | None
    factor: Estimate
    exponents: tuple[Estimate, ...]
    cells: pd.DataFrame
    spread: float
    explained: float

    def predict(self, n: Array, N: int) -> Array:
        """The model at kernel sizes n (K,), in the unit of what was fitted.

        Between the measured n of an image size the work of an FFT is interpolated, beyond them it
        stays; the padded size is known of measured cells alone.
        """
        logs = np.full(len(n), np.log(max(self.factor.value, TINY)))
        if self.exponents:
            p, q = self.exponents
            logs += p.value * np.log(n) + q.value * np.log(N)
        else:
            own = self.cells[self.cells["N"] == N].sort_values("n")
            logs += np.interp(np.log(n), np.log(own["n"]), np.log(own["work"]))
        value: Array = np.exp(np.minimum(logs, -np.log(TINY)))  # exponents of few cells may be wild
        return value + (0.0 if self.constant is None else self.constant.value)

    @property
    def worst(self) -> tuple[int, int, float]:
        """(N, n, measured over fitted) of the cell that fits worst."""
        ratio = (self.cells["value"] / self.cells["fitted"]).to_numpy(dtype=float)
        place = int(np.argmax(np.abs(np.log(ratio))))
        N, n = self.cells[["N", "n"]].iloc[place]
        return int(N), int(n), float(ratio[place])


def measured(rows: pd.DataFrame) -> pd.DataFrame:
    """The cells of ``by_cell`` with ``M``, the padded size in the record, and ``work``: M²·log2 M.

    Parameters
    ----------
    rows : usable grid of one set of conditions; column ``padded`` has (M1, M2) or None, and M² is
        M1·M2. Both are NaN where the record has no padded size.
    """
    cells = by_cell(rows)
    sides = rows["padded"].map(_side).groupby([rows["contender"], rows["N"], rows["n"]]).median()
    keys = pd.MultiIndex.from_frame(cells[["contender", "N", "n"]])
    M = sides.reindex(keys).to_numpy(dtype=float)
    return cells.assign(M=M, work=work(M))


def _side(padded: Any) -> float:
    """Of a contender's own words on how it computes, which may be anything."""
    sides = padded if isinstance(padded, (list, tuple)) and len(padded) == 2 else [math.nan]
    known = all(isinstance(side, int) and 1 <= side <= LARGEST for side in sides)
    return math.sqrt(math.prod(sides)) if known else math.nan


def work(M: Array) -> Array:
    """M²·log2 M"""
    found: Array = M**2 * np.log2(np.maximum(M, 2))
    return found


def power_law(cells: pd.DataFrame) -> Fit:
    """t = a + b·n^p·N^q. Raises Unfit on fewer than 3 kernel or 2 image sizes, or 7 cells."""
    _several(cells, "seconds", parameters=4)
    return _fitted(cells.assign(work=1.0), "seconds", constant=True, powers=True)


def transform_law(cells: pd.DataFrame) -> Fit:
    """t = a + c·M²·log2 M. Raises Unfit where the records name fewer than 3 padded sizes."""
    known = cells[cells["work"].notna()]
    if known.empty:
        raise Unfit("its records name no padded size")
    sizes = known["work"].nunique()
    if sizes < 3 or len(known) < 2 + MORE_CELLS:
        raise Unfit(f"{len(known)} cells of {sizes} padded sizes; a fit needs 5 of 3")
    return _fitted(known, "seconds", constant=True, powers=False)


def error_growth(cells: pd.DataFrame) -> Fit:
    """Relative L2 error as k·n^e·N^f. Raises Unfit as ``power_law`` does."""
    known = cells[cells["error"] > 0]
    _several(known, "error", parameters=3)
    return _fitted(known.assign(work=1.0), "error", constant=False, powers=True)


def _several(cells: pd.DataFrame, what: str, parameters: int) -> None:
    kernels, images = cells["n"].nunique(), cells["N"].nunique()
    if kernels < 3 or images < 2 or len(cells) < parameters + MORE_CELLS:
        raise Unfit(
            f"{len(cells)} cells with {what} ({kernels} kernel sizes, {images} image sizes); a fit "
            f"needs {parameters + MORE_CELLS}, of 3 kernel and 2 image sizes"
        )


def _fitted(cells: pd.DataFrame, column: str, *, constant: bool, powers: bool) -> Fit:
    cells = cells[["contender", "family", "N", "n", "M", "work", column]].rename(
        columns={column: "value"}
    )
    logs = np.log(cells[["n", "N"]].to_numpy(dtype=float)) if powers else np.empty((len(cells), 0))
    middle = logs.mean(axis=0)  # where factor and exponents are least correlated
    value = cells["value"].to_numpy(dtype=float)
    offset = np.log(cells["work"].to_numpy(dtype=float))
    found = soft_l1_fit(value, offset, logs - middle, constant)
    reach = np.array([found.reach(direction) for direction in np.eye(len(found.theta))])
    low, high = found.theta - reach, found.theta + reach
    least = float(value.min())
    a = Estimate(
        *(least * min(max(0.0, part[0]), MOST_CONSTANT) for part in (found.theta, low, high))
    )
    # Back from the middle to n = N = 1: log b = β − p·middle_n − q·middle_N.
    back = np.concatenate([[0.0, 1.0], -middle])
    beta, width = float(back @ found.theta), found.reach(back)
    if not abs(beta) + width < MOST_LOG:
        raise Unfit(f"{len(cells)} cells leave its factor open by more than a float holds")
    return Fit(
        contender=str(cells["contender"].iloc[0]),
        family=str(cells["family"].iloc[0]),
        constant=a if constant else None,
        factor=Estimate(*(math.exp(beta + side * width) for side in (0, -1, 1))),
        exponents=tuple(
            Estimate(*map(float, part))
            for part in zip(found.theta[2:], low[2:], high[2:], strict=True)
        ),
        cells=cells.assign(fitted=value * np.exp(found.residuals)),
        spread=robust_scale(found.residuals, 2 + logs.shape[1]),
        explained=1 - float(np.mean(found.residuals**2) / max(np.var(np.log(value)), 1e-300)),
    )


# ---- all contenders of a set of conditions -------------------------------------------------


@dataclass(frozen=True)
class Models:
    """What could be fitted under one set of conditions, and for the rest why not.

    Attributes
    ----------
    power : contender → its power law
    transform : contender of family fft → its law in the padded size
    error : contender → growth of its error
    unfit : contender → why it has no law of time
    """

    power: dict[str, Fit]
    transform: dict[str, Fit]
    error: dict[str, Fit]
    unfit: dict[str, str]

    def of(self, side: str) -> list[Fit]:
        """The laws of time of a contender, or of all of a family; an FFT's own where there is."""
        laws = self.power | self.transform
        return [fit for name, fit in laws.items() if side in (name, fit.family)]


def models(rows: pd.DataFrame) -> Models:
    """Fit each contender of the usable grid of one set of conditions; see ``measured``."""
    found = Models({}, {}, {}, {})
    for key, cells in measured(rows).groupby("contender", sort=True):
        name, family = str(key), cells["family"].iloc[0]
        laws = [(power_law, found.power, True), (error_growth, found.error, False)]
        if family == "fft":
            laws.append((transform_law, found.transform, False))
        for law, kept, matters in laws:
            try:
                kept[name] = law(cells)
            except Unfit as reason:
                if matters:
                    found.unfit[name] = str(reason)
    return found


@dataclass(frozen=True)
class Prediction:
    """n*(N) of the models, beside the measured verdict.

    Attributes
    ----------
    verdict : "crosses", or "always" or "never" where B is ahead or behind at every n from 1 to N
    n_star : the last zero, where they cross
    inside : whether it lies between the kernel sizes that the models were fitted to
    """

    N: int
    verdict: str
    n_star: float | None
    inside: bool
    measured: Verdict


def predictions(models: Models, pair: Pair, verdicts: Mapping[int, Verdict]) -> list[Prediction]:
    """At each N of the measured verdicts in time where both sides of the pair have laws."""
    found = []
    for N, verdict in sorted(verdicts.items()):
        a, b = ([fit for fit in models.of(side) if N in set(fit.cells["N"])] for side in pair)
        if not a or not b:
            continue
        n = np.geomspace(1.0, N, 2000)
        ratio = np.log(_least(a, n, N) / _least(b, n, N))
        kernels = pd.concat([fit.cells.loc[fit.cells["N"] == N, "n"] for fit in (*a, *b)])
        behind = np.flatnonzero(ratio <= 0)
        if not len(behind):
            found.append(Prediction(N, "always", None, False, verdict))
        elif behind[-1] == len(n) - 1:
            found.append(Prediction(N, "never", None, False, verdict))
        else:
            n_star = float(n[behind[-1] + 1])
            inside = bool(kernels.min() <= n_star <= kernels.max())
            found.append(Prediction(N, "crosses", n_star, inside, verdict))
    return found


def _least(fits: Sequence[Fit], n: Array, N: int) -> Array:
    least: Array = np.stack([fit.predict(n, N) for fit in fits]).min(axis=0)
    return least


# ---- what a direct sum consists of ---------------------------------------------------------


@dataclass(frozen=True)
class Parts:
    """t = call + pixel·N² + product·n²·N², in seconds, none of them negative."""

    call: float
    pixel: float
    product: float

    def shares(self, N: int, n: int) -> tuple[float, float, float]:
        """Of the time at N and n: the call, the pixels, the products."""
        call, pixels, products = self.call, self.pixel * N**2, self.product * n**2 * N**2
        total = call + pixels + products
        return call / total, pixels / total, products / total

    def mostly_products(self, cells: pd.DataFrame, share: float) -> dict[int, int | None]:
        """N → the least measured n from which the products take this share; None for nowhere."""
        found: dict[int, int | None] = {}
        for N, own in cells.groupby("N"):
            sizes = [int(n) for n in sorted(own["n"])]
            size = int(str(N))
            found[size] = next((n for n in sizes if self.shares(size, n)[2] >= share), None)
        return found


def parts(cells: pd.DataFrame) -> Parts:
    """The parts of one contender's time, by the robust loss of the laws. ``cells``: those of
    ``by_cell``, enough for a ``power_law``."""
    N, n = (cells[key].to_numpy(dtype=float) for key in ("N", "n"))
    value = cells["seconds"].to_numpy(dtype=float)
    columns = np.stack([np.ones(len(N)), N**2, n**2 * N**2], axis=1) / value[:, None]
    scale = columns.max(axis=0)
    start, _ = optimize.nnls(columns / scale, np.ones(len(N)))
    found = optimize.least_squares(
        lambda x: np.log(columns / scale @ x + 1e-300),
        start + 1e-6,
        bounds=(0.0, np.inf),
        loss="soft_l1",
        f_scale=0.1,
        x_scale="jac",
    )
    return Parts(*map(float, found.x / scale))
