"""OpenCV's DFT engine: cv2.filter2D where it provably takes it, and refused elsewhere, one thread.

From 130 kernel elements on in float32, and from 50 in float64, filter2D answers with crossCorr
(OpenCV's modules/imgproc/src/filter.dispatch.cpp and templmatch.cpp): the image in blocks of 4.5
kernel sides or 256, each transformed in float64, multiplied and transformed back. The kernel's
transform is made in each call; there is nothing to keep.
"""

from __future__ import annotations

import math
from typing import Any

from convkernels.algorithms.libraries._opencv import SWITCH, Filter, takes_dft
from convkernels.problem import Problem, Size
from convkernels.registry import Cost, algorithm
from convkernels.toolbox import bounds

SCALE, LEAST = 4.5, 256  # blockScale and minBlockSize of crossCorr


def block(problem: Problem) -> Size:
    """(rows, columns) of the part of the result that one transform gives, before good sizes."""
    rows, columns = (
        min(max(round(SCALE * kernel), LEAST - kernel + 1), output)
        for kernel, output in zip(problem.kernel, problem.output, strict=True)
    )
    return rows, columns


@algorithm(
    name="opencv-dft",
    family="fft",
    namespaces=("numpy",),
    arithmetic="ieee",
    source="cv2.filter2D from its DFT's switch on",
)
class OpenCVDFT(Filter):
    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        reason = Filter.refuses(problem, namespace, device)
        if reason is None and not takes_dft(problem):
            least = SWITCH[problem.dtype]
            return f"filter2D sums kernels of less than {least} elements directly"
        return reason

    @staticmethod
    def cost(problem: Problem) -> Cost:
        size = block(problem)
        points = math.prod(
            side + kernel - 1 for side, kernel in zip(size, problem.kernel, strict=True)
        )
        blocks = math.prod(
            -(-output // side) for output, side in zip(problem.output, size, strict=True)
        )
        planes = problem.batch * problem.out_channels * problem.in_channels // problem.groups
        transform = 2.5 * points * math.log2(max(2, points))
        flops = planes * (blocks * (2 * transform + 3 * points) + transform)
        return Cost(flops, problem.min_bytes, 16.0 * points)

    @staticmethod
    def error_bound(problem: Problem) -> float:
        points = math.prod(i + k for i, k in zip(problem.image, problem.kernel, strict=True))
        return bounds.fourier(problem, points)

    def provenance(self) -> dict[str, Any]:
        return {"opencv": self.cv2.__version__}
