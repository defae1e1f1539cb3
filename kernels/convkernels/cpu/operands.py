"""A problem's arrays as the planes that compiled kernels read, and back; memory is shared."""

from __future__ import annotations

from typing import Any

from convkernels import namespaces
from convkernels.problem import Problem, Size
from convkernels.toolbox import bounds, layout

Array = Any


def missing() -> str | None:
    """Why compiled kernels cannot be had here, or None."""
    return None if namespaces.installed("numba") else "numba is not installed: pip install numba"


def refuses(problem: Problem, device: str, what: str) -> str | None:
    """Why such kernels refuse a problem, or None: what all of them leave out."""
    if device != "cpu":
        return f"{what} runs on the CPU"
    if problem.direction != "forward":
        return f"no direction {problem.direction}"
    if problem.stride != (1, 1):
        return f"{what} has no stride"
    return f"{what} has no dilation" if problem.dilation != (1, 1) else None


def item_bytes(problem: Problem) -> int:
    """Of a number in the arithmetic of this problem."""
    return 8 if bounds.compute_dtype(problem.dtype) == "float64" else 4


def before(problem: Problem) -> Size:
    """(top, left) zeros before the planes of ``images``."""
    if problem.boundary == "circular":  # they have been grown
        return (0, 0)
    (top, _), (left, _) = problem.pads
    return (top, left)


def images(a: Array, problem: Problem, xp: Any) -> Array:
    """(B·G, C/G, H, W), contiguous, in the dtype of the arithmetic; a view where it can be.

    A circular image is grown by what wraps round.
    """
    import numpy as np

    x = layout.images(a, problem, xp)
    if problem.boundary == "circular":
        x = layout.padded(x, problem, xp)
    x = np.ascontiguousarray(namespaces.to_numpy(x))
    return x.reshape(-1, *x.shape[2:])


def filters(b: Array, problem: Problem, xp: Any) -> Array:
    """(G, K/G, C/G, kh, kw), flipped for a convolution, in the dtype of the arithmetic."""
    return namespaces.to_numpy(layout.filters(b, problem, xp))


def result(y: Array, problem: Problem, xp: Any) -> Array:
    """(B·G, K/G, OH, OW) of NumPy as the problem's y."""
    return layout.result(xp.asarray(y), problem, xp)
