"""Drivers: the loops over tiles that call kernels, in Python that Numba compiles.

A driver knows whole numbers only, addresses among them, so that one machine code serves every type
and size. Numba is loaded where one must be compiled and nowhere else: loading it takes longer than
all the rest of a plan, and what it has made is kept with the kernels (``objects``).
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Sequence

from convkernels.cpu import objects
from convkernels.cpu.instructions import here

Whole = int | tuple[int, ...]  # an argument


class Driver:
    """A compiled driver, called with all its numbers one after another (``flat``).

    Attributes
    ----------
    seconds : that compiling took, in this process or in the one that kept it
    """

    def __init__(self, module: str, name: str, shape: Sequence[int]) -> None:
        origins = [str(_origin(one)) for one in (module, "convkernels.cpu.calls", __name__)]
        key = (name, objects.source(*origins), tuple(shape), importlib.metadata.version("numba"))
        compiled = objects.load([name], key, lambda: _text(module, name, shape), here())
        numbers = [ctypes.c_int64] * sum(max(1, count) for count in shape)
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, *numbers)
        self._call = kind(compiled.addresses[name])  # lets go of the interpreter's lock
        self.seconds = compiled.seconds

    def __call__(self, *numbers: int) -> None:
        self._call(_RESULT, _RESULT, *numbers)


_slot = ctypes.c_void_p()  # where Numba's code says None, and would say an error: it raises none
_RESULT = ctypes.addressof(_slot)


def shape(arguments: Sequence[Whole]) -> tuple[int, ...]:
    """Of each argument: 0 for a number, else how many its tuple has."""
    return tuple(len(one) if isinstance(one, tuple) else 0 for one in arguments)


def flat(arguments: Sequence[Whole]) -> list[int]:
    """Their numbers, one after another."""
    tuples = (one if isinstance(one, tuple) else (one,) for one in arguments)
    return [number for one in tuples for number in one]


@functools.cache
def driver(module: str, name: str, shape: tuple[int, ...]) -> Driver:
    """The driver of this name, compiled or found on disk.

    Parameters
    ----------
    module : that has it; not loaded where the machine code is on disk
    shape : ``shape`` of its arguments

    Raises NotCompiled as ``objects.load``.
    """
    return Driver(module, name, shape)


def _origin(module: str) -> str | None:
    found = importlib.util.find_spec(module)
    return None if found is None else found.origin


def _text(module: str, name: str, shape: Sequence[int]) -> str:
    """LLVM's text, with all that the driver calls but the kernels."""
    import numba

    function = getattr(importlib.import_module(module), name)
    whole = numba.int64
    kinds = [numba.types.UniTuple(whole, count) if count else whole for count in shape]
    function.compile(numba.void(*kinds))
    (compiled,) = function.overloads.values()
    text: str = compiled.library.get_llvm_str()
    return text.replace(compiled.fndesc.llvm_func_name, name)
