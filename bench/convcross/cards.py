"""The NVIDIA cards that the driver shows this process, in CUDA's own order.

They are read from libcuda itself: ``cuda:0`` of torch and CuPy is its device 0, whatever
``CUDA_VISIBLE_DEVICES`` says, which the order of nvidia-smi and NVML does not promise. NVML, found
by PCI address, adds what libcuda does not know. No library but these two is imported.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Iterator
from typing import Any

# CUdevice_attribute of cuda.h
MULTIPROCESSORS, L2_BYTES, MAJOR, MINOR = 16, 38, 75, 76


@functools.cache
def cards() -> tuple[dict[str, Any], ...]:
    """One dict a card: device, name, memory_bytes, l2_bytes, multiprocessors,
    compute_capability ("9.0") and power_limit_w (None where NVML does not tell).

    Empty without a driver.
    """
    cuda = _driver()
    count = ctypes.c_int(0)
    if cuda is None or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return ()
    return tuple(_card(cuda, index) for index in range(count.value))


@functools.cache
def cuda_version() -> str | None:
    """The newest CUDA that the driver takes, "13.0", or None without a driver."""
    cuda = _driver()
    version = ctypes.c_int(0)
    if cuda is None or cuda.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return None
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


@functools.cache
def driver_version() -> str | None:
    """The driver's own version, "580.65.06", or None where NVML does not tell."""
    with _nvml() as nvml:
        return str(nvml.nvmlSystemGetDriverVersion()) if nvml else None


@functools.cache
def _driver() -> Any | None:
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    return cuda if cuda.cuInit(0) == 0 else None


def _card(cuda: Any, index: int) -> dict[str, Any]:
    device = ctypes.c_int()
    text = ctypes.create_string_buffer(256)
    memory = ctypes.c_size_t()

    def ask(function: str, *arguments: Any) -> None:
        status = getattr(cuda, function)(*arguments)
        if status != 0:
            raise RuntimeError(f"cuda:{index}: {function} failed with CUresult {status}")

    def attribute(number: int) -> int:
        value = ctypes.c_int()
        ask("cuDeviceGetAttribute", ctypes.byref(value), number, device)
        return value.value

    ask("cuDeviceGet", ctypes.byref(device), index)
    ask("cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    ask("cuDeviceGetName", text, len(text), device)
    name = text.value.decode()
    ask("cuDeviceGetPCIBusId", text, len(text), device)
    return {
        "device": f"cuda:{index}",
        "name": name,
        "memory_bytes": memory.value,
        "l2_bytes": attribute(L2_BYTES),
        "multiprocessors": attribute(MULTIPROCESSORS),
        "compute_capability": f"{attribute(MAJOR)}.{attribute(MINOR)}",
        "power_limit_w": _power_limit(text.value),
    }


def _power_limit(pci: bytes) -> float | None:
    with _nvml() as nvml:
        if nvml is None:
            return None
        try:
            handle = nvml.nvmlDeviceGetHandleByPciBusId(pci)
            return float(nvml.nvmlDeviceGetEnforcedPowerLimit(handle)) / 1000
        except nvml.NVMLError:  # not every card, nor every slice of one, has a limit to tell
            return None


@contextlib.contextmanager
def _nvml() -> Iterator[Any | None]:
    """pynvml, initialised; None without it or without its library."""
    try:
        import pynvml
    except ModuleNotFoundError as error:
        if error.name != "pynvml":
            raise
        yield None
        return
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()
