"""NVIDIA's driver library, libcuda: the one place that loads it. CUDA Driver API, cuda.h."""

from __future__ import annotations

import ctypes
import functools
from typing import Any


@functools.cache
def library() -> Any | None:
    """libcuda, or None on a machine without a driver."""
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None


@functools.cache
def load() -> Any | None:
    """libcuda, initialised; None without a driver, or with one that does not start."""
    found = library()
    return found if found is not None and found.cuInit(0) == 0 else None


def device_count() -> int:
    """CUDA devices that the driver shows this process; 0 without one."""
    found, count = load(), ctypes.c_int(0)
    if found is None or found.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def version() -> tuple[int, int] | None:
    """(major, minor) of the newest CUDA that the driver takes, or None without a driver."""
    found, number = library(), ctypes.c_int(0)
    if found is None or found.cuDriverGetVersion(ctypes.byref(number)) != 0:
        return None
    return number.value // 1000, number.value % 1000 // 10


def device_name(index: int) -> str:
    """Of the card with this number. Raises RuntimeError where there is none."""
    found, device, text = load(), ctypes.c_int(), ctypes.create_string_buffer(256)
    if found is None:
        raise RuntimeError("no CUDA driver")
    status = found.cuDeviceGet(ctypes.byref(device), index)
    if status := status or found.cuDeviceGetName(text, len(text), device):
        raise RuntimeError(f"cuda:{index}: status {status}")
    return text.value.decode()


def stream_flags(stream: int) -> int:
    """The flags that a stream, by its address, was made with. Raises RuntimeError without a driver,
    or where it does not know the stream."""
    found, flags = load(), ctypes.c_uint()
    if found is None:
        raise RuntimeError("no CUDA driver")
    if status := found.cuStreamGetFlags(ctypes.c_void_p(stream), ctypes.byref(flags)):
        raise RuntimeError(f"cuStreamGetFlags: status {status}")
    return flags.value
