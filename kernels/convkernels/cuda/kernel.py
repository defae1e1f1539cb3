"""A CUDA kernel as data, and its way onto a GPU through CuPy.

One source has three uses: here it is compiled for the device by NVRTC, in ``nvrtc`` for an
architecture that need not be present, in ``emulator`` for the CPU.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

STANDARD = "--std=c++17"
UNASKED_SHARED_BYTES = 48 * 1024  # what a block may have before its kernel opts in to more
MAX_SHARED_BYTES = 227 * 1024  # what a block of sm_90 can have

# kernel(grid, block, arguments, shared_mem=bytes), as cupy.RawKernel
Launcher = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Kernel:
    """Source of one ``extern "C" __global__`` function, and what its blocks need.

    Parameters
    ----------
    source : str
        Complete, with no #include, in ASCII: CuPy writes it out in the locale's encoding.
    name : str
    shared_bytes : int
        Dynamic shared memory of a block.
    """

    source: str
    name: str
    shared_bytes: int


def _index(device: str) -> int:
    return int(device.partition(":")[2])


@functools.cache
def on_gpu(kernel: Kernel, device: str) -> Launcher:
    """The kernel compiled for and loaded on a device ("cuda:0"), once a process.

    CuPy keeps the binary on disk for the next process. It compiles with ``-ftz=true``: subnormal
    numbers are taken as zero.
    """
    import cupy

    with cupy.cuda.Device(_index(device)):
        module = cupy.RawModule(code=kernel.source, options=(STANDARD,))
        function = module.get_function(kernel.name)  # compiles
        if kernel.shared_bytes > UNASKED_SHARED_BYTES:
            function.max_dynamic_shared_size_bytes = kernel.shared_bytes
    return function  # type: ignore[no-any-return]


def processors(device: str) -> int:
    """Streaming multiprocessors of a device."""
    import cupy

    return int(cupy.cuda.Device(_index(device)).attributes["MultiProcessorCount"])
