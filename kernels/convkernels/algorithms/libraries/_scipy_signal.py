"""What ``scipy.signal``'s convolutions by way of transforms have in common: one plane at a time.

``cupyx.scipy.signal`` has them too, with the same arguments and the same conventions.
"""

from __future__ import annotations

import importlib
import math
from typing import Any, ClassVar

from convkernels.problem import ITEMSIZE, Problem
from convkernels.registry import Cost, Implementation, forward_only
from convkernels.toolbox import bounds
from convkernels.toolbox.planes import by_plane, single_step


class SignalConvolution(Implementation):
    """``scipy.signal.<function>(x, w, mode)``; a correlation's kernel is flipped in ``load``."""

    module = "scipy.signal"
    function: ClassVar[str]

    @classmethod
    def refuses(cls, problem: Problem, namespace: str, device: str) -> str | None:
        if problem.padding is not None:
            return f"{cls.function} has modes, no explicit padding"
        if problem.boundary == "circular":
            return f"{cls.function} has no circular boundary"
        if problem.dtype not in ("float64", "float32"):
            return f"{cls.function} has no {problem.dtype}"
        return forward_only(problem) or single_step(problem, cls.function)

    @staticmethod
    def cost(problem: Problem) -> Cost:
        """Of three transforms of the full size, for each pair of planes."""
        size = [i + k - 1 for i, k in zip(problem.image, problem.kernel, strict=True)]
        points = math.prod(size)
        planes = problem.batch * problem.out_channels * problem.in_channels // problem.groups
        flops = 3 * 2.5 * points * math.log2(max(2, points)) + 4 * points
        return Cost(planes * flops, planes * 60.0 * points, 24.0 * points)

    @staticmethod
    def error_bound(problem: Problem) -> float:
        points = math.prod(i + k for i, k in zip(problem.image, problem.kernel, strict=True))
        return bounds.fourier(problem, points)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, self.xp, self.mode = problem, xp, problem.mode
        self.crop: tuple[slice, ...] = (slice(None), slice(None))
        even = any(size % 2 == 0 for size in problem.kernel)
        if problem.op == "correlation" and problem.mode == "same" and even:
            # A flipped even kernel has its centre on the other side: "same" here is not
            # correlate2d's, so the right part is cut out of "full".
            self.mode = "full"
            starts = (
                size - 1 - pad[0] for size, pad in zip(problem.kernel, problem.pads, strict=True)
            )
            self.crop = tuple(
                slice(start, start + size)
                for start, size in zip(starts, problem.output, strict=True)
            )
        self.convolve = getattr(importlib.import_module(self.module), self.function)

    def load(self, b: Any) -> None:
        self.w = (b if self.problem.op == "convolution" else b[..., ::-1, ::-1]).copy()

    def run(self, a: Any) -> Any:
        return by_plane(self._plane, a, self.w, self.problem, self.xp)

    def _plane(self, x: Any, w: Any) -> Any:
        return self.convolve(x, w, mode=self.mode)[self.crop]


def blocked(problem: Problem, down: tuple[int, int], across: tuple[int, int]) -> Cost:
    """Of overlap-add, with (length, number) of the blocks along each axis."""
    (height, rows), (width, columns) = down, across
    planes = problem.batch * problem.out_channels * problem.in_channels // problem.groups
    block = height * width
    points = rows * columns * block
    # Forward and back for each block, once for the kernel; a complex product at half of them.
    flops = 2.5 * (2 * points + block) * math.log2(max(2, block)) + 3 * points
    # Padded, two passes an axis and a transform, the product, the overlaps added, cropped.
    item = ITEMSIZE[problem.dtype]
    return Cost(planes * flops, planes * 16.0 * item * points, 4.0 * item * points)
