"""torch-conv2d with its operands in channels_last: (B, H, W, C) in memory, shaped (B, C, H, W).

oneDNN and cuDNN have other kernels for that layout, for tensor cores foremost. The filter is
converted in ``load``, the image in each run, as whoever gets it from elsewhere has to; the result
stays in channels_last. With one channel both layouts have the same strides, PyTorch converts
nothing, and it would be torch-conv2d: refused. So of its gradients: what is loaded is converted in
``load``, what comes in each run there; and of a step all that it is given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from convkernels.algorithms.libraries._torch_layer import TorchStep
from convkernels.algorithms.libraries.torch_conv2d import TorchConv2d
from convkernels.problem import DIRECTIONS, ITEMSIZE, STEP, Problem
from convkernels.registry import Cost, Implementation, algorithm


class ChannelsLastStep(TorchStep):
    memory_format = "channels_last"

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        reason = TorchConv2dChannelsLast.refuses(problem, namespace, device)
        return reason or TorchStep.refuses(problem, namespace, device)

    @staticmethod
    def cost(problem: Problem) -> Cost:
        converted = problem.min_bytes / 2
        return Cost(problem.flops, problem.min_bytes + 2 * converted, converted)


@algorithm(
    name="torch-conv2d-channels-last",
    family="library",
    namespaces=("torch",),
    arithmetic="ieee (TF32 off)",
    source="torch.nn.functional.conv2d, memory_format=torch.channels_last",
    directions=(*DIRECTIONS, STEP),
)
class TorchConv2dChannelsLast(TorchConv2d):
    memory_format = "channels_last"
    apart: Mapping[str, type[Implementation]] = {STEP: ChannelsLastStep}

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        one = "one channel has one memory format: torch-conv2d's"
        reason = TorchConv2d.refuses(problem, namespace, device)
        return reason or (one if problem.in_channels == 1 else None)

    @staticmethod
    def cost(problem: Problem) -> Cost:
        converted = float(math.prod(problem.shapes[0]) * ITEMSIZE[problem.dtype])
        return Cost(problem.flops, problem.min_bytes + 2 * converted, converted)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        super().plan(problem, xp, device)
        if problem.direction == "grad_input":
            self.x = self._converted(self.x)
        elif problem.direction == "grad_weight":
            self.w = self._converted(self.w)

    def load(self, b: Any) -> None:
        super().load(b)
        if self.wanted[1]:
            self.x = self._converted(self.x)
        else:
            self.w = self._converted(self.w)

    def layer(self, x: Any, padding: tuple[int, int]) -> Any:
        return super().layer(self._converted(x), padding)

    def backward(self, gy: Any, padding: tuple[int, int]) -> Any:
        return super().backward(self._converted(gy), padding)

    def _converted(self, values: Any) -> Any:
        return values.contiguous(memory_format=self.torch.channels_last)
