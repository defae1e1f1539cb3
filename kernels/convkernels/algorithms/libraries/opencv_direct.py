"""OpenCV's direct engine at every kernel size, on bands of rows, one a thread.

filter2D sums directly below the size at which its DFT takes over (130 kernel elements in float32,
50 in float64) and, at any size, where its source is a region inside a larger array: dftFilter2D
returns false for those (OpenCV's modules/imgproc/src/filter.dispatch.cpp), and the pixels around
the region are then read from the larger array. From Python only a UMat can be such a region, so
beyond the switch the grown image goes through one: three copies of it more, 2 to 4 ns a pixel,
which is why plain arrays are kept below the switch. Either way an impulse answers with kh·kw
nonzeros, where a DFT leaves rounding noise everywhere.

filter2D itself uses one thread. Images of more than SHARE products are cut into bands.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from convkernels.algorithms.libraries._opencv import Filter, takes_dft
from convkernels.cpu import pool
from convkernels.problem import ITEMSIZE, Problem
from convkernels.registry import Cost, algorithm
from convkernels.toolbox import threads

SHARE = 8_000_000  # products a band, at least: about 1 ms, ten times what handing it over takes


@algorithm(
    name="opencv-direct",
    family="direct",
    namespaces=("numpy",),
    arithmetic="ieee",
    source="cv2.filter2D on plain arrays or on regions of a UMat",
)
class OpenCVDirect(Filter):
    @staticmethod
    def cost(problem: Problem) -> Cost:
        grown = (size + sum(pads) for size, pads in zip(problem.image, problem.pads, strict=True))
        planes = math.prod(grown) + math.prod(problem.output)  # padded; what bands give
        return Cost(problem.flops, problem.min_bytes, float(planes * ITEMSIZE[problem.dtype]))

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        super().plan(problem, xp, device)
        self.region = takes_dft(problem)
        if self.region:  # what surrounds the region must be there, also for mode "same"
            (top, bottom), (left, right) = problem.pads
            self.grow, self.anchor = (top, bottom, left, right), (0, 0)
        shares = math.prod(problem.output) * math.prod(problem.kernel) // SHARE
        self.threads = bands = max(1, min(threads.count(), shares, problem.output[0]))
        cuts = [problem.output[0] * band // bands for band in range(bands + 1)]
        self.bands = list(itertools.pairwise(cuts))

    def provenance(self) -> dict[str, Any]:
        engine = "region" if self.region else "plain"
        return {"engine": engine, "opencv": self.cv2.__version__}

    def _plane(self, x: Any, w: Any) -> Any:
        import numpy as np

        x, (height, width) = self._grown(x), self.problem.output
        if len(self.bands) == 1:
            return self._rows(x, w, 0, height)
        y = np.empty((height, width), dtype=x.dtype)

        def band(number: int) -> None:
            first, last = self.bands[number]
            y[first:last] = self._rows(x, w, first, last)

        pool.share(band, len(self.bands), len(self.bands))
        return y

    def _rows(self, x: Any, w: Any, first: int, last: int) -> Any:
        """Output rows first to last, from the rows of the image that they need."""
        above, (height, width) = self.anchor[1], (last - first, self.problem.output[1])
        begin = max(0, first - above)
        x = x[begin : last + w.shape[0] - 1 - above]
        if not self.region:
            return self._filtered(x, w)[first - begin : first - begin + height, :width]
        cv2 = self.cv2
        # OpenCV keeps this flag a thread. Asking for it, to put it back, would start OpenCL.
        cv2.ocl.setUseOpenCL(False)
        part = cv2.UMat(cv2.UMat(x), [0, height], [0, width])
        return self._filtered(part, w).get()
