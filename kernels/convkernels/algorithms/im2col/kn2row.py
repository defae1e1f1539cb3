"""The sum of n² convolutions with 1×1 kernels, each a matrix product on the image as it lies.

y[k, i, j] = Σ_(r, c) P_rc[k, i·s + r − top, j·s + c − left],  P_rc = W_rc · X

X is the image as (C/G, H·W), and W_rc (K/G, C/G) is what the filters have at (r, c). Where im2col
copies the image n² times and multiplies once, this multiplies n² times and copies nothing: what is
shifted is each product, as it is added to the result. Nothing is multiplied with padding.

Costs the FLOP of the defining sum, those of columns that a border or a stride leaves out included,
and for each kernel element one product of K/G planes, read and added. On a CPU the image is taken
in strips of rows whose products stay in the cache. A circular image is first grown by what it wraps
round.

Vasudevan, Anderson & Gregg 2017, "Parallel Multi Channel Convolution using General Matrix
Multiplication" (ASAP), kn2row; added at once, without the n² products kept: Anderson, Vasudevan,
Keane & Gregg 2017 (arXiv 1709.03395), accumulating kn2row.
"""

from __future__ import annotations

from typing import Any

from convkernels.problem import Problem
from convkernels.registry import Cost, Implementation, algorithm, workspace_bytes
from convkernels.toolbox import channels, layout
from convkernels.toolbox.stages import stage

# Elements of a strip's product: with what it is added to it fits in a core's L2.
STRIP = 1 << 15


def _met(count: int, size: int, stride: int, shift: int) -> tuple[slice, slice] | None:
    """Of ``count`` outputs, where output o reads place o·stride + shift: those that read one of
    ``size`` places, and the places; None where none does."""
    first = max(0, -(shift // stride))
    last = min(count, (size - 1 - shift) // stride + 1)
    if first >= last:
        return None
    places = slice(first * stride + shift, (last - 1) * stride + shift + 1, stride)
    return slice(first, last), places


def _axis(problem: Problem, axis: int) -> list[tuple[slice, slice] | None]:
    """``_met`` of each kernel row (axis 0) or column (axis 1), along the whole image."""
    size, before = (pair[axis] for pair in layout.frame(problem))
    count, stride, step = problem.output[axis], problem.stride[axis], problem.dilation[axis]
    return [_met(count, size, stride, e * step - before) for e in range(problem.kernel[axis])]


def _strip(problem: Problem) -> int:
    """Rows of the image whose product is of STRIP elements."""
    height, width = layout.frame(problem)[0]
    return max(1, min(height, STRIP // (problem.batch * problem.out_channels * width)))


@algorithm(
    name="kn2row",
    family="im2col",
    namespaces=("numpy", "torch", "cupy"),
    arithmetic="ieee, float32 for 16-bit storage",
    source="Vasudevan, Anderson & Gregg 2017, kn2row",
    directions=("forward", "grad_input"),
)
class Kn2row(Implementation):
    phases = ("grad_input",)

    @staticmethod
    def cost(problem: Problem) -> Cost:
        (height, width), _ = layout.frame(problem)
        rows = sum(met[0].stop - met[0].start for met in _axis(problem, 0) if met)
        columns = sum(met is not None for met in _axis(problem, 1))
        planes = problem.batch * problem.out_channels
        products = float(planes * rows * columns * width)  # elements of them
        flops = 2 * products * (problem.in_channels // problem.groups)
        # A product is written, read, and added to the result, which is read and written; the image
        # is read for each.
        images = products * problem.in_channels / problem.out_channels
        traffic = workspace_bytes(problem, 4.0 * products + images)
        workspace = planes * height * width + layout.converted(problem)  # a GPU's product
        if problem.boundary == "circular":
            workspace += layout.grown(problem)
        return Cost(flops, problem.min_bytes + traffic, workspace_bytes(problem, workspace))

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, self.xp = problem, xp
        (height, _), (top, _) = layout.frame(problem)
        if xp.__name__.endswith(".numpy") and problem.in_channels == problem.groups:
            self.threads = 1  # NumPy multiplies and adds on one; its matrix products take more
        strip = height if device != "cpu" else _strip(problem)
        self.columns = _axis(problem, 1)
        self.rows = []  # (strip, kernel row, output rows, rows of the strip)
        for first in range(0, height, strip):
            rows = min(strip, height - first)
            for row in range(problem.kernel[0]):
                shift = row * problem.dilation[0] - top - first
                met = _met(problem.output[0], rows, problem.stride[0], shift)
                if met is not None:
                    self.rows.append((slice(first, first + rows), row, *met))

    def load(self, b: Any) -> None:
        w = layout.filters(b, self.problem, self.xp)
        rows, columns = map(range, self.problem.kernel)
        self.taps = [[channels.weights(w[..., r, c], self.xp) for c in columns] for r in rows]

    def run(self, a: Any) -> Any:
        problem, xp = self.problem, self.xp
        x = layout.wrapped(layout.images(a, problem, xp), problem, xp)
        shape = (problem.batch, problem.groups, problem.out_channels // problem.groups)
        y = xp.zeros((*shape, *problem.output), dtype=x.dtype, device=x.device)
        for strip, row, outputs, places in self.rows:
            part = x[..., strip, :][..., places, :]
            for weight, met in zip(self.taps[row], self.columns, strict=True):
                if met is None:
                    continue
                with stage("product"):
                    product = channels.mixed(part, weight, xp)
                with stage("shift"):
                    y[..., outputs, met[0]] += product[..., met[1]]
        return layout.result(y, problem, xp)
