"""torch.nn.functional.conv2d: oneDNN on the CPU, cuDNN on CUDA, each choosing for itself.

TF32 is off. ``torch.backends.cudnn.benchmark`` is as PyTorch has it by default (off): cuDNN's
heuristics pick the engine. What they pick can change from one size to the next, so this contender
is of family ``library`` and stands for no idea.
"""

from __future__ import annotations

from typing import Any

from convkernels.problem import Problem
from convkernels.registry import Implementation, algorithm


@algorithm(
    name="torch-conv2d",
    family="library",
    namespaces=("torch",),
    arithmetic="ieee (TF32 off)",
    source="torch.nn.functional.conv2d",
)
class TorchConv2d(Implementation):
    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        import torch

        self.problem, self.torch = problem, torch
        self.x4 = (problem.batch, problem.in_channels, *problem.image)
        self.w4 = (problem.out_channels, problem.in_channels // problem.groups, *problem.kernel)
        (top, bottom), (left, right) = problem.pads
        self.pads = (left, right, top, bottom)
        self.even = top == bottom and left == right and problem.boundary == "zero"

    def load(self, b: Any) -> None:
        w = b.reshape(self.w4)
        self.w = w.flip(-2, -1) if self.problem.op == "convolution" else w

    def run(self, a: Any) -> Any:
        problem, functional = self.problem, self.torch.nn.functional
        x, padding = a.reshape(self.x4), (self.pads[2], self.pads[0])
        if not self.even:
            mode = "circular" if problem.boundary == "circular" else "constant"
            x, padding = functional.pad(x, self.pads, mode=mode), (0, 0)
        with self.torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=False, allow_tf32=False
        ):
            y = functional.conv2d(
                x,
                self.w,
                stride=problem.stride,
                padding=padding,
                dilation=problem.dilation,
                groups=problem.groups,
            )
        return y.reshape(problem.y_shape)
