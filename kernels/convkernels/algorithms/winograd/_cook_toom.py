"""Transforms of Winograd's minimal filtering F(m, r), by Cook–Toom, in exact rationals.

m outputs of a correlation with r taps, y[i] = Σ_k g[k]·d[i + k], take α = m + r − 1 products:

    y = Aᵀ ((G g) ⊙ (Bᵀ d))

A product of polynomials g and q, of r and m coefficients, is interpolated from its values at α − 1
points a_i and from its leading coefficient, which is its value at ∞:

    g·q = Σ_i g(a_i)·q(a_i) · Π_{j≠i} (x − a_j)/(a_i − a_j)  +  g(∞)·q(∞) · Π_j (x − a_j)

G and A evaluate g and q at the points, a column of B has the coefficients of a polynomial on the
right, and the transpose of that map, from q to g·q, is the correlation (Winograd 1980, Arithmetic
Complexity of Computations, chapter IV; Lavin & Gray 2016, section 4).
"""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
from fractions import Fraction
from typing import Any

Row = tuple[Fraction, ...]
Matrix = tuple[Row, ...]

# In the order in which they are taken, beside ∞: small powers first, then pairs c, −1/c, whose
# rounding errors are the least (Barabasz et al. 2020, section 5): with 2, −1/2 those of F(4, 3) are
# 0.6 times those with 2, −2.
POINTS = tuple(map(Fraction, ("0", "1", "-1", "2", "-1/2", "-2", "1/2")))


@dataclasses.dataclass(frozen=True)
class Transforms:
    """Of F(m, r): Aᵀ (m, α), from products to outputs; G (α, r), of the filter; Bᵀ (α, α), of the
    pixels."""

    at: Matrix
    g: Matrix
    bt: Matrix

    @functools.cached_property
    def growth(self) -> float:
        """How much an error of the products grows, at most: λ_max(Σ_i |A_i|² t_i t_iᵀ), with
        t_i = G_i ⊗ B_i, where A_i, G_i and B_i are the rows of A, G and Bᵀ of point i.

        Product i is t_i · (g ⊗ d), errs by a share u of itself, and A_i spreads that over m
        outputs: their squared errors are at most u²·λ·|g|²·|d|² in one dimension. In two, where
        all matrices are Kronecker products, they are u²·λ²·|g|²·|d|². It is the product of the
        norms of A, G and B (Barabasz et al. 2020, section 3) less what cannot occur at once, and
        does not depend on how factors are dealt to the three.
        """
        import numpy as np

        at, g, bt = (np.asarray(matrix, dtype=np.float64) for matrix in (self.at, self.g, self.bt))
        return _growth(at.T, g, bt)

    @functools.cached_property
    def weight_growth(self) -> float:
        """The same of the filters' gradient Gᵀ ((A gy) ⊙ (Bᵀ d)), where A and G have changed
        places: λ_max(Σ_i |G_i|² t_i t_iᵀ), with t_i = A_i ⊗ B_i."""
        import numpy as np

        at, g, bt = (np.asarray(matrix, dtype=np.float64) for matrix in (self.at, self.g, self.bt))
        return _growth(g, at.T, bt)


def _growth(spreading: Any, first: Any, second: Any) -> float:
    """Of matrices with a row for each point: of the one that spreads products, of their factors."""
    import numpy as np

    spread = np.linalg.norm(spreading, axis=1)
    gram = np.outer(spread, spread) * (first @ first.T) * (second @ second.T)
    return float(np.linalg.norm(gram, 2))


@functools.cache
def transforms(m: int, r: int) -> Transforms:
    """Of F(m, r), over the first m + r − 2 of ``POINTS`` and ∞.

    Bᵀ is of whole numbers, and all denominators are in G.

    Raises
    ------
    ValueError
        Where there are too few points.
    """
    count = m + r - 2
    if min(m, r) < 1 or count > len(POINTS):
        raise ValueError(
            f"F({m}, {r}) takes {count} points; allowed: m and r from 1, and m + r − 2 up to "
            f"{len(POINTS)}"
        )
    points = POINTS[:count]
    a, g, bt = [], [], []
    for point in points:
        others = tuple(other for other in points if other != point)
        row = _whole((*_with_roots(others), Fraction(0)))
        value = sum(map(operator.mul, row, _powers(point, len(row))), start=Fraction(0))
        a.append(_powers(point, m))
        g.append(tuple(power / value for power in _powers(point, r)))
        bt.append(row)
    row = _whole(_with_roots(points))
    a.append(_leading(m))
    g.append(tuple(value / row[-1] for value in _leading(r)))
    bt.append(row)
    return Transforms(tuple(zip(*a, strict=True)), tuple(g), tuple(bt))


def _with_roots(roots: Row) -> Row:
    """Coefficients of Π (x − root), the constant one first."""
    found = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *found]
        found = [
            high - root * low for high, low in zip(shifted, [*found, Fraction(0)], strict=True)
        ]
    return tuple(found)


def _whole(row: Row) -> Row:
    """The least multiple whose numbers are whole."""
    factor = math.lcm(*(value.denominator for value in row))
    return tuple(factor * value for value in row)


def _powers(point: Fraction, count: int) -> Row:
    """1, point, point², … : what evaluates a polynomial there."""
    return tuple(point**power for power in range(count))


def _leading(count: int) -> Row:
    """What takes the leading coefficient of a polynomial: its value at ∞."""
    return (*(Fraction(0) for _ in range(count - 1)), Fraction(1))
