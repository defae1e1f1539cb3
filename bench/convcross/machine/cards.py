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

from convkernels.cuda import driver

# CUdevice_attribute of cuda.h
MULTIPROCESSORS, L2_BYTES, MAJOR, MINOR, SHARED_BYTES = 16, 38, 75, 76, 97


@functools.cache
def cards() -> tuple[dict[str, Any], ...]:
    """One dict a card: device, name, memory_bytes, l2_bytes, shared_bytes (of a block at most),
    multiprocessors, compute_capability ("9.0") and power_limit_w (None where NVML does not tell).

    Empty without a driver.
    """
    cuda = driver.load()
    count = ctypes.c_int(0)
    if cuda is None or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return ()
    return tuple(_card(cuda, index) for index in range(count.value))


def cuda_version() -> str | None:
    """The newest CUDA that the driver takes, "13.0", or None without a driver."""
    found = driver.version()
    return None if found is None else "{}.{}".format(*found)


@functools.cache
def driver_version() -> str | None:
    """The driver's own version, "580.65.06", or None where NVML does not tell."""
    with contextlib.suppress(NoNVML), nvml() as asked, contextlib.suppress(asked.NVMLError):
        return str(asked.nvmlSystemGetDriverVersion())
    return None


def pci_address(device: str) -> bytes | None:
    """Where NVML finds the card of this device, "0000:fe:1f.0"; None where there is none."""
    cuda = driver.load()
    index = ctypes.c_int(int(device.partition(":")[2]))
    handle = ctypes.c_int()
    text = ctypes.create_string_buffer(256)
    if cuda is None or cuda.cuDeviceGet(ctypes.byref(handle), index) != 0:
        return None
    return text.value if cuda.cuDeviceGetPCIBusId(text, len(text), handle) == 0 else None


def holds_context(device: str) -> bool:
    """Whether this process has begun to use the card: its primary context is active."""
    cuda = driver.load()
    handle, active, flags = ctypes.c_int(), ctypes.c_int(0), ctypes.c_uint()
    index = ctypes.c_int(int(device.partition(":")[2]))
    if cuda is None or cuda.cuDeviceGet(ctypes.byref(handle), index) != 0:
        return False
    state = cuda.cuDevicePrimaryCtxGetState(handle, ctypes.byref(flags), ctypes.byref(active))
    return state == 0 and active.value != 0


class NoNVML(RuntimeError):
    """NVML cannot be asked; the message says why."""


@contextlib.contextmanager
def nvml() -> Iterator[Any]:
    """pynvml, initialised. Raises NoNVML without it, its library or a driver."""
    try:
        import pynvml
    except ModuleNotFoundError as error:
        if error.name != "pynvml":
            raise
        raise NoNVML("nvidia-ml-py is not installed") from None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NoNVML(str(error)) from error
    try:
        yield pynvml
    finally:
        with contextlib.suppress(pynvml.NVMLError):  # a card that was lost, say
            pynvml.nvmlShutdown()


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
    ask("cuDeviceGetPCIBusId", text, len(text), device)
    return {
        "device": f"cuda:{index}",
        "name": driver.device_name(index),
        "memory_bytes": memory.value,
        "l2_bytes": attribute(L2_BYTES),
        "shared_bytes": attribute(SHARED_BYTES),
        "multiprocessors": attribute(MULTIPROCESSORS),
        "compute_capability": f"{attribute(MAJOR)}.{attribute(MINOR)}",
        "power_limit_w": _power_limit(text.value),
    }


def _power_limit(pci: bytes) -> float | None:
    # not every card, nor every slice of one, has a limit to tell
    with contextlib.suppress(NoNVML), nvml() as asked, contextlib.suppress(asked.NVMLError):
        handle = asked.nvmlDeviceGetHandleByPciBusId(pci)
        return float(asked.nvmlDeviceGetEnforcedPowerLimit(handle)) / 1000
    return None
