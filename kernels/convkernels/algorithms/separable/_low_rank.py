"""Kernels of low rank as separable passes, each pass a product with a banded Toeplitz matrix.

With w = Σ_q u_q v_qᵀ (u_q of kh elements, v_q of kw), y = Σ_q U_q · X · V_q: U_q and V_q are the
Toeplitz matrices of u_q and v_q (``toolbox/toeplitz.py``). A block of ``BLOCK`` columns takes all
V_q in one product, and a block of BLOCK rows sums over q in one product. BLOCK + n − 1 in the place
of n products a pixel and pass, by a tuned GEMM: 2 to 16 times faster than a shifted sum of whole
rows from n = 15 on. Strides and dilation are in the matrices.

The image is taken in strips of rows; of those that two strips read, what the first pass gave is
kept.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, ClassVar

from convkernels.problem import ITEMSIZE, Problem, Size
from convkernels.registry import Cost, Implementation, workspace_bytes
from convkernels.toolbox import layout, rank, toeplitz
from convkernels.toolbox.bounds import compute_dtype
from convkernels.toolbox.stages import stage

BLOCK = 32  # outputs of a matrix: with fewer a GEMM is slow, with more it multiplies by more zeros
LIMIT = 4 << 20  # bytes of a strip between the passes


def _block(problem: Problem, axis: int) -> Size:
    """Outputs of a matrix along an axis, and inputs."""
    outputs = min(BLOCK, problem.output[axis])
    taps, stride, dilation = problem.kernel[axis], problem.stride[axis], problem.dilation[axis]
    return outputs, toeplitz.reach(outputs, taps, stride, dilation)


def _pairs(problem: Problem) -> int:
    """An image and a kernel that meet."""
    return problem.batch * problem.out_channels * (problem.in_channels // problem.groups)


def _strips(problem: Problem, terms: int) -> list[Size]:
    """Ranges of output rows, of at least a block."""
    height, width = problem.output
    block = _block(problem, 0)[0]
    row = _pairs(problem) * terms * width * ITEMSIZE[compute_dtype(problem.dtype)]
    inputs = max(0, LIMIT // row - problem.extent[0])
    rows = min(height, max(block, (inputs // problem.stride[0] + 1) // block * block))
    return [
        (min(first, height - block), min(height, first + rows)) for first in range(0, height, rows)
    ]


def _inputs(problem: Problem, rows: Size) -> Size:
    """The range of image rows that a range of output rows reads."""
    stride = problem.stride[0]
    return (rows[0] * stride, (rows[1] - 1) * stride + problem.extent[0])


class LowRank(Implementation):
    """The sum of as many separable passes as RANK, or as the kernel's smaller side."""

    RANK: ClassVar[int]
    gradients = False  # the factors are of values, by an SVD of their own

    @classmethod
    def _terms(cls, problem: Problem) -> int:
        return min(cls.RANK, *problem.kernel)

    @classmethod
    def cost(cls, problem: Problem) -> Cost:
        terms, pairs, width = cls._terms(problem), _pairs(problem), problem.output[1]
        (rows, tall), (columns, wide) = (_block(problem, axis) for axis in (0, 1))
        strips = _strips(problem, terms)
        reads = [_inputs(problem, strip) for strip in strips]
        new = reads[0][1] - reads[0][0]
        new += sum(b[1] - max(a[1], b[0]) for a, b in itertools.pairwise(reads))
        passed = new * math.ceil(width / columns) * columns * terms  # rows, of a pair
        summed = sum(math.ceil((last - first) / rows) * rows for first, last in strips) * width
        # Between the passes: written, put in its place, read; sums are written and put in theirs.
        traffic = pairs * 4.0 * passed + problem.batch * problem.out_channels * 3.0 * summed
        tallest = max(last - first for first, last in reads)
        between = pairs * terms * tallest * (2 * width + columns)
        weights = pairs // problem.batch * terms * (rows * tall + columns * wide)
        svd = 4.0 * pairs / problem.batch * math.prod(problem.kernel) * min(problem.kernel)
        return Cost(
            2.0 * pairs * (passed * wide + terms * summed * tall),
            problem.min_bytes + workspace_bytes(problem, traffic),
            workspace_bytes(problem, between + weights + layout.copied(problem)),
            once_flops=svd,
            once_bytes=workspace_bytes(problem, weights),
        )

    @classmethod
    def error_bound(cls, problem: Problem) -> float:
        return rank.error_bound(problem, cls._terms(problem))

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, self.xp = problem, xp
        self.terms = self._terms(problem)
        self.down, self.across = _block(problem, 0), _block(problem, 1)
        self.strips = _strips(problem, self.terms)
        self.columns = toeplitz.starts(problem.output[1], self.across[0])

    def load(self, b: Any) -> None:
        problem, xp = self.problem, self.xp
        w = layout.filters(b, problem, xp)
        columns, rows = (
            xp.astype(factor, w.dtype) for factor in rank.factors(w, problem.dtype, xp, self.RANK)
        )  # (G, K/G, C/G, r, kh) and (G, K/G, C/G, r, kw)
        (tall, wide), (down, across) = (self.down, self.across), problem.stride
        lead, terms = w.shape[:3], self.terms
        right = toeplitz.band(rows, wide[0], across, problem.dilation[1], xp)
        right = xp.permute_dims(right, (0, 1, 2, 5, 3, 4))
        self.right = xp.reshape(right, (*lead, wide[1], terms * wide[0]))
        left = toeplitz.band(columns, tall[0], down, problem.dilation[0], xp)
        left = xp.permute_dims(left, (0, 1, 4, 5, 2, 3))
        self.left = xp.reshape(left, (*lead[:2], tall[0], tall[1] * lead[2] * terms))

    def run(self, a: Any) -> Any:
        problem, xp = self.problem, self.xp
        with stage("pad"):
            x = layout.padded(layout.images(a, problem, xp), problem, xp)
        shape = (problem.batch, problem.groups, problem.out_channels // problem.groups)
        y = xp.empty((*shape, *problem.output), dtype=x.dtype, device=x.device)
        rows, inputs = self.down
        row = problem.in_channels // problem.groups * self.terms  # lines of ``strip`` an image row
        strip, top, bottom = None, 0, 0
        for first, last in self.strips:
            with stage("rows"):
                begin, end = _inputs(problem, (first, last))
                new = self._across(x[:, :, None, :, max(bottom, begin) : end, :])
                if strip is not None and begin < bottom:
                    new = xp.concat([strip[..., (begin - top) * row :, :], new], axis=-2)
                strip, top, bottom = new, begin, end
            with stage("columns"):
                for start in toeplitz.starts(last - first, rows):
                    line = start * problem.stride[0] * row
                    product = xp.matmul(self.left, strip[..., line : line + inputs * row, :])
                    y[..., first + start : first + start + rows, :] = product
        return layout.result(y, problem, xp)

    def _across(self, x: Any) -> Any:
        """Rows (B, G, 1, C/G, H, W) passed over by each kernel's: (B, G, K/G, H·C/G·r, OW)."""
        problem, xp, terms = self.problem, self.xp, self.terms
        columns, inputs = self.across
        batch, groups, _, ins, height, _ = x.shape
        lead, width = (batch, groups, problem.out_channels // groups), problem.output[1]
        strip = xp.empty((*lead, height, ins, terms, width), dtype=x.dtype, device=x.device)
        for start in self.columns:
            left = start * problem.stride[1]
            product = xp.matmul(x[..., left : left + inputs], self.right)  # (…, C/G, H, r·columns)
            product = xp.reshape(product, (*lead, ins, height, terms, columns))
            product = xp.permute_dims(product, (0, 1, 2, 4, 3, 5, 6))
            strip[..., start : start + columns] = product
        return xp.reshape(strip, (*lead, height * ins * terms, width))
