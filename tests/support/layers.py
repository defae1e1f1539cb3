"""Layers of all kinds, their operands, and their passes by PyTorch's float64 autograd."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from convkernels import Problem
from convkernels.layers.training import TorchTraining

Operands = dict[str, Any]


def drawn(count: int, seed: int, **fixed: Any) -> Iterator[Problem]:
    """Layers of all kinds, small."""
    draw = random.Random(seed)

    def pair(least: int, most: int) -> tuple[int, int]:
        return draw.randint(least, most), draw.randint(least, most)

    while count:
        groups = draw.choice([1, 1, 2, 3])
        fields: dict[str, Any] = {
            "image": pair(1, 14),
            "kernel": pair(1, 5),
            "batch": draw.randint(1, 3),
            "in_channels": groups * draw.randint(1, 3),
            "out_channels": groups * draw.randint(1, 3),
            "groups": groups,
            "op": draw.choice(["correlation", "convolution"]),
            "padding": (pair(0, 4), pair(0, 4)),
            "stride": pair(1, 3),
            "dilation": pair(1, 3),
            "dtype": "float64",
        }
        try:
            yield Problem(**(fields | fixed))
        except ValueError:  # a kernel larger than the image
            continue
        count -= 1


def operands(problem: Problem, seed: int = 0) -> Operands:
    """x, w and gy of a layer, (B, C, H, W), (K, C/G, kh, kw), (B, K, OH, OW)."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "x": (problem.batch, problem.in_channels, *problem.image),
        "w": (problem.out_channels, problem.in_channels // problem.groups, *problem.kernel),
        "gy": (problem.batch, problem.out_channels, *problem.output),
    }
    dtype = getattr(torch, problem.dtype)
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        for name, shape in shapes.items()
    }


def expected(problem: Problem, given: Operands) -> tuple[Any, Any, Any]:
    y, gx, gw = TorchTraining(problem).run("step", given["x"], given["w"], given["gy"])
    return y.reshape(given["gy"].shape), gx.reshape(given["x"].shape), gw.reshape(given["w"].shape)


def assert_close(found: Any, true: Any, given: Operands, bound: float) -> None:
    """Relative to the result, or to the operands where it cancels."""
    for one, other in zip(found, true, strict=True):
        assert one.shape == other.shape
        scale = max(float(other.norm()), 0.1 * float(given["w"].norm()))
        assert float((one.to(other.dtype) - other).norm()) <= bound * scale
