"""Kernels of low rank, w = Σ column · row: their factors, and what separable passes cost.

A stored kernel is of its rank to within its rounding only: of each element a unit roundoff at most,
or two where the products of its factors were rounded too. The root of the squares' sum of the
singular values past its rank is then at most that share of its Frobenius norm (Mirsky 1960), which
is at most √rank times the first. The SVD, in float64, adds its own error, for which ``limit``
allows what ``numpy.linalg.matrix_rank`` does.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from convkernels.problem import ITEMSIZE, ROUNDOFF, Problem, Size, UnsupportedProblem
from convkernels.toolbox import bounds

TOLERANCE = 8  # unit roundoffs of the storage type


def limit(kernel: Size, dtype: str) -> float:
    """What counts as rounding: the root of the squares' sum of the singular values past a kernel's
    rank, at most, in its first: 8 unit roundoffs (4.8e-7 in float32) and max(kh, kw) of twice
    float64's."""
    return TOLERANCE * ROUNDOFF[dtype] + 2 * max(kernel) * ROUNDOFF["float64"]


def factors(w: Any, dtype: str, xp: Any, rank: int = 1) -> tuple[Any, Any]:
    """Columns (…, r, kh) and rows (…, r, kw) in float64, r = min(rank, kh, kw), of whose outer
    products the kernels are the sums.

    They are the least-squares fit of that rank (Eckart & Young 1936), by the truncated singular
    value decomposition; the two of a product are of one norm. Looks at the values: on a GPU that
    waits for them.

    Parameters
    ----------
    w : (…, kh, kw), an array of xp
    dtype : the kernels' storage type, to whose rounding they must be of that rank

    Raises
    ------
    UnsupportedProblem
        Where a kernel is of higher rank, with the highest there is, and with what is past ``rank``
        and the limit, as shares of the first singular value; where one is not finite.
    """
    w = xp.asarray(w, dtype=xp.float64)
    if not bool(xp.all(xp.isfinite(w))):
        raise UnsupportedProblem("kernel is not finite: it has no rank")
    left, values, right = xp.linalg.svd(w, full_matrices=False)
    allowed, rank = limit(w.shape[-2:], dtype), min(rank, values.shape[-1])
    past = _past(values, rank, xp)
    if past > allowed:
        found = rank + 1
        while _past(values, found, xp) > allowed:
            found += 1
        raise UnsupportedProblem(
            f"kernel is of numerical rank {found}; allowed: {rank} (past it are {past:.2g} of the "
            f"first singular value; up to {allowed:.2g} is rounding)"
        )
    roots = xp.sqrt(values[..., :rank])[..., None]
    columns = xp.matrix_transpose(left[..., :rank]) * roots
    return columns, right[..., :rank, :] * roots


def _past(values: Any, rank: int, xp: Any) -> float:
    """The root of the squares' sum of the singular values (…, m) past a rank, in the first of them:
    the largest of all kernels."""
    first = values[..., 0]
    scaled = values[..., rank:] / xp.where(first > 0, first, xp.ones_like(first))[..., None]
    return float(xp.sqrt(xp.max(xp.sum(scaled * scaled, axis=-1))))


def svd_bytes(problem: Problem) -> float:
    """Of all filters in float64 and the two factors of each, while ``factors`` finds them."""
    filters = problem.out_channels * problem.in_channels // problem.groups
    return 3.0 * ITEMSIZE["float64"] * filters * problem.kernel[0] * problem.kernel[1]


def flops(problem: Problem) -> float:
    """Of a pass along rows and one along columns for each pair of an image and a kernel that meet;
    products with padding left out."""
    (height, width), (kh, kw) = problem.image, problem.kernel
    across = dataclasses.replace(problem, image=(1, width), kernel=(1, kw))
    down = dataclasses.replace(problem, image=(height, 1), kernel=(kh, 1))
    return float(height * across.flops + problem.output[1] * down.flops)


def error_bound(problem: Problem, rank: int = 1) -> float:
    """Of two sums, of kw and of rank·kh products, and of factors within ``limit`` of the kernel.

    The products of a kernel's singular vectors are orthogonal: what each loses is in proportion to
    its singular value, and the sum of their squares is that of the kernel.
    """
    rows, columns = (
        dataclasses.replace(problem, kernel=kernel, mode="full", padding=None, boundary="zero")
        for kernel in ((1, problem.kernel[1]), (rank * problem.kernel[0], 1))
    )
    unit = ROUNDOFF[bounds.compute_dtype(problem.dtype)]
    lost = limit(problem.kernel, problem.dtype)
    return bounds.summation(rows) + bounds.summation(columns) + 2 * unit + lost
