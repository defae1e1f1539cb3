"""The way from a problem's arrays to the one form that the textbook algorithms work on, and back.

Images become (B, G, C/G, H, W) and filters (G, K/G, C/G, kh, kw), so that single images, batches
and grouped channels are one case; padding, flipping and circular wrapping are done here.
"""

from __future__ import annotations

import math
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


def outputs(y: Array, problem: Problem, xp: Any) -> Array:
    """y, or its gradient, as (B, G, K/G, OH, OW) in the dtype of the arithmetic."""
    groups = problem.groups
    y = xp.astype(y, getattr(xp, compute_dtype(problem.dtype)), copy=False)
    shape = (problem.batch, groups, problem.out_channels // groups, *problem.output)
    return xp.reshape(y, shape)


def filters_result(w: Array, problem: Problem, xp: Any) -> Array:
    """Filters' gradient (G, K/G, C/G, kh, kw), as of ``filters``, as the problem's w, in its
    storage type."""
    if problem.op == "convolution":
        w = xp.astype(xp.flip(w, axis=(-2, -1)), w.dtype, copy=True)
    w = xp.astype(w, getattr(xp, problem.dtype), copy=False)
    return xp.reshape(w, problem.w_shape)


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


def unpadded(x: Array, problem: Problem, xp: Any) -> Array:
    """The gradient of an image from that of the ``padded`` one: what is zero has none, and what
    wraps round has the sum of its copies'."""
    (top, bottom), (left, right) = problem.pads
    height, width = problem.image
    inner = x[..., top : top + height, left : left + width]
    if problem.boundary == "zero" or not (top or bottom or left or right):
        return inner
    rows = xp.astype(x[..., top : top + height, :], x.dtype, copy=True)
    if top:
        rows[..., height - top :, :] += x[..., :top, :]
    if bottom:
        rows[..., :bottom, :] += x[..., top + height :, :]
    inner = xp.astype(rows[..., left : left + width], x.dtype, copy=True)
    if left:
        inner[..., width - left :] += rows[..., :left]
    if right:
        inner[..., :right] += rows[..., left + width :]
    return inner


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


def wrapped(x: Array, problem: Problem, xp: Any) -> Array:
    """The image grown by wrapping round; as it is where zeros surround it: see ``frame``."""
    return padded(x, problem, xp) if problem.boundary == "circular" else x


def frame(problem: Problem) -> tuple[Size, Size]:
    """Of ``wrapped`` images, as parts of ``padded`` ones: their size, and where they begin."""
    (top, _), (left, _) = problem.pads
    if problem.boundary == "circular":
        return grown_size(problem), (0, 0)
    return problem.image, (top, left)


def copied(problem: Problem) -> int:
    """Elements of the arrays that ``images``, ``padded`` and ``result`` make beside the result."""
    elements = grown(problem) if any(map(any, problem.pads)) else 0
    return elements + converted(problem)


def converted(problem: Problem) -> int:
    """Elements of x and y in the dtype of the arithmetic, where they are stored in another."""
    if compute_dtype(problem.dtype) == problem.dtype:
        return 0
    images = problem.in_channels * math.prod(problem.image)
    return problem.batch * (images + problem.out_channels * math.prod(problem.output))


def grown(problem: Problem) -> int:
    """Elements of ``padded`` images."""
    return problem.batch * problem.in_channels * math.prod(grown_size(problem))


def grown_size(problem: Problem) -> Size:
    """(H, W) of ``padded`` images."""
    (top, bottom), (left, right) = problem.pads
    return (problem.image[0] + top + bottom, problem.image[1] + left + right)


def tap(
    x: Array, problem: Problem, row: int, column: int, rows: Size, columns: Size | None = None
) -> Array:
    """What kernel element (row, column) meets in a padded image, for a range of output rows, and of
    columns where they are given."""
    (down, across), (dy, dx) = problem.stride, problem.dilation
    columns = columns or (0, problem.output[1])
    top, left = rows[0] * down + row * dy, columns[0] * across + column * dx
    bottom = top + (rows[1] - rows[0] - 1) * down + 1
    right = left + (columns[1] - columns[0] - 1) * across + 1
    return x[..., top:bottom:down, left:right:across]
