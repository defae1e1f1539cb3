"""scipy.ndimage.correlate: the direct sum in C, one thread, sums in float64 whatever is stored.

It keeps the image's size ("constant" or "wrap" beyond the border), with a centre that can be
moved: so even kernels and circular boundaries are its own. Where the output reaches further (full,
explicit padding) the image is grown with zeros first; where it is smaller (valid) its border is
computed and cut away. ``scipy.ndimage.convolve`` is the same call with the kernel flipped.

Costs kh·kw products for each pixel of the (grown) image, each through a table of offsets
(``NI_Correlate`` of ``ni_filters.c``).
"""

from __future__ import annotations

import math
from typing import Any

from convkernels.problem import ITEMSIZE, Problem
from convkernels.registry import Cost, Implementation, algorithm, forward_only
from convkernels.toolbox.planes import by_plane, single_step
from convkernels.toolbox.scaling import exponent, scaled


@algorithm(
    name="scipy-ndimage",
    family="direct",
    namespaces=("numpy",),
    arithmetic="ieee, sums in float64",
    source="scipy.ndimage.correlate",
)
class SciPyNDImage(Implementation):
    threads = 1

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        if problem.dtype not in ("float64", "float32"):
            return f"ndimage.correlate has no {problem.dtype}"
        return forward_only(problem) or single_step(problem, "ndimage.correlate")

    @staticmethod
    def cost(problem: Problem) -> Cost:
        pairs = problem.batch * problem.out_channels * problem.in_channels // problem.groups
        size = map(max, problem.image, problem.output)
        # A scalar loop without blocking: pixel, weight (float64) and offset are read each time.
        products = float(pairs * math.prod(size) * math.prod(problem.kernel))
        return Cost(2 * products, products * (ITEMSIZE[problem.dtype] + 16))

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        import numpy as np
        from scipy import ndimage

        self.problem, self.np, self.correlate = problem, np, ndimage.correlate
        same = problem.output == problem.image
        self.grow = None if same or problem.mode == "valid" else problem.pads
        # The origin is counted from the kernel's middle; without one of its own, the first element.
        self.origin = tuple(
            (pad[0] if same else 0) - size // 2
            for pad, size in zip(problem.pads, problem.kernel, strict=True)
        )
        self.mode = "wrap" if problem.boundary == "circular" else "constant"

    def load(self, b: Any) -> None:
        w = b[..., ::-1, ::-1] if self.problem.op == "convolution" else b
        # It leaves out what is not larger than this: of kernels with such weights, all are scaled.
        left_out = (self.np.abs(w) <= self.np.finfo("float64").eps) & (w != 0)
        self.power = exponent(w, self.np, near=0) if left_out.any() else 0
        self.w = scaled(w, -self.power) if self.power else w.copy()

    def run(self, a: Any) -> Any:
        return by_plane(self._plane, a, self.w, self.problem)

    def _plane(self, x: Any, w: Any) -> Any:
        height, width = self.problem.output
        if self.grow:
            x = self.np.pad(x, self.grow)
        y = self.correlate(x, w, mode=self.mode, cval=0.0, origin=self.origin)[:height, :width]
        return scaled(y, self.power) if self.power else y
