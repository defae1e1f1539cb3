"""What OpenCV's filters have in common: zeros outside the image, an anchor, the DFT's switch."""

from __future__ import annotations

import math
from typing import Any

from convkernels import optional
from convkernels.problem import Problem
from convkernels.registry import Implementation, forward_only
from convkernels.toolbox.planes import by_plane, single_step

# dftFilter2D takes over from so many kernel elements on (modules/imgproc/src/filter.dispatch.cpp):
# 130 for float32 → float32, and uint8 → uint8 or int16; 50 for any other pair of types.
SWITCH = {"float32": 130, "float64": 50}


def takes_dft(problem: Problem) -> bool:
    """Whether filter2D answers with its DFT, given an array that is no region of a larger one."""
    return math.prod(problem.kernel) >= SWITCH[problem.dtype]


class Filter(Implementation):
    """A filter that keeps the image's size, one plane at a time."""

    threads: int | None = 1

    @staticmethod
    def missing(namespace: str) -> str | None:
        return optional.missing("cv2", "pip install 'convcross[opencv]'")

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        if problem.dtype not in ("float64", "float32"):
            return f"OpenCV's filters have no {problem.dtype}"
        return forward_only(problem) or single_step(problem, "OpenCV's filters")

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, self.cv2 = problem, optional.load("cv2")
        (top, bottom), (left, right) = problem.pads
        # A filter keeps the size and takes zeros for what lies outside. Where the output reaches
        # further (full, explicit padding, circular) the image is grown first; where it is smaller
        # (valid) its border is computed and cut away.
        same = problem.output == problem.image and problem.boundary == "zero"
        self.grow = (0, 0, 0, 0) if same else (top, bottom, left, right)
        self.anchor = (left, top) if same else (0, 0)

    def load(self, b: Any) -> None:
        import numpy as np

        w = b[..., ::-1, ::-1] if self.problem.op == "convolution" else b
        self.w = np.array(w, order="C")

    def run(self, a: Any) -> Any:
        import numpy as np

        # OpenCV refuses, or misreads, what strides alone describe: overlaps, steps, turns.
        return by_plane(self._plane, np.ascontiguousarray(a), self.w, self.problem)

    def _plane(self, x: Any, w: Any) -> Any:
        height, width = self.problem.output
        return self._filtered(self._grown(x), w)[:height, :width]

    def _grown(self, x: Any) -> Any:
        if not any(self.grow):
            return x
        cv2, wrap = self.cv2, self.problem.boundary == "circular"
        border = cv2.BORDER_WRAP if wrap else cv2.BORDER_CONSTANT
        return cv2.copyMakeBorder(x, *self.grow, border, value=0)

    def _filtered(self, x: Any, w: Any) -> Any:
        """Correlate at the anchor, with zeros outside; of x's size."""
        cv2 = self.cv2
        return cv2.filter2D(x, -1, w, anchor=self.anchor, borderType=cv2.BORDER_CONSTANT)
