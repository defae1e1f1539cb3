"""fft-conv-pytorch: the whole-image FFT as torch's users install it.

Both transforms are made in each call, at the padded image's own size (one more where its width is
odd), good for the library or not: a prime height costs. It computes and returns float32 whatever
it is given, so it takes float32 only; the product is made of four real matrix products, whatever
the number of channels. By Frank Odom, github.com/fkodom/fft-conv-pytorch.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from convkernels import optional
from convkernels.algorithms.libraries._torch_layer import TorchLayer
from convkernels.problem import Problem
from convkernels.registry import Cost, algorithm, forward_only
from convkernels.toolbox import bounds


def transform_size(problem: Problem) -> tuple[int, int]:
    """The padded image, its width made even."""
    height, width = (
        size + sum(pads) for size, pads in zip(problem.image, problem.pads, strict=True)
    )
    return height, width + width % 2


@algorithm(
    name="fft-conv-pytorch",
    family="fft",
    namespaces=("torch",),
    arithmetic="ieee, float32",
    source="fft_conv_pytorch.fft_conv",
)
class FFTConvPyTorch(TorchLayer):
    @staticmethod
    def missing(namespace: str) -> str | None:
        return optional.missing("fft_conv_pytorch", "pip install 'convcross[fft-conv-pytorch]'")

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        if problem.dtype != "float32":
            return f"fft_conv computes in float32 and returns it, not {problem.dtype}"
        return forward_only(problem)

    @staticmethod
    def cost(problem: Problem) -> Cost:
        points = math.prod(transform_size(problem))
        channels = problem.in_channels, problem.out_channels, problem.in_channels // problem.groups
        planes = problem.batch * (channels[0] + channels[1]) + channels[1] * channels[2]
        products = problem.batch * channels[1] * channels[2]
        flops = planes * 2.5 * points * math.log2(max(2, points)) + 4.0 * products * points
        # In float32: padded, transformed in two passes; four real products and their sums.
        return Cost(flops, 4.0 * points * (10 * planes + 12 * products), 16.0 * points * planes)

    @staticmethod
    def error_bound(problem: Problem) -> float:
        return bounds.fourier(problem, math.prod(transform_size(problem)))

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        from fft_conv_pytorch import fft_conv

        super().plan(problem, xp, device)
        self.fft_conv = fft_conv
        # Of 1.2.0, which crops by a list of slices: a deprecation, told by torch once a process.
        warnings.filterwarnings("ignore", message="Using a non-tuple sequence")

    def layer(self, x: Any, padding: tuple[int, int]) -> Any:
        problem = self.problem
        return self.fft_conv(
            x,
            self.w,
            padding=padding,
            stride=problem.stride,
            dilation=problem.dilation,
            groups=problem.groups,
        )

    def provenance(self) -> dict[str, Any]:
        return {"padded": list(transform_size(self.problem))}
