"""Whether two samples come from one distribution, and which of many such answers stand together.

U counts the pairs of a value of each sample in which the first is larger; p is the share of
orders of all values, equally likely where nothing differs, in which U is as far from its mean or
farther (Mann & Whitney 1947). Of m cells with p₍₁₎ ≤ … ≤ p₍ₘ₎ those up to the last with
p₍ₖ₎ ≤ k/m · α differ: of what is said to differ, at most a share α does not (Benjamini & Hochberg
1995). tests/proofs/comparisons.py simulates how often equal cells are said to differ.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from scipy import stats

from convcross.stats.bootstrap import Array

EXACT = 64  # samples a side up to which counting out all orders takes a millisecond


def mann_whitney(a: Array, b: Array) -> float:
    """p of the two-sided test of two samples (n,) and (m,); exact for few samples without ties.

    The normal approximation of 10 samples a side stays above 1e-4: a single cell could not stand
    out of many.
    """
    different = len(np.unique([*a, *b]))
    if different == 1:  # no order at all, of which SciPy from 1.18 on says NaN
        return 1.0
    tied = different < len(a) + len(b)
    exact = not tied and max(len(a), len(b)) <= EXACT
    return float(stats.mannwhitneyu(a, b, method="exact" if exact else "asymptotic").pvalue)


@functools.cache
def least_p(a: int, b: int) -> float:
    """The p of so many samples on either side that do not overlap: no less can be found."""
    ranks = np.arange(a + b, dtype=np.float64)
    return mann_whitney(ranks[:a], ranks[a:])


def adjusted(p: Sequence[float]) -> list[float]:
    """Each p times m/k, made to fall with p: what α has to be for its cell to stand."""
    return [float(one) for one in stats.false_discovery_control(p)] if len(p) else []
