"""Layers in the place of PyTorch's: ``FFTConv2d`` and ``Conv2d(algorithm="auto")``.

Both are ``torch.nn.Conv2d`` in all but who computes: arguments, parameters, ``state_dict``,
``padding_mode``, an image without a batch, an empty batch, NaN, channels_last in and out, autocast.
``import convkernels`` does not import this module, which needs PyTorch.

    layer = FFTConv2d(128, 128, 9, padding=4)
    model.load_state_dict(trained)                  # of the model with torch.nn.Conv2d

Under ``torch.compile`` each is a graph break, and runs as it does without. ``torch.func``'s
transforms and forward-mode differentiation are refused by PyTorch; second derivatives are its sums.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.utils import _pair

from convkernels import namespaces
from convkernels.discovery import find
from convkernels.layers import passes
from convkernels.layers.autograd import convolution
from convkernels.layers.passes import ChosenPasses
from convkernels.problem import DTYPES, Problem

__all__ = ["Conv2d", "FFTConv2d", "fft_conv2d"]

Pair = int | tuple[int, int]
DEVICES = ("cpu", "cuda")


def fft_conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: str | Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """``torch.nn.functional.conv2d`` by FFT, with spectra that forward and backward share
    (Mathieu, Henaff & LeCun 2013).

    Any stride, dilation and groups are computed by the same transforms; a stride makes nothing
    cheaper, so that it pays for large kernels alone. Arithmetic is in float32 (float64 for
    float64), also of 16-bit types and of what autocast makes of them; the result has their type.
    Deterministic on one machine and number of threads. For gradients it keeps the spectra of input
    and weight; see ``convkernels.layers.training.room`` for how much that is.

    Parameters
    ----------
    input : (B, C, H, W) or (C, H, W)
    weight : (K, C/groups, kh, kw)
    bias : (K,) or None
    stride, padding, dilation : int or (vertical, horizontal); padding may be "valid" or, for
        stride 1, "same"

    Returns
    -------
    (B, K, OH, OW) or (K, OH, OW)

    Raises
    ------
    RuntimeError
        As PyTorch where shapes, dtypes or devices do not fit, with what is allowed.
    ValueError
        A stride, padding, dilation or groups outside the allowed set.
    MemoryError
        With how much a step needs, where that is not free.
    """
    return _apart(input, weight, bias, stride, padding, dilation, groups, None)


class FFTConv2d(torch.nn.Conv2d):  # type: ignore[misc]
    """``torch.nn.Conv2d`` by ``fft_conv2d``; arguments and ``state_dict`` are the same."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _forward(self, input, weight, bias, None)


class Conv2d(torch.nn.Conv2d):  # type: ignore[misc]
    """``torch.nn.Conv2d`` by the algorithm that takes the least time here.

    Parameters
    ----------
    algorithm : "auto", or the name of a registered algorithm (``convcross list``)
        "auto" is as in ``convkernels.convolve``: by the calibration of this machine, of those that
        fit in memory, for many calls of a shape, and each pass for itself. A gradient that no
        algorithm computes, or not the one named, is PyTorch's own.
    others : as ``torch.nn.Conv2d``

    Raises
    ------
    ValueError
        Where there is no such algorithm; it names those there are.
    UnsupportedProblem
        In a forward pass, where the algorithm named refuses the layer, with its reason.
    """

    def __init__(self, *arguments: Any, algorithm: str = "auto", **options: Any) -> None:
        super().__init__(*arguments, **options)
        if algorithm != "auto":
            find(algorithm)
        self.algorithm = algorithm

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _forward(self, input, weight, bias, self.algorithm)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, algorithm={self.algorithm!r}"


def _forward(
    layer: Any, input: Tensor, weight: Tensor, bias: Tensor | None, algorithm: str | None
) -> Tensor:
    """A layer's, of a padding mode of its own."""
    padding = layer.padding
    if layer.padding_mode != "zeros":
        around = layer._reversed_padding_repeated_twice
        input = torch.nn.functional.pad(input, around, mode=layer.padding_mode)
        padding = 0
    how = (layer.stride, padding, layer.dilation, layer.groups)
    return _apart(input, weight, bias, *how, algorithm)


