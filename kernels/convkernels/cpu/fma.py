"""The peak of the cores' multiply-adds: a loop that touches no memory."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convkernels.cpu import instructions, pool

if TYPE_CHECKING:
    from convkernels.cpu.vectors import Vectors

NAME = "fma_loop"
CHAINS = 12  # independent sums: more than the multiply-adds in flight, fewer than the registers
UNROLLED = 8


def _loop(v: Vectors, arguments: Sequence[Any]) -> None:
    """chains of x ← x·a + b, ``count`` times; what remains is written to ``sink``."""
    from convkernels.cpu.vectors import Variable

    sink, count = arguments
    chains = [Variable(v) for _ in range(CHAINS)]
    a, b = v.splat(sink, 0), v.splat(sink, 1)
    for chain in chains:
        chain.set(a)
    with v.loop(count):
        for _ in range(UNROLLED):
            for chain in chains:
                chain.set(v.fma(chain.get(), a, b))
    for k, chain in enumerate(chains):
        v.store(chain.get(), sink, k * v.lanes)


def text(dtype: str, kind: instructions.Instructions) -> str:
    """LLVM's text of the loop."""
    from convkernels.cpu import vectors

    return vectors.module({NAME: (2, _loop)}, dtype, kind.lanes(dtype), kind)


def peak_flops(dtype: str, threads: int, seconds: float) -> float:
    """FLOP/s of so many threads together, the best of some runs.

    Parameters
    ----------
    dtype : "float32" or "float64"
    seconds : that measuring may take
    """
    import numpy as np

    from convkernels.cpu import objects

    here = instructions.here()
    lanes = here.lanes(dtype)
    key = (NAME, objects.source(__file__), lanes, dtype)
    compiled = objects.load([NAME], key, lambda: text(dtype, here), here)
    function = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(compiled.addresses[NAME])
    sinks = [np.full(CHAINS * lanes, 0.5, dtype) for _ in range(threads)]

    def run(count: int) -> float:
        begin = time.perf_counter()
        pool.share(lambda k: function(sinks[k].ctypes.data, count), threads, threads)
        elapsed = time.perf_counter() - begin
        for sink in sinks:
            sink[:] = 0.5  # stays where it is: x·½ + ½ → 1
        return 2.0 * CHAINS * UNROLLED * lanes * threads * count / elapsed

    count = 1000
    end = time.perf_counter() + seconds
    while 2.0 * CHAINS * UNROLLED * lanes * count / run(count) < 0.002:  # of one thread
        count *= 2
    best = run(count)
    while time.perf_counter() < end:
        best = max(best, run(count))
    return best
