"""Stand-ins for CUDA's libraries, from ``fake_*.cpp``: the real signatures, on the CPU's memory."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import pytest

from convkernels.cuda import emulator


def library(name: str, folder: Path, *options: str) -> Path:
    """``fake_<name>.cpp`` as a shared library in this folder; skips without a compiler.

    A message of the compiler, a warning too, is a failure.
    """
    compiler = emulator.compiler()
    if compiler is None:
        pytest.skip("no C++ compiler for the stand-in: $CXX, g++")
    source = Path(__file__).with_name(f"fake_{name}.cpp")
    built = folder / f"libfake_{name}.so"
    command = [compiler, "-std=c++17", "-O1", "-Wall", "-fPIC", "-shared", *options]
    subprocess.run([*command, str(source), "-o", str(built)], check=True)
    return built


def loaded(path: Path) -> ctypes.CDLL:
    """The stand-in, for what a test asks and reads of it: as the code under test has loaded it."""
    fake = ctypes.CDLL(str(path))
    for name in ("fake_calls", "fake_told"):
        if hasattr(fake, name):
            getattr(fake, name).restype = ctypes.c_char_p
    return fake
