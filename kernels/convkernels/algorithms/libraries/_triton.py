"""What contenders written in Triton have in common: their operands, and how they are launched."""

from __future__ import annotations

from typing import Any

from convkernels import optional
from convkernels.problem import Problem
from convkernels.registry import Implementation, forward_only
from convkernels.toolbox import layout
from convkernels.toolbox.bounds import compute_dtype

COMPILED = 1e11  # FLOP in the time of compiling a kernel, a second or so


class TritonKernel(Implementation):
    """A subclass gives ``launch``: from x and w to y, all contiguous (see ``_triton_kernels``).

    Zeros around the image are never stored; a circular image is grown in each run.
    """

    devices = ("cuda",)
    gradients = False
    compiles = True

    @staticmethod
    def missing(namespace: str) -> str | None:
        return optional.missing("triton", "pip install 'convcross[triton]'")

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        return forward_only(problem)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        import torch
        import triton
        import triton.language

        from convkernels.algorithms.libraries import _triton_kernels

        self.problem, self.xp, self.torch = problem, xp, torch
        self.blocks, self.kernels = triton.cdiv, _triton_kernels
        (height, width), pads = problem.image, problem.pads
        before = (pads[0][0], pads[1][0])
        if problem.boundary == "circular":
            height, width = height + sum(pads[0]), width + sum(pads[1])
            before = (0, 0)
        inputs, outputs = (
            channels // problem.groups for channels in (problem.in_channels, problem.out_channels)
        )
        self.outputs = outputs
        self.sizes = (height, width, *problem.output, inputs, outputs, problem.groups, *before)
        self.type = getattr(triton.language, compute_dtype(problem.dtype))
        like = {"dtype": getattr(torch, problem.dtype), "device": device}
        self.w = torch.zeros(problem.w_shape, **like)
        self.run(torch.zeros(problem.x_shape, **like))  # compiles

    def load(self, b: Any) -> None:
        w = b.flip(-2, -1) if self.problem.op == "convolution" else b
        self.w = w.clone(memory_format=self.torch.contiguous_format)

    def run(self, a: Any) -> Any:
        x = layout.padded(a, self.problem, self.xp) if self.wraps else a
        y = self.torch.empty(self.problem.y_shape, dtype=a.dtype, device=a.device)
        self.launch(x.contiguous(), self.w, y)
        return y

    @property
    def wraps(self) -> bool:
        return self.problem.boundary == "circular"

    def launch(self, x: Any, w: Any, y: Any) -> None:
        raise NotImplementedError
