"""Constant kernels by a summed-area table, at a cost that does not depend on their size.

With S[i, j] the sum of the padded image above and left of (i, j),

y[i, j] = c · (S[i+kh, j+kw] − S[i, j+kw] − S[i+kh, j] + S[i, j]).

Of the table only what a strip of rows needs exists at a time: D[i] = S[i+kh] − S[i] by columns is
kept as a running sum, from which row i − 1 of the image is taken and to which row i + kh − 1 is
added, and its sums along a row are the table's. 4 additions a pixel and input channel; channels are
mixed, and c multiplied, after the sums.

The table's differences cancel: a sum in float32 would lose what its numbers are larger by. Sums are
in float64, 29 bits more than float32 has. For float64 each image is first parted in two, x = h + l,
h = (x + σ) − σ with σ = 2·W·(kh + 2)·max|x| (Rump, Ogita & Oishi 2008, section 3): every sum of h
is exact in float64, and l is so small that what its sums lose does not matter. That costs twice the
sums. A pixel that is not finite spoils what is below and right of it; of float64, its image.

Crow 1984, "Summed-area tables for texture mapping" (SIGGRAPH); Viola & Jones 2001, "Rapid object
detection using a boosted cascade of simple features" (CVPR), section 2; running sums: McDonnell
1981, "Box-filtering techniques". Refuses dilation, and in ``load`` a kernel that is not constant.
"""

from __future__ import annotations

import math
from typing import Any

from convkernels.problem import ROUNDOFF, Problem, Size, UnsupportedProblem
from convkernels.registry import Cost, Implementation, algorithm, forward_only, workspace_bytes
from convkernels.toolbox import bounds, channels, layout
from convkernels.toolbox.stages import stage

# Elements of a strip: in float64, with its sums and what they are made of, it fits in a core's L2.
STRIP = 1 << 15
PLANE = (-2, -1)


def _parts(problem: Problem) -> int:
    return 2 if problem.dtype == "float64" else 1


