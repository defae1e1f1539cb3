"""Whether values come in two groups, as processes of which some have a slow mode.

    C = max over the places to cut of  (squares between the two parts) / (squares within them)

The maximum is large of any values, so it is held against that of as many normal ones (Engelman &
Hartigan 1969, JASA 64, "Percentage points of a test for clusters"), here by simulation.
tests/proofs/launches.py counts how often two groups are found, where there are and where not.
"""

from __future__ import annotations

import functools

import numpy as np

from convcross.stats.bootstrap import Array

ERROR = 0.01  # how often values of one normal distribution are said to come in two groups
LEAST = 5  # values; fewer do not tell
_TRIALS, _SEED = 20_000, 20260101


def upper(values: Array) -> int:
    """How many of the values (L,) make an upper group of their own; 0 where there are no two."""
    if len(values) < LEAST:
        return 0
    ordered = np.sort(values)
    ratios = _ratios(ordered[None])[0]
    cut = int(np.argmax(ratios))
    return len(values) - 1 - cut if ratios[cut] > _critical(len(values)) else 0


def _ratios(rows: Array) -> Array:
    """C of each place to cut (rows, L − 1) of rows of ascending values."""
    count = rows.shape[1]
    below = np.arange(1, count)
    left = rows - rows.mean(axis=1, keepdims=True)
    total = np.sum(left**2, axis=1, keepdims=True)
    # The parts' means differ from that of all by −S/below and S/(count − below).
    between = np.cumsum(left, axis=1)[:, :-1] ** 2 * (1 / below + 1 / (count - below))
    found: Array = between / np.maximum(total - between, 1e-12 * total + 1e-300)
    return found


@functools.cache
def _critical(count: int) -> float:
    normal = np.random.default_rng(_SEED).standard_normal((_TRIALS, count))
    found = _ratios(np.sort(normal, axis=1)).max(axis=1)
    return float(np.quantile(found, 1 - ERROR))
