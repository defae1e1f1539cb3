"""torch.nn.functional.conv2d: oneDNN on the CPU, cuDNN on CUDA, each choosing for itself.

TF32 is off. On CUDA ``torch.backends.cudnn.benchmark`` is as PyTorch has it by default (off):
cuDNN's heuristics pick the engine. What they pick can change from one size to the next, so this
contender is of family ``library`` and stands for no idea.

Refuses what oneDNN 3.12 gets wrong on processors with AMX (pytorch#169688; ``check`` found it too).
"""

from __future__ import annotations

from typing import Any

from convkernels.algorithms.libraries._torch_layer import TorchLayer
from convkernels.problem import Problem
from convkernels.registry import algorithm, forward_only


@algorithm(
    name="torch-conv2d",
    family="library",
    namespaces=("torch",),
    arithmetic="ieee (TF32 off)",
    source="torch.nn.functional.conv2d",
)
class TorchConv2d(TorchLayer):
    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        if reason := forward_only(problem):
            return reason
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
