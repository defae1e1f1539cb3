"""Kernels of rank 1, w = column · row: their factors, and what a separable algorithm costs.

A stored kernel is of rank 1 to within its rounding only: by Weyl's inequality the roundings of its
elements put its second singular value at up to one or two unit roundoffs of the first, where the
product of its factors was rounded once or twice; and the SVD, in float64, adds its own error, for
which ``limit`` allows what ``numpy.linalg.matrix_rank`` does.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from convkernels.problem import ROUNDOFF, Problem, Size, UnsupportedProblem
from convkernels.toolbox import bounds

TOLERANCE = 8  # unit roundoffs of the storage type


def limit(kernel: Size, dtype: str) -> float:
    """The second singular value of a kernel that counts as of rank 1, at most, in the first: 8
    unit roundoffs (4.8e-7 in float32) and max(kh, kw) of twice float64's."""
    return TOLERANCE * ROUNDOFF[dtype] + 2 * max(kernel) * ROUNDOFF["float64"]


def factors(w: Any, dtype: str) -> tuple[Any, Any]:
    """Columns (…, kh) and rows (…, kw) in float64 whose outer products are the kernels (…, kh, kw).

    The two of a kernel are of one norm; they are its least-squares fit of rank 1.

    Parameters
    ----------
    w : (…, kh, kw)
    dtype : the kernels' storage type, to whose rounding they must be of rank 1

    Raises
    ------
    UnsupportedProblem
        Where a kernel is of higher rank, with the largest second singular value as a share of its
        kernel's first, and the limit; where one is not finite.
    """
    import numpy as np

    w = np.asarray(w, dtype=np.float64)
    if not np.isfinite(w).all():
        raise UnsupportedProblem("kernel is not finite: it has no rank")
    left, values, right = np.linalg.svd(w, full_matrices=False)
    first = values[..., 0]
    if values.shape[-1] > 1:
        second = np.divide(values[..., 1], first, out=np.zeros_like(first), where=first > 0).max()
        allowed = limit(w.shape[-2:], dtype)
        if second > allowed:
            raise UnsupportedProblem(
                f"kernel is not of rank 1: its second singular value is {second:.2g} of the first; "
                f"allowed: {allowed:.2g}"
            )
    root = np.sqrt(first)[..., None]
    return left[..., 0] * root, right[..., 0, :] * root


def flops(problem: Problem) -> float:
    """Of a pass along rows and one along columns for each pair of an image and a kernel that meet;
    products with padding left out."""
    (height, width), (kh, kw) = problem.image, problem.kernel
    across = dataclasses.replace(problem, image=(1, width), kernel=(1, kw))
    down = dataclasses.replace(problem, image=(height, 1), kernel=(kh, 1))
    return float(height * across.flops + problem.output[1] * down.flops)


def error_bound(problem: Problem) -> float:
    """Of two sums, of kw and of kh products, and of factors within ``limit`` of the kernel."""
    rows, columns = (
        dataclasses.replace(problem, kernel=kernel, mode="full", padding=None, boundary="zero")
        for kernel in ((1, problem.kernel[1]), (problem.kernel[0], 1))
    )
    unit = ROUNDOFF[bounds.compute_dtype(problem.dtype)]
    lost = limit(problem.kernel, problem.dtype)
    return bounds.summation(rows) + bounds.summation(columns) + 2 * unit + lost
