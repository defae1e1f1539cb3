"""torch.compile of conv2d alone: what the compiler adds where there is nothing to fuse.

TorchInductor leaves a convolution to ATen (oneDNN, cuDNN; ``aten.convolution`` is an extern kernel
unless max_autotune is on), so what it runs is torch-conv2d's kernel behind guards.

One function is compiled in ``plan``, with dynamic shapes: again for each dtype, kernel size and
pattern of equal sizes (a fifth of a second each, the first some seconds), not for each image, and
never within a run. Padding is done before it. To keep the graphs few, only single images of one
channel are taken. ``fullgraph`` makes an error of too many graphs, where Dynamo would otherwise go
on without having compiled.
"""

from __future__ import annotations

import functools
import math
import os
import shutil
import warnings
from typing import Any

from convkernels.algorithms.libraries._torch_layer import TorchLayer
from convkernels.problem import ITEMSIZE, Problem
from convkernels.registry import Cost, algorithm, forward_only
from convkernels.toolbox.planes import single_step

GRAPHS = 1000  # of one function in a process, at most
COMPILED = 1e10  # FLOP in the time of compiling, at least
GUARDS = 1e6  # FLOP in the time of checking them and of the wrapper, some 0.1 ms


@functools.cache
def compiled() -> Any:
    """conv2d of (x, w), which compiles itself when it is first called."""
    import torch

    def conv2d(x: Any, w: Any) -> Any:
        return torch.nn.functional.conv2d(x, w)

    # Its pool of compiling processes would outlive the plan, and this has nothing for them to do.
    return torch.compile(conv2d, dynamic=True, fullgraph=True, options={"compile_threads": 1})


def _many_graphs() -> Any:
    """A context in which one function may have GRAPHS: Dynamo's own limit is 8."""
    import torch

    limits = {"recompile_limit": GRAPHS, "accumulated_recompile_limit": GRAPHS}
    return torch._dynamo.config.patch(limits)


@algorithm(
    name="torch-compile",
    family="library",
    namespaces=("torch",),
    arithmetic="ieee (TF32 off)",
    source="torch.compile(torch.nn.functional.conv2d, dynamic=True)",
)
class TorchCompile(TorchLayer):
    gradients = False
    compiles = True

    @staticmethod
    def missing(namespace: str) -> str | None:
        compiler = os.environ.get("CXX", "g++")
        if shutil.which(compiler):
            return None
        return f"torch.compile needs a C++ compiler, and {compiler} is not found: apt install g++"

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        if reason := forward_only(problem) or single_step(problem, "what is compiled here"):
            return reason
        if problem.batch > 1 or not problem.is_image:
            return "compiled for single images of one channel"
        if min(*problem.image, *problem.kernel) < 2:
            return "a size of one would be compiled anew"
        if problem.dtype not in ("float64", "float32"):
            return f"not compiled for {problem.dtype}"
        return None

    @staticmethod
    def cost(problem: Problem) -> Cost:
        (top, bottom), (left, right) = problem.pads
        height, width = problem.image
        # The padded image is written and read, and multiplied like any other.
        grown = (height + top + bottom) * (width + left + right)
        products = math.prod(problem.output) * problem.terms
        traffic = problem.min_bytes + 2.0 * grown * ITEMSIZE[problem.dtype]
        return Cost(2.0 * products + GUARDS, traffic, once_flops=COMPILED)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        import torch

        super().plan(problem, xp, device)
        self.even = not any(self.pads)  # else padded before
        like = {"dtype": getattr(torch, problem.dtype), "device": device}
        self.w = torch.zeros(self.w4, **like)
        with warnings.catch_warnings():
            # Of torch 2.13: importing TorchInductor calls what torch.jit has deprecated.
            warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
            with _many_graphs():
                self.run(torch.zeros(self.x4, **like))

    def layer(self, x: Any, padding: tuple[int, int]) -> Any:
        import torch

        # Other strides, and views of other arrays, would be compiled anew.
        x = x.contiguous().data
        with self.settings:
            try:
                return compiled()(x, self.w)
            except torch._dynamo.exc.FailOnRecompileLimitHit:
                # A default device or a mode that came after the plan is compiled for anew.
                with _many_graphs():
                    return compiled()(x, self.w)
