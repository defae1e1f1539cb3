"""torch-conv2d with ``torch.backends.cudnn.benchmark`` on: cuDNN's plans timed, the fastest kept.

PyTorch times up to ``torch.backends.cudnn.benchmark_limit`` plans (10, held here) when it first
meets a shape, and keeps the fastest for the thread; ``plan`` does that on zeros, so that no run
pays for it. An image that lies less aligned than a fresh one is another shape to PyTorch, and its
first run times anew. The choice may differ from one process to the next, and so may the last bits.

Costs in its plan some two runs of each of the plans. On the CPU the setting changes nothing, and it
would be torch-conv2d: refused.
"""

from __future__ import annotations

from typing import Any

from convkernels.algorithms.libraries._torch_layer import PLANS
from convkernels.algorithms.libraries.torch_conv2d import TorchConv2d
from convkernels.problem import Problem
from convkernels.registry import Cost, algorithm


@algorithm(
    name="torch-conv2d-autotuned",
    family="library",
    namespaces=("torch",),
    arithmetic="ieee (TF32 off)",
    source="torch.nn.functional.conv2d, torch.backends.cudnn.benchmark = True",
)
class TorchConv2dAutotuned(TorchConv2d):
    devices = ("cuda",)
    benchmark = True

    @staticmethod
    def cost(problem: Problem) -> Cost:
        timed = 2.0 * PLANS
        once = timed * problem.flops, timed * problem.min_bytes
        return Cost(problem.flops, problem.min_bytes, once_flops=once[0], once_bytes=once[1])

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        super().plan(problem, xp, device)
        like = {"dtype": getattr(self.torch, problem.dtype), "device": device}
        self.w = self.torch.zeros(self.w4, **like)
        self.run(self.torch.zeros(self.x4, **like))
