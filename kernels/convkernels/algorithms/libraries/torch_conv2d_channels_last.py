"""torch-conv2d with its operands in channels_last: (B, H, W, C) in memory, shaped (B, C, H, W).

oneDNN and cuDNN have other kernels for that layout, for tensor cores foremost. The filter is
converted in ``load``, the image in each run, as whoever gets it from elsewhere has to; the result
stays in channels_last. With one channel both layouts have the same strides, PyTorch converts
nothing, and it would be torch-conv2d: refused.
"""

from __future__ import annotations

import math
from typing import Any

from convkernels.algorithms.libraries.torch_conv2d import TorchConv2d
from convkernels.problem import ITEMSIZE, Problem
from convkernels.registry import Cost, algorithm


@algorithm(
    name="torch-conv2d-channels-last",
    family="library",
    namespaces=("torch",),
    arithmetic="ieee (TF32 off)",
    source="torch.nn.functional.conv2d, memory_format=torch.channels_last",
)
class TorchConv2dChannelsLast(TorchConv2d):
    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        one = "one channel has one memory format: torch-conv2d's"
        reason = TorchConv2d.refuses(problem, namespace, device)
        return reason or (one if problem.in_channels == 1 else None)

    @staticmethod
    def cost(problem: Problem) -> Cost:
        converted = float(math.prod(problem.x_shape) * ITEMSIZE[problem.dtype])
        return Cost(problem.flops, problem.min_bytes + 2 * converted, converted)

    def load(self, b: Any) -> None:
        super().load(b)
        self.w = self.w.contiguous(memory_format=self.torch.channels_last)

    def layer(self, x: Any, padding: tuple[int, int]) -> Any:
        return super().layer(x.contiguous(memory_format=self.torch.channels_last), padding)
