"""Channels and batches for libraries that know one image and one kernel at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convkernels.problem import Problem


def single_step(problem: Problem, what: str) -> str | None:
    """The refusal of a library without strides and dilation."""
    if problem.stride != (1, 1):
        return f"{what} has no stride"
    return f"{what} has no dilation" if problem.dilation != (1, 1) else None


def by_plane(
    plane: Callable[[Any, Any], Any], x: Any, w: Any, problem: Problem, xp: Any = None
) -> Any:
    """``plane(image, kernel)`` for each pair that meets, summed over input channels.

    x, w and the result have the problem's shapes, and are arrays of ``xp``: NumPy's without one.
    """
    import numpy as np

    if x.ndim == 2:
        return plane(x, w)
    zeros = np.zeros if xp is None else xp.zeros
    ins, outs = (
        channels // problem.groups for channels in (problem.in_channels, problem.out_channels)
    )
    images = x.reshape(problem.batch, problem.groups, ins, *problem.image)
    filters = w.reshape(problem.groups, outs, ins, *w.shape[-2:])
    y = zeros((problem.batch, problem.groups, outs, *problem.output), dtype=x.dtype)
    for item, group, out in np.ndindex(*y.shape[:3]):
        for channel in range(ins):
            y[item, group, out] += plane(images[item, group, channel], filters[group, out, channel])
    return y.reshape(problem.y_shape)
