"""The filters and the patches of a block of outputs as matrices, for one product a group."""

from __future__ import annotations

from typing import Any

from convkernels.problem import Problem, Size
from convkernels.toolbox import layout

Array = Any


def filter_matrix(w: Array, problem: Problem, xp: Any) -> Array:
    """(G, K/G, C/G·kh·kw)"""
    w = layout.filters(w, problem, xp)
    return xp.reshape(w, (*w.shape[:2], problem.terms))


def patches(x: Array, problem: Problem, xp: Any, rows: Size, columns: Size) -> Array:
    """What the outputs of some rows and columns read of padded images (B, G, C/G, H, W): each a
    column of (B, G, C/G·kh·kw, rows·columns)."""
    kh, kw = problem.kernel
    size = (rows[1] - rows[0], columns[1] - columns[0])
    matrix = xp.empty((*x.shape[:3], kh, kw, *size), dtype=x.dtype, device=x.device)
    for row in range(kh):
        for column in range(kw):
            tap = layout.tap(x, problem, row, column, rows, columns)
            matrix[..., row, column, :, :] = tap
    return xp.reshape(matrix, (*x.shape[:2], problem.terms, size[0] * size[1]))
