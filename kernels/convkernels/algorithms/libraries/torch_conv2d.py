"""torch.nn.functional.conv2d: oneDNN on the CPU, cuDNN on CUDA, each choosing for itself.

TF32 is off. ``torch.backends.cudnn.benchmark`` is as PyTorch has it by default (off): cuDNN's
heuristics pick the engine. What they pick can change from one size to the next, so this contender
is of family ``library`` and stands for no idea.
"""

from __future__ import annotations

from typing import Any

from convkernels.algorithms.libraries._torch_layer import TorchLayer
from convkernels.registry import algorithm


@algorithm(
    name="torch-conv2d",
    family="library",
    namespaces=("torch",),
    arithmetic="ieee (TF32 off)",
    source="torch.nn.functional.conv2d",
)
class TorchConv2d(TorchLayer):
    def layer(self, x: Any, padding: tuple[int, int]) -> Any:
        problem = self.problem
        with self.torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=False, allow_tf32=False
        ):
            return self.torch.nn.functional.conv2d(
                x,
                self.w,
                stride=problem.stride,
                padding=padding,
                dilation=problem.dilation,
                groups=problem.groups,
            )
