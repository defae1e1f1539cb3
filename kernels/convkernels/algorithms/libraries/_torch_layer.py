"""Layers of PyTorch as contenders: (B, C, H, W) with (K, C/groups, kh, kw), correlating.

Of the gradients, what ``torch.nn.functional.pad`` put around x before the call is taken off after
it, and w's is flipped for a convolution.
"""

from __future__ import annotations

import contextlib
import functools
import math
from typing import Any

from convkernels.layers.training import TorchTraining
from convkernels.problem import ITEMSIZE, ROUNDOFF, STEP, Problem
from convkernels.registry import Implementation
from convkernels.surroundings import precision
from convkernels.toolbox import bounds, layout
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


def error_bound(problem: Problem) -> float:
    """That of the sum; in 16 bits oneDNN adds the taps of x's gradient in the storage type."""
    bound = bounds.summation(problem)
    if problem.direction in ("grad_input", STEP) and ITEMSIZE[problem.dtype] == 2:
        bound += ROUNDOFF[problem.dtype] * math.sqrt(math.prod(problem.kernel))
    return bound


class TorchLayer(Implementation):
    """A subclass gives ``layer``: from x and zeros to put at both ends of an axis, to y.

    Other padding (even kernels, circular) is done before it, in each run. One that has gradients
    gives ``backward`` too.
    """

    benchmark = False  # whether cuDNN may time its plans, at the first run of a shape
    memory_format = "contiguous_format"  # of torch's, in which a gradient is left
    error_bound = staticmethod(error_bound)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        import torch

        self.problem, self.torch, self.xp = problem, torch, xp
        # On the CPU there is nothing to hold: cuDNN's settings are none of oneDNN's.
        self.settings = contextlib.nullcontext() if device == "cpu" else _cudnn(self.benchmark)
        self.x4 = (problem.batch, problem.in_channels, *problem.image)
        self.w4 = (problem.out_channels, problem.in_channels // problem.groups, *problem.kernel)
        (top, bottom), (left, right) = problem.pads
        self.pads = (left, right, top, bottom)
        self.even = top == bottom and left == right and problem.boundary == "zero"
        self.flipped = problem.op == "convolution"
        self.y4 = (problem.batch, problem.out_channels, *problem.output)
        self.forward = problem.direction == "forward"
        self.wanted = (problem.direction == "grad_input", problem.direction == "grad_weight")
        self.padding = (top, left) if self.even else (0, 0)

    def load(self, b: Any) -> None:
        if self.wanted[1]:
            x = self._padded(b.reshape(self.x4))
            self.x = x.clone(memory_format=self.torch.contiguous_format)
            return
        w = b.reshape(self.w4)
        w = w.flip(-2, -1) if self.flipped else w
        # Of its own in any case: flip keeps the strides of what it is given, and clone would.
        self.w = w.clone(memory_format=self.torch.contiguous_format)

    def run(self, a: Any) -> Any:
        if not self.forward:
            return self._gradient(a.reshape(self.y4))
        y = self.layer(self._padded(a.reshape(self.x4)), self.padding)
        return y.reshape(self.problem.y_shape)

    @property
    def met(self) -> tuple[int, int, int, int]:
        """Shape of x as the layer meets it."""
        rows, columns = self.problem.image
        if not self.even:
            rows, columns = layout.grown_size(self.problem)
        return (*self.x4[:2], rows, columns)

    def _padded(self, x: Any) -> Any:
        """x as the layer meets it."""
        if self.even:
            return x
        mode = "circular" if self.problem.boundary == "circular" else "constant"
        return self.torch.nn.functional.pad(x, self.pads, mode=mode)

    def _gradient(self, gy: Any) -> Any:
        problem = self.problem
        found = self.backward(gy, self.padding)
        if self.wanted[0]:
            found = found if self.even else layout.unpadded(found, problem, self.xp)
        elif self.flipped:
            found = found.flip(-2, -1)
        memory_format = getattr(self.torch, self.memory_format)
        return found.contiguous(memory_format=memory_format).reshape(problem.shapes[2])

    def backward(self, gy: Any, padding: tuple[int, int]) -> Any:
        """The gradient that is wanted: of x, as the layer meets it, or of the filters."""
        raise NotImplementedError

    def layer(self, x: Any, padding: tuple[int, int]) -> Any:
        raise NotImplementedError


class TorchStep(Implementation):
    """Forward under autograd, and backward, in a memory format of torch's."""

    memory_format = "contiguous_format"
    error_bound = staticmethod(error_bound)

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        if problem.boundary != "zero":
            return f"boundary {problem.boundary}: a step is of layers, which pad with zeros"
        return None

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        import torch

        self.format = getattr(torch, self.memory_format)
        self.settings = contextlib.nullcontext() if device == "cpu" else _cudnn(benchmark=False)
        self.training = TorchTraining(problem, device)

    def run(self, a: Any) -> Any:
        x, w, gy = (value.contiguous(memory_format=self.format) for value in (a[0], self.b, a[1]))
        with self.settings:
            return self.training.run(STEP, x, w, gy)
