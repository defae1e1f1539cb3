"""Layers of PyTorch as contenders: (B, C, H, W) with (K, C/groups, kh, kw), correlating."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

from convkernels.problem import Problem
from convkernels.registry import Implementation
from convkernels.surroundings import precision
from convkernels.toolbox.settings import Held, attribute

PLANS = 10  # that are timed where cuDNN may time, PyTorch's own limit


@functools.cache
def _cudnn(benchmark: bool) -> Held:
    """cuDNN on, without TF32, as its heuristics choose or as the fastest of PLANS."""
    import torch

    cudnn = torch.backends.cudnn
    tf32 = (
        precision(cudnn.conv) if hasattr(cudnn, "conv") else attribute(cudnn, "allow_tf32", False)
    )
    values: list[tuple[str, Any]] = [
        ("enabled", True),
        ("benchmark", benchmark),
        ("deterministic", False),
    ]
    if benchmark and hasattr(cudnn, "benchmark_limit"):  # of builds with cuDNN
        values.append(("benchmark_limit", PLANS))
    settings = [*(attribute(cudnn, name, value) for name, value in values), tf32]
    return Held(lambda: settings)


class TorchLayer(Implementation):
    """A subclass gives ``layer``: from x and zeros to put at both ends of an axis, to y.

    Other padding (even kernels, circular) is done before it, in each run.
    """

    benchmark = False  # whether cuDNN may time its plans, at the first run of a shape

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        import torch

        self.problem, self.torch = problem, torch
        # On the CPU there is nothing to hold: cuDNN's settings are none of oneDNN's.
        self.settings = contextlib.nullcontext() if device == "cpu" else _cudnn(self.benchmark)
        self.x4 = (problem.batch, problem.in_channels, *problem.image)
        self.w4 = (problem.out_channels, problem.in_channels // problem.groups, *problem.kernel)
        (top, bottom), (left, right) = problem.pads
        self.pads = (left, right, top, bottom)
        self.even = top == bottom and left == right and problem.boundary == "zero"
        self.flipped = problem.op == "convolution"

    def load(self, b: Any) -> None:
        w = b.reshape(self.w4)
        w = w.flip(-2, -1) if self.flipped else w
        # Of its own in any case: flip keeps the strides of what it is given, and clone would.
        self.w = w.clone(memory_format=self.torch.contiguous_format)

    def run(self, a: Any) -> Any:
        problem = self.problem
        x, padding = a.reshape(self.x4), (self.pads[2], self.pads[0])
        if not self.even:
            mode = "circular" if problem.boundary == "circular" else "constant"
            x, padding = self.torch.nn.functional.pad(x, self.pads, mode=mode), (0, 0)
        return self.layer(x, padding).reshape(problem.y_shape)

    def layer(self, x: Any, padding: tuple[int, int]) -> Any:
        raise NotImplementedError
