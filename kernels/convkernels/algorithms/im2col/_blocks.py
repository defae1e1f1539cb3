"""An image block by block, so that what a block needs beside its operands stays in the cache."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

from convkernels.problem import Problem, Size
from convkernels.registry import Implementation
from convkernels.toolbox import layout
from convkernels.toolbox.stages import stage

Array = Any


class BlockSize(NamedTuple):
    """Outputs of a block, at most, of each channel."""

    images: int
    rows: int
    columns: int


def even(size: int, most: int) -> int:
    """The largest part where ``size`` is parted evenly, into as few as ``most`` allows."""
    return math.ceil(size / math.ceil(size / most))


def _spans(size: int, part: int) -> list[Size]:
    return [(first, min(size, first + part)) for first in range(0, size, part)]


class Blocked(Implementation):
    """An algorithm that computes blocks of outputs, one after the other, all channels of each.

    A subclass says in ``block_size`` how large they are, and computes one in ``block``.
    """

    @staticmethod
    def block_size(problem: Problem) -> BlockSize:
        raise NotImplementedError

    def block(self, x: Array, rows: Size, columns: Size) -> Array:
        """(B, G, K/G, rows, columns) of outputs from padded images (B, G, C/G, H, W)."""
        raise NotImplementedError

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, self.xp = problem, xp
        spans = map(_spans, (problem.batch, *problem.output), self.block_size(problem))
        self.blocks = list(itertools.product(*spans))

    def run(self, a: Array) -> Array:
        problem, xp = self.problem, self.xp
        with stage("pad"):
            x = layout.padded(layout.images(a, problem, xp), problem, xp)
        shape = (problem.batch, problem.groups, problem.out_channels // problem.groups)
        y = xp.empty((*shape, *problem.output), dtype=x.dtype, device=x.device)
        for images, rows, columns in self.blocks:
            y[slice(*images), :, :, slice(*rows), slice(*columns)] = self.block(
                x[slice(*images), ...], rows, columns
            )
        return layout.result(y, problem, xp)