def _computed(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Pair,
    padding: str | Pair,
    dilation: Pair,
    groups: int,
    algorithm: str | None,
) -> Tensor:
    """By ``fft_conv2d`` where no algorithm is given."""
    kind = input.device.type
    if kind in DEVICES and torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        input, weight = _cast(input, dtype), _cast(weight, dtype)
        bias = None if bias is None else _cast(bias, dtype)
    if input.numel() == 0 or weight.numel() == 0 or kind == "meta":  # shapes alone: PyTorch's
        how = (_plain(stride), padding, _plain(dilation), groups)
        return torch.nn.functional.conv2d(input, weight, bias, *how)
    _check(input, weight, bias)
    batched = input if input.ndim == 4 else input.unsqueeze(0)
    problem = _problem(
        tuple(batched.shape),
        tuple(weight.shape),
        _plain(stride),
        padding if isinstance(padding, str) else _plain(padding),
        _plain(dilation),
        groups,
        namespaces.type_name(input.dtype),
    )
    device = namespaces.of(input)[1]
    if algorithm is None:
        y = convolution(batched, weight, passes.fft(problem, device))
    else:
        y = convolution(batched, weight, ChosenPasses(problem, device, algorithm))
    if bias is not None:
        y = y + bias[:, None, None]
    return y if input.ndim == 4 else y.squeeze(0)


_apart = torch.compiler.disable(_computed)


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """What autocast hands to a convolution: all but float64 in its type."""
    return tensor if tensor.dtype == torch.float64 else tensor.to(dtype)


def _plain(value: Any) -> Any:
    """A pair, or what is none, for ``Problem`` to refuse."""
    return tuple(_pair(value))


def _check(input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """Raises RuntimeError where PyTorch's convolution would, and on complex numbers."""
    if weight.ndim != 4:
        raise RuntimeError(f"weight is {_shape(weight)}; allowed: (K, C/groups, kh, kw)")
    if input.ndim not in (3, 4):
        raise RuntimeError(f"input is {_shape(input)}; allowed: (B, C, H, W) or (C, H, W)")
    if input.device.type not in DEVICES:
        raise RuntimeError(f"input is on {input.device}; allowed: {', '.join(DEVICES)}")
    if namespaces.type_name(input.dtype) not in DTYPES:
        raise RuntimeError(f"input has dtype {input.dtype}; allowed: {', '.join(DTYPES)}")
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is None:
            continue
        if tensor.dtype != input.dtype:
            raise RuntimeError(f"{name} has dtype {tensor.dtype}; allowed: input's, {input.dtype}")
        if tensor.device != input.device:
            raise RuntimeError(f"{name} is on {tensor.device}; allowed: input's, {input.device}")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise RuntimeError(f"bias is {_shape(bias)}; allowed: {_shape(weight[:, 0, 0, 0])}")


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))


@functools.lru_cache(1024)
def _problem(
    x: tuple[int, ...],
    w: tuple[int, ...],
    stride: tuple[int, int],
    padding: str | tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    dtype: str,
) -> Problem:
    """A layer's. Raises RuntimeError where channels, groups and sizes do not fit."""
    if isinstance(groups, bool) or not isinstance(groups, int) or groups < 1:
        raise ValueError(f"groups is {groups!r}; allowed: whole numbers >= 1")
    if w[0] % groups:
        raise RuntimeError(f"weight is {w} with groups={groups}; allowed: K a multiple of groups")
    if x[1] != w[1] * groups:
        raise RuntimeError(
            f"input is {x} and weight is {w} with groups={groups}; "
            f"allowed: input (B, {w[1] * groups}, H, W) or weight (K, {x[1]}/groups, kh, kw)"
        )
    try:
        around = _padding(padding, w[2:], stride, dilation)
        return Problem(
            image=(x[2], x[3]),
            kernel=(w[2], w[3]),
            batch=x[0],
            in_channels=x[1],
            out_channels=w[0],
            groups=groups,
            op="correlation",
            padding=around,
            stride=stride,
            dilation=dilation,
            dtype=dtype,
        )
    except ValueError as error:
        if str(error).startswith("kernel is"):  # larger than the image: PyTorch's kind of error
            raise RuntimeError(str(error)) from None
        raise


def _padding(
    padding: str | tuple[int, int],
    kernel: tuple[int, ...],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> Any:
    """((top, bottom), (left, right)); of "same" the odd row more below and on the right."""
    if padding == "valid":
        return ((0, 0), (0, 0))
    if padding == "same":
        if stride != (1, 1):
            raise RuntimeError(f"padding is 'same' with stride {stride}; allowed: stride 1")
        totals = [step * (size - 1) for step, size in zip(dilation, kernel, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    if isinstance(padding, str):
        raise RuntimeError(f"padding is {padding!r}; allowed: 'valid', 'same', whole numbers >= 0")
    return tuple((both, both) for both in padding)
