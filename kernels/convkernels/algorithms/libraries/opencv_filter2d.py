"""cv2.filter2D: the direct sum up to 11×11, a DFT from 12×12 on, so of family ``library``."""

from __future__ import annotations

import math
from typing import Any

from convkernels.namespaces import installed
from convkernels.problem import Problem
from convkernels.registry import Implementation, algorithm, forward_only
from convkernels.toolbox import bounds
from convkernels.toolbox.planes import by_plane, single_step


@algorithm(
    name="opencv-filter2d",
    family="library",
    namespaces=("numpy",),
    arithmetic="ieee",
    source="cv2.filter2D",
)
class OpenCVFilter2D(Implementation):
    @staticmethod
    def missing(namespace: str) -> str | None:
        return None if installed("cv2") else "cv2 is not installed: pip install 'convcross[opencv]'"

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        if problem.dtype not in ("float64", "float32"):
            return f"filter2D has no {problem.dtype}"
        return forward_only(problem) or single_step(problem, "filter2D")

    @staticmethod
    def error_bound(problem: Problem) -> float:
        points = math.prod(i + k for i, k in zip(problem.image, problem.kernel, strict=True))
        return max(bounds.fourier(problem, points), bounds.summation(problem))

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        import cv2

        self.problem, self.cv2 = problem, cv2
        (top, bottom), (left, right) = problem.pads
        height, width = problem.output
        # filter2D keeps the size and takes zeros for what lies outside. Where the output reaches
        # further (full, explicit padding, circular) the image is grown first; where it is smaller
        # (valid) its border is computed and cut away.
        same = (height, width) == problem.image and problem.boundary == "zero"
        self.grow = (0, 0, 0, 0) if same else (top, bottom, left, right)
        self.anchor = (left, top) if same else (0, 0)

    def load(self, b: Any) -> None:
        import numpy as np

        w = b[..., ::-1, ::-1] if self.problem.op == "convolution" else b
        self.w = np.ascontiguousarray(w)

    def run(self, a: Any) -> Any:
        return by_plane(self._plane, a, self.w, self.problem)

    def _plane(self, x: Any, w: Any) -> Any:
        cv2, (height, width) = self.cv2, self.problem.output
        if any(self.grow):
            wrap = self.problem.boundary == "circular"
            border = cv2.BORDER_WRAP if wrap else cv2.BORDER_CONSTANT
            x = cv2.copyMakeBorder(x, *self.grow, border, value=0)
        y = cv2.filter2D(x, -1, w, anchor=self.anchor, borderType=cv2.BORDER_CONSTANT)
        return y[:height, :width]
