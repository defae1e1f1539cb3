"""torch.nn.functional.conv2d: oneDNN on the CPU, cuDNN on CUDA, each choosing for itself.

TF32 is off. On CUDA ``torch.backends.cudnn.benchmark`` is as PyTorch has it by default (off):
cuDNN's heuristics pick the engine. What they pick can change from one size to the next, so this
contender is of family ``library`` and stands for no idea.

Gradients are those of its autograd, by the same call (aten.convolution_backward); a step is a pass
forward under autograd and its backward.

Refuses what oneDNN 3.12 gets wrong on processors with AMX (pytorch#169688; ``check`` found it too).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convkernels.algorithms.libraries._torch_layer import TorchLayer, TorchStep
from convkernels.layers import sums
from convkernels.problem import DIRECTIONS, STEP, Problem
from convkernels.registry import Implementation, algorithm


@algorithm(
    name="torch-conv2d",
    family="library",
    namespaces=("torch",),
    arithmetic="ieee (TF32 off)",
    source="torch.nn.functional.conv2d",
    directions=(*DIRECTIONS, STEP),
)
class TorchConv2d(TorchLayer):
    native = DIRECTIONS
    apart: Mapping[str, type[Implementation]] = {STEP: TorchStep}

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        strided = problem.output[1] == 1 and problem.stride[1] > 1
        if problem.dtype == "bfloat16" and device == "cpu" and strided:
            return (
                "bfloat16 with a stride to one output column: oneDNN reads what was never written"
            )
        return None

    def layer(self, x: Any, padding: tuple[int, int]) -> Any:
        problem = self.problem
        with self.settings:
            return self.torch.nn.functional.conv2d(
                x,
                self.w,
                stride=problem.stride,
                padding=padding,
                dilation=problem.dilation,
                groups=problem.groups,
            )

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        super().plan(problem, xp, device)
        like = {"dtype": getattr(self.torch, problem.dtype), "device": device}
        if problem.direction == "grad_input":  # what else the call takes, without values
            self.x = self.torch.empty(self.met, **like)
        elif problem.direction == "grad_weight":
            self.w = self.torch.empty(self.w4, **like)

    def backward(self, gy: Any, padding: tuple[int, int]) -> Any:
        with self.settings:
            gx, gw = sums.gradients(gy, self.x, self.w, self.problem, padding, self.wanted)
        return gx if self.wanted[0] else gw
