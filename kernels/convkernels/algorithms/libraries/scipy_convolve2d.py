"""scipy.signal.convolve2d and correlate2d: the direct sum in C, one thread."""

from __future__ import annotations

from typing import Any

from convkernels.problem import ITEMSIZE, Problem
from convkernels.registry import Cost, Implementation, algorithm, forward_only
from convkernels.toolbox.planes import by_plane, single_step


@algorithm(
    name="scipy-convolve2d",
    family="direct",
    namespaces=("numpy",),
    arithmetic="ieee",
    source="scipy.signal.convolve2d, correlate2d",
)
class SciPyConvolve2d(Implementation):
    threads: int | None = 1

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        if problem.padding is not None:
            return "convolve2d has modes, no explicit padding"
        if problem.boundary == "circular" and problem.mode != "same":
            return "convolve2d wraps with mode 'same' only"
        if problem.dtype not in ("float64", "float32"):
            return f"convolve2d has no {problem.dtype}"
        return forward_only(problem) or single_step(problem, "convolve2d")

    @staticmethod
    def cost(problem: Problem) -> Cost:
        # A scalar loop without blocking: both operands are read anew for each product.
        return Cost(problem.flops, float(problem.flops * ITEMSIZE[problem.dtype]))

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        from scipy import signal

        self.problem = problem
        function = signal.convolve2d if problem.op == "convolution" else signal.correlate2d
        boundary = "wrap" if problem.boundary == "circular" else "fill"
        self.plane = lambda x, w: function(x, w, mode=problem.mode, boundary=boundary)

    def run(self, a: Any) -> Any:
        return by_plane(self.plane, a, self.b, self.problem)
