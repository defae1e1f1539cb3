"""Arrays of any library, wherever they lie: moved to one another, walked in pieces, measured."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import array_api_compat

from convkernels import namespaces

Array = Any  # of NumPy, torch or CuPy
Place = tuple[str, str]  # (namespace, device): ("numpy", "cpu"), ("torch", "cuda:0")

# Elements a piece: on a CPU its float64 temporaries stay in the caches (walking 4096² in such
# pieces takes a third of the time of whole-array operations), on a card they are 128 MiB each and
# a launch is nothing beside them.
CACHED, LAUNCHED = 1 << 17, 1 << 24


def moved(array: Array, place: Place) -> Array:
    """The same values in another library or on another device.

    The array itself if it is there already. Between torch and CuPy on one card the memory is
    shared (DLPack), so the result is to be read, not written.

    Parameters
    ----------
    array : of NumPy, torch (bfloat16 becomes float32 outside torch) or CuPy
    place : (namespace, device)

    Raises
    ------
    TypeError
        The array is of no library known.
    """
    source, (name, device) = namespaces.of(array), place
    if source[0] == "torch":
        array = array.detach()
    if source == place:
        return array
    if source[0] == name:
        return _carried(array, name, device)
    if "cpu" in (source[1], device):
        array = namespaces.to_numpy(array)
        dtype = namespaces.dtype_name(array)
        return array if name == "numpy" else namespaces.from_numpy(array, name, device, dtype)
    if namespaces.dtype_name(array) == "bfloat16":  # which CuPy does not know
        array = array.float()
    if source[1] != device:
        array = _carried(array, source[0], device)
    with namespaces.on(*place):
        return importlib.import_module(name).from_dlpack(array)


def copied(array: Array, place: Place, dtype: str) -> Array:
    """A fresh, contiguous array in another place, rounded to a dtype.

    Parameters
    ----------
    array : of NumPy, torch or CuPy
    place : (namespace, device)
    dtype : "float32", …
    """
    if namespaces.of(array)[0] == "numpy":
        return namespaces.from_numpy(array, *place, dtype)
    array = moved(array, place)
    if place[0] == "numpy":
        return namespaces.from_numpy(array, *place, dtype)
    with namespaces.on(*place):
        if place[0] == "torch":
            import torch

            return torch.empty(array.shape, dtype=getattr(torch, dtype), device=place[1]).copy_(
                array
            )
        import cupy

        return cupy.array(array, dtype=dtype, order="C")


def _carried(array: Array, name: str, device: str) -> Array:
    """An array of torch or CuPy on another device."""
    if name == "torch":
        return array.to(device)
    import cupy

    return array_api_compat.to_device(array, cupy.cuda.Device(int(device.partition(":")[2] or 0)))


def each(function: Callable[..., Any], values: Any, *others: Any) -> Any:
    """The function of an array or, where there are several in a tuple as a step has them, of each
    with its like in the others, as a tuple."""
    if isinstance(values, tuple):
        return tuple(map(function, values, *others))
    return function(values, *others)


def put(array: Array, values: Array) -> None:
    """Overwrite an array with the values of another."""
    array[...] = values


def pieces(*arrays: Array) -> Iterator[list[Array]]:
    """Corresponding stretches of flattened arrays, of one shape and in one place."""
    name, device = namespaces.of(arrays[0])
    xp = namespaces.namespace(name)
    flat = [xp.reshape(array, (-1,)) for array in arrays]
    size, step = flat[0].shape[0], CACHED if device == "cpu" else LAUNCHED
    for begin in range(0, size, step):
        yield [array[begin : min(begin + step, size)] for array in flat]


def sum_of_squares(part: Array) -> float:
    """Of a piece. Not a BLAS product: its threads wait for one another, milliseconds a piece where
    another process has the cores."""
    xp = namespaces.namespace(namespaces.of(part)[0])
    return float(xp.sum(part * part))


def norm(array: Array) -> float:
    """‖array‖₂ over all elements."""
    return math.sqrt(math.fsum(sum_of_squares(part) for (part,) in pieces(array)))


def largest(array: Array) -> float:
    """The largest |element|."""
    xp = namespaces.namespace(namespaces.of(array)[0])
    return max(float(xp.max(xp.abs(part))) for (part,) in pieces(array))
