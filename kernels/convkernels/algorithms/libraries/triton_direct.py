"""The defining sum in Triton, as one writes it first: a tile of outputs a program, tap by tap.

Every tap is a load of the whole tile, shifted, through the L1 cache; nothing is kept in registers
between taps, so that a multiply-add has a load of its own, and some eight instructions of addresses
and masks around it (in Triton 3.6's machine code for sm_90): a fair first attempt, and no more.
Kernel rows are summed apart, in float32 for 16-bit storage. A row of the kernel is unrolled, so
that kernels are taken to 64 columns; from some 30 on its addresses no longer fit in the registers.
"""

from __future__ import annotations

import math
from typing import Any

from convkernels.algorithms.libraries._triton import COMPILED, TritonKernel
from convkernels.problem import ITEMSIZE, Problem
from convkernels.registry import Cost, algorithm

WIDEST = 64  # columns of a kernel
BLOCK = {"BM": 16, "BN": 64}


@algorithm(
    name="triton-direct",
    family="direct",
    namespaces=("torch",),
    arithmetic="ieee, float32 for 16-bit storage",
    source="Triton; Tillet, Kung & Cox 2019 for the language",
)
class TritonDirect(TritonKernel):
    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        if problem.kernel[1] > WIDEST:
            return f"kernels to {WIDEST} columns, not {problem.kernel[1]}"
        return TritonKernel.refuses(problem, namespace, device)

    @staticmethod
    def cost(problem: Problem) -> Cost:
        """Products with padding included, each with a load of its own."""
        outputs = problem.batch * problem.out_channels * math.prod(problem.output)
        products = float(outputs * problem.terms)
        traffic = products * ITEMSIZE[problem.dtype] + problem.min_bytes
        return Cost(2 * products, traffic, once_flops=COMPILED)

    def launch(self, x: Any, w: Any, y: Any) -> None:
        problem = self.problem
        planes = problem.batch * problem.out_channels
        rows, columns = problem.output
        grid = (planes, self.blocks(rows, BLOCK["BM"]), self.blocks(columns, BLOCK["BN"]))
        (kh, kw), (sy, sx), (dy, dx) = problem.kernel, problem.stride, problem.dilation
        known = {"KW": kw, "SX": sx, "DX": dx, "DTYPE": self.type, **BLOCK}
        self.kernels.direct[grid](x, w, y, *self.sizes, kh, sy, dy, **known)
