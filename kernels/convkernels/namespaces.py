"""The array libraries: which are here, their devices, and the way in and out of them.

A device is "cpu" or "cuda:0". Nothing here imports torch or CuPy until it is asked for by name.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
from typing import Any

from convkernels.cuda import driver
from convkernels.problem import one_of

NAMES = ("numpy", "torch", "cupy")
INSTALL = {"numpy": "pip install numpy", "torch": "pip install torch"}

Array = Any
Namespace = Any


def installed(module: str) -> bool:
    """Whether a top-level module can be found, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError as error:  # an import hook that hides it
        if error.name != module:
            raise
        return False


@functools.cache
def cuda_devices() -> int:
    """CUDA devices that the driver shows this process; 0 without a driver."""
    return driver.device_count()


@functools.cache
def missing(name: str) -> str | None:
    """Why this array library cannot be used here, with the command that helps, or None."""
    one_of("namespace", name, NAMES)
    if name == "cupy" and cuda_devices() == 0:
        return "no CUDA driver or device (cupy needs an NVIDIA GPU)"
    if not installed(name):
        major, _ = driver.version() or (13, 0)
        extra = f"convcross[cuda{12 if major == 12 else 13}]"
        return f"{name} is not installed: {INSTALL.get(name, f'pip install {extra!r}')}"
    return None


@functools.cache
def namespace(name: str) -> Namespace:
    """The array-API namespace of this library (array-api-compat)."""
    one_of("namespace", name, NAMES)
    return importlib.import_module(f"array_api_compat.{name}")


def refuses_dtype(name: str, dtype: str) -> str | None:
    """Why this library has no arrays of this dtype, or None."""
    if dtype == "bfloat16" and name != "torch":
        return f"{name} has no bfloat16"
    return None


@functools.cache
def devices(name: str) -> tuple[str, ...]:
    """Devices on which this library can run here."""
    if missing(name):
        return ()
    cards = tuple(f"cuda:{index}" for index in range(cuda_devices()))
    if name == "numpy":
        return ("cpu",)
    if name == "cupy":
        return cards
    torch = importlib.import_module("torch")
    return ("cpu", *cards) if torch.cuda.is_available() else ("cpu",)


def of(array: Array) -> tuple[str, str]:
    """The namespace and the device of an array. Raises TypeError on anything else."""
    name = type(array).__module__.partition(".")[0]
    if name == "numpy" and hasattr(array, "dtype"):
        return "numpy", "cpu"
    if name == "cupy" and hasattr(array, "device"):
        return name, f"cuda:{array.device.id}"
    if name == "torch" and hasattr(array, "device"):
        kind, index = array.device.type, array.device.index
        return name, kind if kind == "cpu" else f"{kind}:{index or 0}"
    raise TypeError(f"array is a {type(array).__name__}; allowed: {', '.join(NAMES)}")


def on(name: str, device: str) -> contextlib.AbstractContextManager[Any]:
    """A block in which new arrays and launches of this library go to this device."""
    index = int(device.partition(":")[2] or 0)
    if device == "cpu":
        return contextlib.nullcontext()
    if name == "cupy":
        import cupy

        return cupy.cuda.Device(index)  # type: ignore[no-any-return]
    import torch

    return torch.cuda.device(index)  # type: ignore[no-any-return]


def round_to(values: Array, dtype: str) -> Array:
    """NumPy values rounded to nearest in a storage type; bfloat16 is held in float32."""
    import numpy as np

    if dtype != "bfloat16":
        return np.asarray(values).astype(dtype)
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    half = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return ((bits + half) & np.uint32(0xFFFF0000)).view(np.float32)


def from_numpy(values: Array, name: str, device: str, dtype: str) -> Array:
    """A fresh, contiguous array of this library with these values, rounded to dtype."""
    import numpy as np

    values = np.ascontiguousarray(round_to(values, dtype))  # rounding has made it a copy
    if name == "numpy":
        return values
    if name == "cupy":
        import cupy

        with on(name, device):
            return cupy.array(values)
    import torch

    return torch.from_numpy(values).to(device=device, dtype=getattr(torch, dtype))


def to_numpy(array: Array) -> Array:
    """The values as NumPy; bfloat16 comes back as float32."""
    name = of(array)[0]
    if name == "numpy":
        return array
    if name == "cupy":
        return array.get()
    if str(array.dtype) == "torch.bfloat16":
        array = array.float()
    return array.detach().cpu().numpy()


def dtype_name(array: Array) -> str:
    """ "float32" and so on, whatever the library."""
    return str(array.dtype).removeprefix("torch.")


def synchronize(name: str, device: str) -> None:
    """Wait until the device has done all it was given."""
    if device == "cpu":
        return
    if name == "cupy":
        import cupy

        cupy.cuda.Device(int(device.partition(":")[2] or 0)).synchronize()
    else:
        import torch

        torch.cuda.synchronize(device)
