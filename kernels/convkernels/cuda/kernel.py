"""A CUDA kernel as data, and its way onto a GPU through CuPy.

One source has three uses: here it is compiled for the device by NVRTC, in ``nvrtc`` for an
architecture that need not be present, in ``emulator`` for the CPU.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from typing import Any

from convkernels import cache, compiling

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


def on_gpu(kernel: Kernel, device: str) -> Launcher:
    """The kernel compiled for and loaded on a device ("cuda:0"), once a process.

    CuPy keeps the binary on disk for the next process. It compiles with ``-ftz=true``: subnormal
    numbers are taken as zero.

    Raises NotCompiled where it must be compiled, inside ``compiling.kept_alone``; of CuPy's own
    folder nothing is known but that this function has once had CuPy fill it.
    """
    if (kernel, device) not in _loaded:
        mark = cache.folder() / "kernels" / f"{_digest(kernel, device)}.cupy"
        if not mark.exists():
            compiling.begin(kernel.name)
        _loaded[kernel, device] = _load(kernel, device)
        cache.write(mark, b"")
    return _loaded[kernel, device]


_loaded: dict[tuple[Kernel, str], Launcher] = {}


def _load(kernel: Kernel, device: str) -> Launcher:
    import cupy

    with cupy.cuda.Device(_index(device)):
        module = cupy.RawModule(code=kernel.source, options=(STANDARD,))
        function = module.get_function(kernel.name)  # compiles
        if kernel.shared_bytes > UNASKED_SHARED_BYTES:
            function.max_dynamic_shared_size_bytes = kernel.shared_bytes
    return function  # type: ignore[no-any-return]


def _digest(kernel: Kernel, device: str) -> str:
    """Of what CuPy's binary depends on, and where it keeps it."""
    import cupy

    capability = cupy.cuda.Device(_index(device)).compute_capability
    state = (cupy.__version__, capability, os.environ.get("CUPY_CACHE_DIR"), STANDARD)
    return hashlib.sha256(repr((*state, kernel.source)).encode()).hexdigest()[:32]


@dataclasses.dataclass(frozen=True)
class Handle:
    """A stream of torch in CUDA's stream protocol, which not every torch itself speaks."""

    pointer: int

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.pointer


def launcher(kernel: Kernel, device: str, namespace: str) -> Launcher:
    """The kernel as ``on_gpu`` gives it, for arrays of this namespace on its current stream.

    CuPy launches for torch too: both work in the device's primary context.
    """
    launch = on_gpu(kernel, device)
    if namespace != "torch":
        return launch
    import cupy
    import torch

    def on_torchs_stream(grid: Any, block: Any, arguments: Any, *, shared_mem: int) -> None:
        values = tuple(
            by_value(argument.data_ptr()) if isinstance(argument, torch.Tensor) else argument
            for argument in arguments
        )
        stream = Handle(torch.cuda.current_stream(device).cuda_stream)
        with cupy.cuda.Device(_index(device)), cupy.cuda.Stream.from_external(stream):
            launch(grid, block, values, shared_mem=shared_mem)

    return on_torchs_stream


def by_value(address: int) -> Any:
    """A pointer to be passed as it is: an array of one element goes to a kernel by value."""
    import numpy as np

    return np.array([(address,)], dtype=[("address", np.uint64)])


def contiguous(array: Any) -> Any:
    """The array, or a copy, in the order that kernels count in; CuPy's or torch's."""
    if hasattr(array, "contiguous"):
        return array.contiguous()
    return array if array.flags.c_contiguous else array.copy()


def processors(device: str) -> int:
    """Streaming multiprocessors of a device."""
    import cupy

    return int(cupy.cuda.Device(_index(device)).attributes["MultiProcessorCount"])
