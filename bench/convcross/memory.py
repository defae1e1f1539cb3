"""Memory that is free on a device, and giving back what the libraries' pools keep of it."""

from __future__ import annotations

import gc
import sys

import psutil


def free(namespace: str, device: str) -> float:
    """Bytes that new arrays of this library may take on this device."""
    if device == "cpu":
        return float(psutil.virtual_memory().available)
    index = int(device.partition(":")[2])
    if namespace == "cupy":
        import cupy

        with cupy.cuda.Device(index):
            return float(cupy.cuda.runtime.memGetInfo()[0])
    import torch

    return float(torch.cuda.mem_get_info(index)[0])


def release() -> None:
    """Give the blocks that the pools of CuPy and torch keep back to the devices, so that neither
    library starves the other. Only of libraries that are loaded."""
    cupy, torch = sys.modules.get("cupy"), sys.modules.get("torch")
    if cupy is not None and cupy.cuda.is_available():
        gc.collect()  # plans and arrays in cycles
        cupy.get_default_memory_pool().free_all_blocks()
        cupy.get_default_pinned_memory_pool().free_all_blocks()
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()