def _strip(problem: Problem) -> int:
    """Output rows of a strip of STRIP elements."""
    row = problem.batch * problem.in_channels * layout.grown_size(problem)[1] * problem.stride[0]
    return max(1, min(problem.output[0], STRIP // row))


def _splitter(problem: Problem) -> float:
    """σ of one that is the largest: sums of W·kh numbers, and what enters and leaves them, stay in
    float64's 53 bits above the last bit of x + σ."""
    return 2.0 * layout.grown_size(problem)[1] * (problem.kernel[0] + 2)


@algorithm(
    name="integral",
    family="separable",
    namespaces=("numpy", "torch", "cupy"),
    arithmetic="ieee, sums in float64",
    source="Crow 1984; Viola & Jones 2001, section 2; exact parts: Rump, Ogita & Oishi 2008",
    directions=("forward", "grad_input"),
)
class Integral(Implementation):
    gradients = False  # of a constant kernel's elements only their value is left

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        if problem.dilation != (1, 1):
            return "a summed-area table has no dilation"
        return forward_only(problem)

    @staticmethod
    def cost(problem: Problem) -> Cost:
        width, parts = layout.grown_size(problem)[1], _parts(problem)
        places = (problem.output[0] - 1) * problem.stride[0] + 1  # of windows, before the stride
        planes = problem.batch * problem.in_channels
        columns, outputs = planes * places * width, problem.batch * math.prod(problem.output)
        summed = planes * problem.output[0] * width
        flops = parts * (2.0 * columns + 2.0 * summed)
        flops += 2.0 * outputs * problem.out_channels * problem.in_channels / problem.groups
        # Written and read: differences, running sums, sums along rows; then windows, and results.
        traffic = 8.0 * parts * (6 * columns + 5 * summed) + 24.0 * outputs * problem.out_channels
        # A GPU's, which takes the image whole: the sums twice, the windows, the results.
        doubles = parts * planes * (2 * places * (width + 1) + 2 * math.prod(problem.output))
        workspace = 8.0 * (doubles + outputs * problem.out_channels)
        workspace += workspace_bytes(problem, layout.converted(problem))
        if problem.boundary == "circular":
            workspace += workspace_bytes(problem, layout.grown(problem))
        if parts == 2:
            flops += 6.0 * columns  # x into its parts, as it enters and as it leaves
            workspace += 16.0 * 2 * columns
        return Cost(flops, problem.min_bytes + traffic, workspace)

    @staticmethod
    def error_bound(problem: Problem) -> float:
        """One rounding of each output to its type, and the sums' own errors.

        With rounding errors of mean zero a column's running sum gathers √H of them, in proportion
        to at most kh pixels; and a sum along a row, which is at most √W times the norm of its row,
        leaves those of kw steps: together u·(√H + W)·√kh of ‖x‖·‖w‖, with float64's u. Of float64
        they are of l, of at most 1.1·u·σ·√(H·W) in the place of ‖x‖.
        """
        double = ROUNDOFF["float64"]
        height, width = layout.grown_size(problem)
        lost = double * (math.sqrt(height) + width) * math.sqrt(problem.kernel[0])
        rounded = 3 * double * (1 + math.sqrt(problem.in_channels // problem.groups))
        if problem.dtype == "float64":
            lost *= min(1.0, 1.1 * double * _splitter(problem) * math.sqrt(height * width))
        else:
            rounded += ROUNDOFF["float32"]
        return rounded + lost + bounds.storage(problem)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, self.xp = problem, xp
        # NumPy's running sum down a column is one column after the other: a row at a time is not.
        self.by_row = device == "cpu" and xp.__name__.rpartition(".")[2] != "torch"
        if xp.__name__.endswith(".numpy") and problem.in_channels == problem.groups:
            self.threads = 1  # NumPy adds on one; its matrix products take more
        height = problem.output[0]
        strip = height if device != "cpu" else _strip(problem)
        self.strips = [(first, min(height, first + strip)) for first in range(0, height, strip)]

    def load(self, b: Any) -> None:
        xp = self.xp
        w = xp.astype(layout.filters(b, self.problem, xp), xp.float64)
        if not bool(xp.all(xp.isfinite(w))):
            raise UnsupportedProblem("kernel is not finite: it is not constant")
        largest = xp.max(xp.abs(w), axis=PLANE)
        spread = xp.max(w, axis=PLANE) - xp.min(w, axis=PLANE)
        share = float(xp.max(spread / xp.where(largest > 0, largest, xp.ones_like(largest))))
        if share > 0:
            raise UnsupportedProblem(
                f"kernel is not constant: its values spread over {share:.2g} of the largest; "
                "allowed: 0"
            )
        self.w = channels.weights(w[..., 0, 0], xp)

    def run(self, a: Any) -> Any:
        problem, xp = self.problem, self.xp
        x = layout.wrapped(layout.images(a, problem, xp), problem, xp)
        shape = (problem.batch, problem.groups, problem.out_channels // problem.groups)
        y = xp.empty((*shape, *problem.output), dtype=x.dtype, device=x.device)
        sigma = None
        if _parts(problem) == 2:
            with stage("split"):  # by each plane's own largest
                most = xp.max(x, axis=PLANE, keepdims=True)
                least = xp.min(x, axis=PLANE, keepdims=True)
                sigma = _splitter(problem) * xp.maximum(most, -least)
        last = None
        for rows in self.strips:
            with stage("columns"):
                sums, last = self._down(x, sigma, rows, last)
            with stage("rows"):
                windows = self._along(sums)
            with stage("scale"):
                part = channels.mixed(windows, self.w, xp)
                y[..., rows[0] : rows[1], :] = xp.astype(part, y.dtype)
        return layout.result(y, problem, xp)

    def _parted(self, x: Any, sigma: Any) -> Any:
        """(1, …), or of float64 its parts (2, …)."""
        if sigma is None:
            return x[None, ...]
        high = (x + sigma) - sigma
        return self.xp.stack([high, x - high])

    def _down(self, x: Any, sigma: Any, rows: Size, last: Any) -> tuple[Any, Any]:
        """Sums of kh pixels down each column of the padded image, with a column of zeros before the
        first, for some output rows; and those of the last row, from which the next strip goes on.
        """
        problem, xp = self.problem, self.xp
        kh, down = problem.kernel[0], problem.stride[0]
        (height, width), (top, left) = layout.frame(problem)
        first, end = rows[0] * down, rows[1] * down
        if rows[1] == problem.output[0]:
            end -= down - 1
        shape = (_parts(problem), *x.shape[:-2], end - first, layout.grown_size(problem)[1] + 1)
        sums = xp.zeros(shape, dtype=xp.float64, device=x.device)
        inside = sums[..., left + 1 : left + 1 + width]

        def met(shift: int) -> tuple[slice, Any]:
            """The sums i that have an image row i + shift, and the parts of those rows."""
            low, high = max(first, -shift), min(end, height - shift)
            if low >= high:
                return slice(0, 0), self._parted(x[..., :0, :], sigma)
            part = self._parted(x[..., low + shift : high + shift, :], sigma)
            return slice(low - first, high - first), part

        place, entering = met(kh - 1 - top)
        inside[..., place, :] = entering
        place, leaving = met(-1 - top)
        inside[..., place, :] -= leaving
        if last is None:
            before = self._parted(x[..., : min(height, max(0, kh - 1 - top)), :], sigma)
            inside[..., 0, :] += xp.sum(before, axis=-2, dtype=xp.float64)
        else:
            sums[..., 0, :] += last
        if self.by_row:
            for row in range(1, end - first):
                sums[..., row, :] += sums[..., row - 1, :]
        else:
            sums = xp.cumulative_sum(sums, axis=-2)
        return sums[..., ::down, :], sums[..., -1, :]

    def _along(self, sums: Any) -> Any:
        """Sums of kw neighbours, of both parts together: (B, G, C/G, rows, OW)."""
        xp, kw, across = self.xp, self.problem.kernel[1], self.problem.stride[1]
        sums = xp.cumulative_sum(sums, axis=-1)
        end = (self.problem.output[1] - 1) * across + 1
        windows = sums[..., kw : kw + end : across] - sums[..., :end:across]
        return windows[0, ...] if windows.shape[0] == 1 else windows[0, ...] + windows[1, ...]
