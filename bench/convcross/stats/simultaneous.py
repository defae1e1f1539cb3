"""Which cells of a whole curve differ from zero: all of them together, at one confidence.

Of K cells that do not differ, some seem to at 95 % each: of 63, three. A bound that holds for all
at once has to look far into the tails, where a thousand bootstrap replicates have nothing to say
(the rarest that they can tell is one in a thousand; of 63 cells that one comes in 12 % of curves,
counted on both sides). So the replicates give the standard error of each cell, and the tail is
that of the largest of K studentised estimates, "max-t".

    t = estimate / standard error,    differs: |t| > c,    P(max |t| > c) = error

Cells are resampled independently, so that P(max |t| ≤ c) = P(|t| ≤ c)^K (Šidák 1967, JASA 62,
section 3). Each t is taken as Student's. Its degrees of freedom are those at which simulated
medians of R normal values exceed c once in a thousand: 2.5 for 3 values, 4.2 for 4, 7 for 5, and
14 to 19 from 8 values on, as the standard error of a median stays poorly known; (R − 1)^1.3, at
most 14, is at or below all of them. tests/proofs/simultaneous.py simulates both: that tail, and how
often a curve without any difference gets a verdict at 8 to 127 cells.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from convcross.stats.bootstrap import Array
from convcross.stats.percentile import Signs


def critical(samples: Array, cells: int, error: float) -> Array:
    """The |t| past which a cell differs, where so many are judged together.

    Parameters
    ----------
    samples : (K,) that each estimate was made of, at least 1
    cells : how many are judged together
    error : probability that any of them seems to differ where none does

    Returns
    -------
    array (K,)
    """
    each = -np.expm1(np.log1p(-error) / cells)  # 1 − (1 − error)^(1/cells), for small ones too
    freedom = np.clip((samples - 1.0) ** 1.3, 1.0, 14.0)
    bound: Array = -special.stdtrit(freedom, each / 2)
    return bound


def signs(
    estimates: Array, replicates: Array, samples: Array, *, cells: int, error: float
) -> Signs:
    """The sign of each estimate that differs from zero, one error for all of them; 0 for others.

    Parameters
    ----------
    estimates : (K,)
    replicates : (K, draws), bootstrap replicates of each
    samples, cells, error : see ``critical``

    Returns
    -------
    array (K,) of -1, 0, 1
        An estimate without spread (bytes, not times) differs unless it is zero.
    """
    spread = np.sqrt(np.mean((replicates - estimates[:, None]) ** 2, axis=1))
    differs = np.abs(estimates) > critical(samples, cells, error) * spread
    found: Signs = np.sign(estimates).astype(np.int64) * differs
    return found
