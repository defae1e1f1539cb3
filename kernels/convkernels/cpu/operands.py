"""A problem's arrays as the planes that compiled kernels read and write; memory is shared."""

from __future__ import annotations

from typing import Any

from convkernels import namespaces, optional
from convkernels.problem import Problem, Size
from convkernels.toolbox import bounds, layout

Array = Any


def missing() -> str | None:
    """Why compiled kernels cannot be had here, or None."""
    return optional.missing("numba", "pip install numba")


def refuses(problem: Problem, device: str) -> str | None:
    """Why such kernels refuse a problem, or None: what all of them leave out."""
    if device != "cpu":
        return "runs on the CPU alone"
    if problem.stride != (1, 1):
        return "no stride"
    return "no dilation" if problem.dilation != (1, 1) else None


def item_bytes(problem: Problem) -> int:
    """Of a number in the arithmetic of this problem."""
    return 8 if bounds.compute_dtype(problem.dtype) == "float64" else 4


def address(array: Array) -> int:
    """Of a NumPy array's or a torch tensor's first number."""
    pointer = getattr(array, "data_ptr", None)
    return int(pointer() if pointer is not None else array.__array_interface__["data"][0])


def contiguous(array: Array) -> Array:
    """The array itself where it is, else a copy."""
    if hasattr(array, "contiguous"):  # torch
        return array.contiguous()
    return array if array.flags.c_contiguous else array.copy()


def padded_stride(columns: int, item: int) -> int:
    """Numbers between rows of a buffer: an odd count of cache lines, so that rows that lie one
    below the other fall on different sets of the cache."""
    line = 64 // item
    return (-(-columns // line) | 1) * line


class Planes:
    """What a run needs of a problem's geometry, worked out once, and the way to its memory.

    Attributes
    ----------
    dtype : of the arithmetic, "float32" or "float64"
    item : bytes of a number of it
    batch, groups, filters, depth : B, G, K/G and C/G
    image : (H, W) of the planes that ``images`` gives; a circular image is grown
    before : (top, left) zeros before them
    output : (OH, OW)
    kernel : (kh, kw)
    geometry : image, before, kernel and output, as drivers take them
    """

    def __init__(self, problem: Problem, xp: Any) -> None:
        self.problem, self.xp = problem, xp
        self.dtype, self.item = bounds.compute_dtype(problem.dtype), item_bytes(problem)
        self.batch, self.groups = problem.batch, problem.groups
        self.filters = problem.out_channels // problem.groups
        self.depth = problem.in_channels // problem.groups
        (top, bottom), (left, right) = problem.pads
        self.image: Size = problem.image
        self.before: Size = (top, left)
        self.output: Size = problem.output
        self.kernel: Size = problem.kernel
        self.grown = problem.boundary == "circular"
        if self.grown:
            self.image = (self.image[0] + top + bottom, self.image[1] + left + right)
            self.before = (0, 0)
        self.geometry = (self.image, self.before, self.kernel, self.output)
        self._real = getattr(xp, self.dtype)
        self._y_shape, self._converted = problem.y_shape, problem.dtype != self.dtype

    def images(self, a: Array) -> Array:
        """(B, G, C/G, H, W), contiguous, in the arithmetic's dtype; a itself where it can be."""
        x = a
        if self.grown or self._converted:
            x = layout.images(a, self.problem, self.xp)
        if self.grown:
            x = layout.padded(x, self.problem, self.xp)
        return contiguous(x)

    def filters_of(self, b: Array) -> Array:
        """(G, K/G, C/G, kh, kw) in NumPy, flipped for a convolution, in the arithmetic's dtype."""
        return namespaces.to_numpy(layout.filters(b, self.problem, self.xp))

    def outputs(self) -> Array:
        """Memory for (B, G, K/G, OH, OW) in the dtype of the arithmetic, not yet written."""
        return self.xp.empty(self._y_shape, dtype=self._real)

    def result(self, y: Array) -> Array:
        """The problem's y in its storage type."""
        return layout.result(y, self.problem, self.xp) if self._converted else y
