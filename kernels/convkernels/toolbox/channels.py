"""Channels at one kernel element: a 1×1 convolution."""

from __future__ import annotations

import functools
from typing import Any

Array = Any


def weights(w: Array, xp: Any) -> Array:
    """One element of filters, (G, K/G, C/G), as ``mixed`` takes it."""
    if w.shape[2] == 1:
        return w[..., None]
    return xp.astype(w, w.dtype, copy=True)  # a slice of filters has steps, which no BLAS takes


def mixed(x: Array, weight: Array, xp: Any) -> Array:
    """The 1×1 convolution: elementwise where a group has one input channel, else a matrix product.

    Parameters
    ----------
    x : (B, G, C/G, H, W)
    weight : what ``weights`` gives

    Returns
    -------
    (B, G, K/G, H, W)
    """
    if weight.ndim == 4:
        return x * weight  # (B, G, 1, H, W) · (G, K/G, 1, 1)
    shape = x.shape
    flat = xp.reshape(x, (*shape[:3], shape[3] * shape[4]))
    product = xp.matmul(weight, flat)  # (G, K/G, C/G) · (B, G, C/G, H·W)
    return xp.reshape(product, (*product.shape[:3], *shape[3:]))


def add_mixed(total: Array, x: Array, weight: Array, xp: Any) -> None:
    """total += mixed(x, weight). Elementwise on torch and CuPy it is one launch, where ``mixed``
    and the sum would be two, with the product written and read between them."""
    library = xp.__name__.rpartition(".")[2]
    if weight.ndim == 4 and library == "torch":
        total.addcmul_(x, weight)
    elif weight.ndim == 4 and library == "cupy":
        _multiply_add()(x, weight, total)
    else:
        total += mixed(x, weight, xp)


@functools.cache
def _multiply_add() -> Any:
    import cupy

    return cupy.ElementwiseKernel("T x, T w", "T total", "total += x * w", "multiply_add")
