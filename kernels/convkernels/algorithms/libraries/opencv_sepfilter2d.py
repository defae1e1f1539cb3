"""cv2.sepFilter2D: a pass along rows and one along columns, 2·(kh + kw) FLOP a pixel, one thread.

Of kernels of rank 1 only: ``load`` factors the kernel by its SVD in float64, and refuses one whose
further singular values are more than rounding (4.8e-7 of the first in float32). Both passes are
direct sums: OpenCV's modules/imgproc/src/filter.dispatch.cpp has a DFT for filter2D alone.
"""

from __future__ import annotations

from typing import Any

from convkernels.algorithms.libraries._opencv import Filter
from convkernels.problem import ITEMSIZE, Problem
from convkernels.registry import Cost, algorithm
from convkernels.toolbox import rank


@algorithm(
    name="opencv-sepfilter2d",
    family="separable",
    namespaces=("numpy",),
    arithmetic="ieee",
    source="cv2.sepFilter2D",
)
class OpenCVSepFilter2D(Filter):
    @staticmethod
    def cost(problem: Problem) -> Cost:
        # Between the passes only as many rows as the kernel has are kept.
        rows = float(problem.kernel[0] * problem.output[1] * ITEMSIZE[problem.dtype])
        return Cost(rank.flops(problem), problem.min_bytes, rows + rank.svd_bytes(problem))

    @staticmethod
    def error_bound(problem: Problem) -> float:
        return rank.error_bound(problem)

    def load(self, b: Any) -> None:
        import numpy as np

        super().load(b)
        # (…, 1, kh + kw): by_plane hands each image the factors of its kernel.
        factors = rank.factors(self.w, self.problem.dtype, np)
        self.w = np.concatenate(factors, axis=-1).astype(self.problem.dtype)

    def provenance(self) -> dict[str, Any]:
        return {"opencv": self.cv2.__version__}

    def _filtered(self, x: Any, w: Any) -> Any:
        cv2, height = self.cv2, self.problem.kernel[0]
        column, row = w[0, :height], w[0, height:]
        return cv2.sepFilter2D(
            x, -1, row, column, anchor=self.anchor, borderType=cv2.BORDER_CONSTANT
        )
