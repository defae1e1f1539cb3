"""CUDA kernels run on the CPU through ``emulator.h``: right or wrong, not fast or slow."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from convkernels.cuda.kernel import Kernel, Launcher

OPTIONS = ("-std=c++17", "-O2", "-march=native", "-fPIC", "-shared", "-Wno-unknown-pragmas")


def compiler() -> str | None:
    """The C++ compiler: $CXX, else g++, else None."""
    return shutil.which(os.environ.get("CXX", "g++"))


@functools.cache
def _library(kernel: Kernel) -> ctypes.CDLL:
    found = compiler()
    if found is None:
        raise FileNotFoundError("no C++ compiler: $CXX and g++ are not on PATH")
    header = Path(__file__).parent / "emulator.h"
    source = f"{kernel.source}\nEMULATE({kernel.name})\n"
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "kernel.so")
        command = [found, *OPTIONS, "-include", str(header), "-x", "c++", "-", "-o", str(library)]
        built = subprocess.run(command, input=source, text=True, capture_output=True, check=False)
        if built.returncode:
            raise RuntimeError(f"{found} refuses {kernel.name}:\n{built.stderr}")
        return ctypes.CDLL(str(library))  # stays loaded when the file is gone


def on_cpu(kernel: Kernel, reverse: bool = False) -> Launcher:
    """The kernel to be launched on NumPy arrays, with the signature of a ``cupy.RawKernel``.

    Parameters
    ----------
    kernel : Kernel
    reverse : bool
        Run the last thread of a block first.

    Raises
    ------
    FileNotFoundError
        Where there is no C++ compiler.
    RuntimeError
        Compiler errors; at a launch, a write past the end of shared memory.
    """
    library = _library(kernel)

    def launch(
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: tuple[Any, ...],
        *,
        shared_mem: int,
    ) -> None:
        # As CuPy: an array with fields is a struct passed by value, any other a pointer to it.
        values = [
            argument.ctypes.data_as(ctypes.c_void_p)
            if argument.dtype.fields
            else ctypes.byref(ctypes.c_void_p(argument.ctypes.data))
            for argument in arguments
        ]
        pointers = (ctypes.c_void_p * len(values))(
            *(ctypes.cast(value, ctypes.c_void_p) for value in values)
        )
        sizes = ctypes.c_uint * 3
        if library.emulate(sizes(*grid), sizes(*block), shared_mem, int(reverse), pointers):
            raise RuntimeError(f"{kernel.name} writes past its {shared_mem} bytes of shared memory")

    return launch
