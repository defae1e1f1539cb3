"""cupyx.scipy.signal.convolve2d and correlate2d: the direct sum on a GPU, a thread for each output.

``_direct_correlate`` of CuPy's ``_signaltools_core.py`` compiles a kernel for each kernel size and
offset: kh·kw products for each output, zeros beyond the border included, in raster order in one
sum of the arrays' own type. It looks at no size to turn to a transform, as ``convolve`` would.
"""

from __future__ import annotations

from typing import Any

from convkernels.algorithms.libraries import _cupyx
from convkernels.algorithms.libraries.scipy_convolve2d import SciPyConvolve2d
from convkernels.problem import Problem
from convkernels.registry import Cost, algorithm
from convkernels.toolbox.planes import by_plane


@algorithm(
    name="cupyx-convolve2d",
    family="direct",
    namespaces=("cupy",),
    arithmetic=_cupyx.ARITHMETIC,
    source="cupyx.scipy.signal.convolve2d, correlate2d",
)
class CuPyXConvolve2d(SciPyConvolve2d):
    threads = None

    @staticmethod
    def cost(problem: Problem) -> Cost:
        return _cupyx.direct(problem, problem.output)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        from cupyx.scipy import signal

        self.problem, self.xp = problem, xp
        function = signal.convolve2d if problem.op == "convolution" else signal.correlate2d
        boundary = "wrap" if problem.boundary == "circular" else "fill"
        self.plane = lambda x, w: function(x, w, mode=problem.mode, boundary=boundary)
        _cupyx.first_call(self.plane, problem, xp)

    def run(self, a: Any) -> Any:
        return by_plane(self.plane, a, self.b, self.problem, self.xp)
