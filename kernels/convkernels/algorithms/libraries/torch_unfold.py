"""torch.nn.functional.unfold and a matrix product: im2col as PyTorch's users write it.

The filter becomes its matrix in ``load``. The whole column matrix is made in each run, C·kh·kw
values for each output pixel: 3.7 GiB for 1024 × 1024 and 31 × 31 in float32. TF32 is as
PyTorch has it for products: off unless asked for. ``im2col-gemm`` does the same in strips.
Chellapilla, Puri & Simard 2006.
"""

from __future__ import annotations

import math
from typing import Any

from convkernels.algorithms.libraries._torch_layer import TorchLayer
from convkernels.problem import ITEMSIZE, Problem
from convkernels.registry import Cost, algorithm


@algorithm(
    name="torch-unfold",
    family="im2col",
    namespaces=("torch",),
    arithmetic="ieee",
    source="torch.nn.functional.unfold, torch.matmul",
)
class TorchUnfold(TorchLayer):
    @staticmethod
    def cost(problem: Problem) -> Cost:
        pixels = problem.batch * math.prod(problem.output)
        columns = float(pixels * problem.groups * problem.terms * ITEMSIZE[problem.dtype])
        flops = 2.0 * pixels * problem.out_channels * problem.terms
        return Cost(flops, problem.min_bytes + 2 * columns, columns)

    def load(self, b: Any) -> None:
        super().load(b)
        problem = self.problem
        rows = problem.out_channels // problem.groups
        self.w = self.w.reshape(problem.groups, rows, problem.terms)

    def layer(self, x: Any, padding: tuple[int, int]) -> Any:
        problem = self.problem
        columns = self.torch.nn.functional.unfold(
            x, problem.kernel, dilation=problem.dilation, padding=padding, stride=problem.stride
        )
        shape = (problem.batch, problem.groups, problem.terms, math.prod(problem.output))
        return self.torch.matmul(self.w, columns.reshape(shape))
