"""What ``scipy.signal``'s convolutions by way of transforms have in common: one plane at a time."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from convkernels.problem import Problem
from convkernels.registry import Cost, Implementation, forward_only
from convkernels.toolbox import bounds
from convkernels.toolbox.planes import by_plane, single_step


class SignalConvolution(Implementation):
    """``scipy.signal.<function>(x, w, mode)``; a correlation's kernel is flipped in ``load``."""

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
        from scipy import signal

        self.problem, self.mode = problem, problem.mode
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
        self.convolve = getattr(signal, self.function)

    def load(self, b: Any) -> None:
        self.w = (b if self.problem.op == "convolution" else b[..., ::-1, ::-1]).copy()

    def run(self, a: Any) -> Any:
        return by_plane(self._plane, a, self.w, self.problem)

    def _plane(self, x: Any, w: Any) -> Any:
        return self.convolve(x, w, mode=self.mode)[self.crop]
