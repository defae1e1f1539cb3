"""The array libraries: which are here, their devices, and the way in and out of them.

A device is "cpu" or "cuda:0". Nothing here imports torch or CuPy until it is asked for by name.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from typing import Any

from convkernels import optional
from convkernels.cuda import driver
from convkernels.problem import one_of

NAMES = ("numpy", "torch", "cupy")
INSTALL = {"numpy": "pip install numpy", "torch": "pip install torch"}

Array = Any
Namespace = Any


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
    major, _ = driver.version() or (13, 0)
    extra = f"convcross[cuda{12 if major == 12 else 13}]"
    return optional.missing(name, INSTALL.get(name, f"pip install {extra!r}"))


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
    """The namespace and the device of an array.

    A subclass is taken where it means the same, and refused where its values mean something else:
    a mask that a sum would ignore, a product of its own.

    Raises
    ------
    TypeError
        On anything else, with what to give instead.
    """
    numpy, torch, cupy = map(sys.modules.get, NAMES)
    if numpy is not None and isinstance(array, numpy.ndarray | numpy.generic):
        if reason := _numpy_means_more(array, numpy):
            raise TypeError(f"array is a {type(array).__name__}{reason}")
        return "numpy", "cpu"
    if torch is not None and isinstance(array, torch.Tensor):
        if reason := _torch_means_more(array, torch):
            raise TypeError(f"array is a {type(array).__name__}{reason}")
        kind, index = array.device.type, array.device.index
        return "torch", kind if kind == "cpu" else f"{kind}:{index or 0}"
    if cupy is not None and isinstance(array, cupy.ndarray):
        return "cupy", f"cuda:{array.device.id}"
    raise TypeError(f"array is a {type(array).__name__}; allowed: {', '.join(NAMES)}")


def _numpy_means_more(array: Array, numpy: Any) -> str | None:
    """Why an instance of ndarray is not just its numbers, and what to give instead; or None."""
    if isinstance(array, numpy.ma.MaskedArray):
        return (
            ", and a convolution would ignore its mask; allowed: an array without one, as its "
            ".filled(0)"
        )
    if isinstance(array, numpy.matrix):
        return ", whose products are its own; allowed: numpy.asarray of it"
    if type(array) in (numpy.ndarray, numpy.memmap) or isinstance(array, numpy.generic):
        return None
    return "; allowed: numpy.asarray of it, if its numbers are all that is meant"


def _torch_means_more(array: Array, torch: Any) -> str | None:
    """The same of an instance of Tensor."""
    masked = getattr(sys.modules.get("torch.masked"), "MaskedTensor", None)
    if masked is not None and isinstance(array, masked):
        return (
            ", and a convolution would ignore its mask; allowed: a tensor without one, as its "
            ".to_tensor(0)"
        )
    if array.is_nested:
        return " that is nested; allowed: one of its tensors, or torch.nested.to_padded_tensor"
    if array.layout != torch.strided:
        return f" of layout {array.layout}; allowed: torch.strided, as its .to_dense()"
    if array.device.type not in ("cpu", "cuda"):
        return f" on device {array.device}; allowed: cpu, cuda"
    return None


def native(array: Array) -> Array:
    """The array whose memory is its numbers: NumPy's in this machine's byte order, torch's with no
    change of sign left to be done when it is read."""
    if hasattr(array, "resolve_neg"):
        return array.resolve_conj().resolve_neg()
    order = getattr(array.dtype, "isnative", True)
    return array if order else array.astype(array.dtype.newbyteorder("="))


def wants_gradient(*arrays: Array) -> bool:
    """Whether torch records what is done with one of them."""
    if not any(getattr(array, "requires_grad", False) for array in arrays):
        return False
    import torch

    return bool(torch.is_grad_enabled())


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
    return type_name(array.dtype)


def type_name(dtype: Any) -> str:
    """The same of a library's dtype."""
    return str(dtype).removeprefix("torch.")


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


def free_bytes(name: str, device: str) -> float:
    """That new arrays of this library may take on this device."""
    if device == "cpu":
        import psutil

        return float(psutil.virtual_memory().available)
    index = int(device.partition(":")[2] or 0)
    if name == "cupy":
        import cupy

        with cupy.cuda.Device(index):
            return float(cupy.cuda.runtime.memGetInfo()[0])
    import torch

    return float(torch.cuda.mem_get_info(index)[0])
