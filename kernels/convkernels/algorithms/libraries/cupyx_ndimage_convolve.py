"""cupyx.scipy.ndimage.convolve and correlate: the direct sum on a GPU, a thread for each pixel.

``_get_correlate_kernel`` of CuPy's ``_filters.py`` is one kernel for every size, generated: kh·kw
products for each pixel of the image in raster order, in one sum of the image's own type (SciPy's
sums in float64). The image's size is kept, "constant" or "wrap" beyond the border, with a centre
that can be moved; full and explicit padding grow the image with zeros first, valid computes its
border and cuts it away. A convolution copies the turned kernel in each call.
"""

from __future__ import annotations

from typing import Any

from convkernels.algorithms.libraries import _cupyx
from convkernels.problem import Problem, Size
from convkernels.registry import Cost, Implementation, algorithm, forward_only
from convkernels.toolbox import layout
from convkernels.toolbox.planes import by_plane, single_step


def filtered(problem: Problem) -> Size:
    """Rows and columns of what is filtered."""
    rows, columns = map(max, problem.image, problem.output)
    return rows, columns


@algorithm(
    name="cupyx-ndimage-convolve",
    family="direct",
    namespaces=("cupy",),
    arithmetic=_cupyx.ARITHMETIC,
    source="cupyx.scipy.ndimage.convolve, correlate",
)
class CuPyXNDImageConvolve(Implementation):
    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        if problem.dtype not in ("float64", "float32"):
            return f"ndimage.convolve is taken with float64 and float32 alone, not {problem.dtype}"
        return forward_only(problem) or single_step(problem, "ndimage.convolve")

    @staticmethod
    def cost(problem: Problem) -> Cost:
        return _cupyx.direct(problem, filtered(problem))

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        from cupyx.scipy import ndimage

        self.problem, self.xp = problem, xp
        same = problem.output == problem.image
        self.grow = not same and problem.mode != "valid"
        # The first element of a correlation's kernel lies so many pixels before the output.
        before = [pads[0] if same else 0 for pads in problem.pads]
        middle = [size // 2 for size in problem.kernel]
        if problem.op == "convolution":  # which turns the kernel, and its centre with it
            self.function = ndimage.convolve
            self.origin = tuple(
                m - b - (size % 2 == 0)
                for m, b, size in zip(middle, before, problem.kernel, strict=True)
            )
        else:
            self.function = ndimage.correlate
            self.origin = tuple(b - m for m, b in zip(middle, before, strict=True))
        self.mode = "wrap" if problem.boundary == "circular" else "constant"
        _cupyx.first_call(self._plane, problem, xp)

    def run(self, a: Any) -> Any:
        return by_plane(self._plane, a, self.b, self.problem, self.xp)

    def _plane(self, x: Any, w: Any) -> Any:
        height, width = self.problem.output
        x = layout.padded(x, self.problem, self.xp) if self.grow else x
        y = self.function(x, w, mode=self.mode, cval=0.0, origin=self.origin)
        return y if y.shape == (height, width) else y[:height, :width].copy()
