"""im2col in chunks: as many outputs at a time as have patches that stay in the cache.

Y = W · P as ``im2col-gemm``, with P written and read in the cache, in the same memory for all
chunks, and never in main memory: its n²·N² elements are the same, its workspace is ``CHUNK`` and no
more. A chunk is some rows of outputs, some columns of a row that is too long, or some images that
are small.

The matrix: Chellapilla, Puri & Simard 2006, section 3; made a tile at a time, in fast memory only:
Chetlur et al. 2014, "cuDNN: Efficient Primitives for Deep Learning" (arXiv 1410.0759), section 3.
"""

from __future__ import annotations

import math
from typing import Any

from convkernels.algorithms.im2col._blocks import Blocked, BlockSize, even
from convkernels.algorithms.im2col._patches import filter_matrix, patches
from convkernels.problem import ITEMSIZE, Problem, Size
from convkernels.registry import Cost, algorithm, workspace_bytes
from convkernels.toolbox import layout
from convkernels.toolbox.bounds import compute_dtype
from convkernels.toolbox.stages import stage

CHUNK = 4 << 20  # bytes of P: it fits in a last-level cache, and its rows are worth a copy each


@algorithm(
    name="im2col-chunked",
    family="im2col",
    namespaces=("numpy", "torch", "cupy"),
    arithmetic="ieee, float32 for 16-bit storage",
    source="Chellapilla, Puri & Simard 2006; a tile at a time: Chetlur et al. 2014, section 3",
    directions=("forward", "grad_input"),
)
class Im2colChunked(Blocked):
    phases = ("grad_input",)

    @staticmethod
    def block_size(problem: Problem) -> BlockSize:
        height, width = problem.output
        output = problem.groups * problem.terms * ITEMSIZE[compute_dtype(problem.dtype)]
        outputs = max(1, CHUNK // output)
        columns = even(width, outputs)
        rows = even(height, max(1, outputs // columns))
        images = even(problem.batch, max(1, outputs // (rows * columns)))
        return BlockSize(images, rows, columns)

    @staticmethod
    def cost(problem: Problem) -> Cost:
        outputs = problem.batch * math.prod(problem.output)
        flops = 2.0 * outputs * problem.out_channels * problem.terms
        columns = problem.groups * problem.terms
        # Patches, products and what the way in makes: each written and read.
        elements = outputs * (columns + problem.out_channels) + layout.copied(problem)
        traffic = workspace_bytes(problem, 2.0 * elements)
        chunk = math.prod(Im2colChunked.block_size(problem)) * (columns + problem.out_channels)
        workspace = workspace_bytes(problem, chunk + layout.copied(problem))
        return Cost(flops, problem.min_bytes + traffic, workspace)

    def load(self, b: Any) -> None:
        self.w = filter_matrix(b, self.problem, self.xp)

    def block(self, x: Any, rows: Size, columns: Size) -> Any:
        xp = self.xp
        with stage("unfold"):
            matrix = patches(x, self.problem, xp, rows, columns)
        with stage("product"):
            product = xp.matmul(self.w, matrix)  # (B, G, K/G, rows·columns)
        size = (rows[1] - rows[0], columns[1] - columns[0])
        return xp.reshape(product, (*product.shape[:3], *size))
