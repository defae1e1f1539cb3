"""Banded Toeplitz matrices: a correlation along one axis as a matrix product, which BLAS does.

T[i, i·stride + k·dilation] = taps[k] and zero elsewhere, so that row i of T · x is Σ_k taps[k] ·
x[i·stride + k·dilation] (Gray 2006, Toeplitz and Circulant Matrices: A Review, chapter 1). In a row
of ``reach`` elements as many as there are taps are not zero: what a product computes with the
others is the price of the GEMM. Zero times what is not finite is NaN, so that a pixel that is not
finite spoils every output of a product that it is in.
"""

from __future__ import annotations

from typing import Any

Array = Any


def reach(outputs: int, taps: int, stride: int, dilation: int) -> int:
    """Inputs that so many outputs read: the columns of their matrix."""
    return (outputs - 1) * stride + (taps - 1) * dilation + 1


def starts(size: int, block: int) -> list[int]:
    """Where blocks begin that cover ``size`` places, all of them whole: the last may cover some
    places once more. ``block`` is at most ``size``."""
    return [min(first, size - block) for first in range(0, size, block)]


def band(taps: Array, outputs: int, stride: int, dilation: int, xp: Any) -> Array:
    """The matrices (…, outputs, ``reach``) of taps (…, n)."""
    count = taps.shape[-1]
    shape = (*taps.shape[:-1], outputs, reach(outputs, count, stride, dilation))
    matrix = xp.zeros(shape, dtype=taps.dtype, device=taps.device)
    for i in range(outputs):
        first = i * stride
        matrix[..., i, first : first + (count - 1) * dilation + 1 : dilation] = taps
    return matrix
