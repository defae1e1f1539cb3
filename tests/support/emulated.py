"""CUDA contenders on the CPU: what their launches need where the emulator stands in for a GPU."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from convkernels.cuda import emulator

needs_compiler = pytest.mark.skipif(
    emulator.compiler() is None, reason="no C++ compiler for the emulator: $CXX, g++"
)


class Guarded:
    """NumPy as far as CUDA contenders use it; arrays begin as NaN, with NaN before and behind
    them."""

    __name__ = "numpy"
    float32 = np.float32
    ascontiguousarray = staticmethod(np.ascontiguousarray)
    margin = 512

    def __init__(self) -> None:
        self.memories: list[np.ndarray] = []

    def empty(self, shape: tuple[int, ...], dtype: Any, device: Any = None) -> np.ndarray:
        size = math.prod(shape)
        # All bits set is NaN in every type, and so in float16 and bfloat16 given as bits.
        count = (size + 2 * self.margin) * np.dtype(dtype).itemsize
        self.memories.append(np.full(count, 0xFF, np.uint8).view(dtype))
        return self.memories[-1][self.margin : self.margin + size].reshape(shape)

    def check(self) -> None:
        """Nothing has been written beside the arrays."""
        for memory in self.memories:
            for edge in (memory[: self.margin], memory[-self.margin :]):
                assert (edge.view(np.uint8) == 0xFF).all()


def without(source: str, statement: str, which: int, count: int) -> str:
    """The source without one of the ``count`` places at which the statement stands in it."""
    parts = source.split(statement)
    assert len(parts) == count + 1, f"{statement} stands {len(parts) - 1} times, not {count}"
    return statement.join(parts[: which + 1]) + statement.join(parts[which + 1 :])
