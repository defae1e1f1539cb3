"""The three passes of a layer as PyTorch's own sums, padded with zeros as a ``Problem`` says.

A circular boundary is not theirs: who calls has none.
"""

from __future__ import annotations

from typing import Any

from convkernels.problem import Problem, Size

Tensor = Any


def forward(x: Tensor, w: Tensor, problem: Problem) -> Tensor:
    """(B, C, H, W), (K, C/G, kh, kw) → (B, K, OH, OW)"""
    import torch

    padding, rest = _pads(problem)
    x, w = _grown(x, rest), _correlated(w, problem)
    stride, dilation = problem.stride, problem.dilation
    return torch.nn.functional.conv2d(x, w, None, stride, padding, dilation, problem.groups)


def backward(
    gy: Tensor, x: Tensor, w: Tensor, problem: Problem, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """(gx, gw) of those that are wanted; can itself be differentiated.

    Parameters
    ----------
    gy : (B, K, OH, OW)
    x, w : (B, C, H, W), (K, C/G, kh, kw)
    """
    padding, rest = _pads(problem)
    x, w = _grown(x, rest), _correlated(w, problem)
    gx, gw = gradients(gy, x, w, problem, padding, wanted)
    gx = _grown(gx, [-pad for pad in rest]) if wanted[0] else None
    gw = _correlated(gw, problem) if wanted[1] else None
    return gx, gw


def gradients(
    gy: Tensor, x: Tensor, w: Tensor, problem: Problem, padding: Size, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """(gx, gw) of a correlation with (down, across) zeros on both sides, by the library's one call.

    Of a gradient alone that is wanted, the operand of its shape is not read, but must be there.
    """
    import torch

    gx, gw, _ = torch.ops.aten.convolution_backward(
        gy,
        x,
        w,
        None,
        problem.stride,
        padding,
        problem.dilation,
        False,
        (0, 0),
        problem.groups,
        (*wanted, False),
    )
    return gx, gw


def _pads(problem: Problem) -> tuple[Size, list[int]]:
    """What the library pads by on both sides, and (left, right, top, bottom) that is left to do."""
    (top, bottom), (left, right) = problem.pads
    down, across = min(top, bottom), min(left, right)
    return (down, across), [left - across, right - across, top - down, bottom - down]


def _grown(x: Tensor, pads: list[int]) -> Tensor:
    import torch

    return torch.nn.functional.pad(x, pads) if any(pads) else x


def _correlated(w: Tensor, problem: Problem) -> Tensor:
    return w if problem.op == "correlation" else w.flip(-2, -1)
