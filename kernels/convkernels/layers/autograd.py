"""A layer's passes as one node of PyTorch's autograd, whoever computes them.

Arithmetic is what the passes declare, whatever surrounds the call (autocast, TF32). Where a result
is not finite, the pass is computed again as PyTorch's sum: a transform spreads a NaN over its whole
image, and overflows sooner. Looking at it takes a pass over the result, and on a GPU waits for it.
Second derivatives are PyTorch's sums too.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch

from convkernels import namespaces
from convkernels.layers import sums
from convkernels.problem import Problem
from convkernels.surroundings import held_off

Tensor = Any
Wanted = tuple[bool, bool]


class Passes(Protocol):
    """Forward and backward of one layer.

    Attributes
    ----------
    problem : the layer's, of which y = forward(x, w)
    """

    problem: Problem

    def forward(self, x: Tensor, w: Tensor, wanted: Wanted) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(B, C, H, W), (K, C/G, kh, kw) → y (B, K, OH, OW), and what ``backward`` is to be given
        of it, where gradients of x and of w are wanted."""

    def backward(
        self, gy: Tensor, x: Tensor, w: Tensor, kept: tuple[Tensor, ...], wanted: Wanted
    ) -> tuple[Tensor | None, Tensor | None]:
        """(gx, gw), of those that are wanted."""


class _Convolution(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, passes: Passes) -> Tensor:
        wanted = (ctx.needs_input_grad[0], ctx.needs_input_grad[1])
        with held_off(*namespaces.of(x)):
            y, kept = passes.forward(x, w, wanted)
            if not _finite(y):
                y = sums.forward(x, w, passes.problem)
        ctx.passes, ctx.wanted = passes, wanted
        ctx.save_for_backward(x, w, *kept)
        return _as(y, x, w)

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, w, *kept = ctx.saved_tensors
        passes, wanted = ctx.passes, ctx.wanted
        with held_off(*namespaces.of(x)):
            if torch.is_grad_enabled():
                return (*sums.backward(gy, x, w, passes.problem, wanted), None)
            gx, gw = passes.backward(gy, x, w, tuple(kept), wanted)
            if not all(gradient is None or _finite(gradient) for gradient in (gx, gw)):
                gx, gw = sums.backward(gy, x, w, passes.problem, wanted)
        return None if gx is None else _as(gx, x), None if gw is None else _as(gw, w), None


def convolution(x: Tensor, w: Tensor, passes: Passes) -> Tensor:
    """(B, C, H, W), (K, C/G, kh, kw) → (B, K, OH, OW), of x's dtype; in channels_last where x or w
    is, as PyTorch's own."""
    return _Convolution.apply(x, w, passes)


def _finite(result: Tensor) -> bool:
    if result.device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        return True  # a graph cannot look
    return math.isfinite(result.sum(dtype=torch.float64))


def _as(result: Tensor, *like: Tensor) -> Tensor:
    """Of their dtype, and channels_last where one of them is nothing else."""
    last = any(
        one.is_contiguous(memory_format=torch.channels_last) and not one.is_contiguous()
        for one in like
    )
    memory_format = torch.channels_last if last else torch.contiguous_format
    return result.to(like[0].dtype).contiguous(memory_format=memory_format)
