"""cv2.filter2D as people call it: a direct sum for small kernels, a DFT for others, one thread.

In float32 the DFT begins at 130 kernel elements (12×12), in float64 at 50 (8×8), so this is of
family ``library``; ``opencv-direct`` is its direct engine alone. Decided in dftFilter2D, OpenCV's
modules/imgproc/src/filter.dispatch.cpp, by DFT_FILTER_SIZE.
"""

from __future__ import annotations

import math
from typing import Any

from convkernels.algorithms.libraries._opencv import Filter, takes_dft
from convkernels.problem import Problem
from convkernels.registry import algorithm
from convkernels.toolbox import bounds


@algorithm(
    name="opencv-filter2d",
    family="library",
    namespaces=("numpy",),
    arithmetic="ieee",
    source="cv2.filter2D",
)
class OpenCVFilter2D(Filter):
    @staticmethod
    def error_bound(problem: Problem) -> float:
        points = math.prod(i + k for i, k in zip(problem.image, problem.kernel, strict=True))
        return max(bounds.fourier(problem, points), bounds.summation(problem))

    def provenance(self) -> dict[str, Any]:
        return {
            "engine": "dft" if takes_dft(self.problem) else "direct",
            "opencv": self.cv2.__version__,
        }
