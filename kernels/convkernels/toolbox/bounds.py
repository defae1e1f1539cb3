"""Relative L2 errors that algorithms promise, as multiples of the unit roundoff.

They are statistical bounds: rounding errors behave as independent and of mean zero, so that a
sum of m terms loses about √m roundoffs, not m (Higham & Mary 2019, SIAM J. Sci. Comput. 41(5)).
They are relative to ‖y‖, or to ‖x‖·‖w‖ where cancellation makes y smaller than that.
"""

from __future__ import annotations

import math

from convkernels.problem import ROUNDOFF, Problem


def compute_dtype(dtype: str) -> str:
    """The type in which a textbook algorithm does arithmetic: float32 for 16-bit storage."""
    return "float64" if dtype == "float64" else "float32"


def storage(problem: Problem) -> float:
    """What rounding the result to its storage type costs beyond the arithmetic."""
    return 0.0 if problem.dtype in ("float64", "float32") else 1.5 * ROUNDOFF[problem.dtype]


def summation(problem: Problem) -> float:
    """Of a sum of ``problem.terms`` products in any order."""
    unit = ROUNDOFF[compute_dtype(problem.dtype)]
    return unit * (3 + 3 * math.sqrt(problem.terms)) + storage(problem)


def fourier(problem: Problem, points: int, spectra: int | None = None) -> float:
    """Of transforms over so many points (Schatzman 1996: O(log) in the mean square).

    ``spectra`` is how many products of spectra are summed: where it is not said, one for each input
    channel of a group.
    """
    unit = ROUNDOFF[compute_dtype(problem.dtype)]
    summed = spectra or problem.in_channels // problem.groups
    return unit * (4 + math.log2(points) + 3 * math.sqrt(summed)) + storage(problem)
