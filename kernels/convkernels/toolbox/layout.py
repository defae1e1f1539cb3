"""The way from a problem's arrays to the one form that the textbook algorithms work on, and back.

Images become (B, G, C/G, H, W) and filters (G, K/G, C/G, kh, kw), so that single images, batches
and grouped channels are one case; padding, flipping and circular wrapping are done here.
"""

from __future__ import annotations

from typing import Any

from convkernels.problem import Problem, Size
from convkernels.toolbox.bounds import compute_dtype

Array = Any


def images(x: Array, problem: Problem, xp: Any) -> Array:
    """x as (B, G, C/G, H, W) in the dtype of the arithmetic; a view where it can be."""
    groups = problem.groups
    x = xp.astype(x, getattr(xp, compute_dtype(problem.dtype)), copy=False)
    shape = (problem.batch, groups, problem.in_channels // groups, *problem.image)
    return xp.reshape(x, shape)


def filters(w: Array, problem: Problem, xp: Any) -> Array:
    """w as (G, K/G, C/G, kh, kw), flipped for a convolution, in the dtype of the arithmetic."""
    groups = problem.groups
    w = xp.astype(w, getattr(xp, compute_dtype(problem.dtype)), copy=False)
    channels = (problem.out_channels // groups, problem.in_channels // groups)
    w = xp.reshape(w, (groups, *channels, *problem.kernel))
    if problem.op == "correlation":
        return w
    # Copied: NumPy flips by negative strides, which no BLAS takes (a product was 60 times slower).
    return xp.astype(xp.flip(w, axis=(-2, -1)), w.dtype, copy=True)


def result(y: Array, problem: Problem, xp: Any) -> Array:
    """(B, G, K/G, OH, OW) as the problem's y, in its storage type."""
    y = xp.astype(y, getattr(xp, problem.dtype), copy=False)
    return xp.reshape(y, problem.y_shape)


def padded(x: Array, problem: Problem, xp: Any) -> Array:
    """The image grown by ``problem.pads``, with zeros or by wrapping round."""
    (top, bottom), (left, right) = problem.pads
    if not (top or bottom or left or right):
        return x
    if problem.boundary == "circular":
        height, width = problem.image
        x = xp.concat((x[..., height - top :, :], x, x[..., :bottom, :]), axis=-2)
        return xp.concat((x[..., width - left :], x, x[..., :right]), axis=-1)
    height, width = x.shape[-2:]
    return window(x, (-top, -left), (height + top + bottom, width + left + right), xp)


def window(x: Array, corner: Size, size: Size, xp: Any) -> Array:
    """The part of an image, zero outside, that has this size and begins at this corner.

    A view where all of it is inside; else (..., *size) in memory of its own.
    """
    inside, place = [], []
    for start, length, extent in zip(corner, size, x.shape[-2:], strict=True):
        first = min(max(start, 0), extent)
        last = min(max(start + length, first), extent)
        before = min(max(-start, 0), length)
        inside.append(slice(first, last))
        place.append(slice(before, before + last - first))
    part = x[..., inside[0], inside[1]]
    if tuple(part.shape[-2:]) == tuple(size):
        return part
    grown = xp.zeros((*x.shape[:-2], *size), dtype=x.dtype, device=x.device)
    grown[..., place[0], place[1]] = part
    return grown


def tap(x: Array, problem: Problem, row: int, column: int, rows: Size) -> Array:
    """What kernel element (row, column) meets in a padded image, for a range of output rows."""
    (down, across), (dy, dx) = problem.stride, problem.dilation
    first = rows[0] * down + row * dy
    last = (rows[1] - 1) * down + row * dy + 1
    width = problem.output[1]
    return x[..., first:last:down, column * dx : column * dx + (width - 1) * across + 1 : across]
