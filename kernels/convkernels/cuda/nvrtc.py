"""CUDA kernels compiled for an architecture with no GPU at hand: do they, and into what?"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import importlib.util
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from convkernels.cuda.kernel import STANDARD, Kernel

COMPILERS = ("nvrtc", "nvcc")


@dataclasses.dataclass(frozen=True)
class Compiled:
    """Machine code of one kernel, and what the assembler said of it."""

    cubin: bytes
    log: str


@dataclasses.dataclass(frozen=True)
class Resources:
    """What a thread of a compiled kernel takes, and its block's static shared memory."""

    registers: int
    stack_bytes: int
    spilled_bytes: int
    shared_bytes: int


def wheels(pattern: str) -> list[str]:
    """Files of NVIDIA's wheels, the newest CUDA first, by a pattern such as "cu1*/lib/*.so"."""
    package = importlib.util.find_spec("nvidia")
    folders = list(package.submodule_search_locations or ()) if package else []
    return [
        str(file) for folder in folders for file in sorted(Path(folder).glob(pattern), reverse=True)
    ]


@functools.cache
def _nvrtc() -> ctypes.CDLL | None:
    """NVRTC from NVIDIA's wheels (CUDA 13 or 12) or from the system, or None."""
    found = [*wheels("cu1*/lib/libnvrtc.so.*"), *wheels("cuda_nvrtc/lib/libnvrtc.so.*")]
    for name in (*found, "libnvrtc.so.13", "libnvrtc.so.12"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def missing(compiler: str) -> str | None:
    """Why this compiler cannot be used here, or None."""
    if compiler == "nvcc":
        return None if shutil.which("nvcc") else "nvcc is not on PATH"
    return None if _nvrtc() else "no NVRTC: pip install nvidia-cuda-nvrtc"


@functools.lru_cache(maxsize=64)
def compiled(kernel: Kernel, compiler: str, architecture: str = "sm_90") -> Compiled:
    """The kernel as machine code.

    Raises
    ------
    RuntimeError
        With the compiler's messages.
    """
    return {"nvcc": _with_nvcc, "nvrtc": _with_nvrtc}[compiler](kernel.source, architecture)


def resources(kernel: Kernel, compiler: str, architecture: str = "sm_90") -> Resources:
    """Compile to machine code and read what the assembler says of the kernel.

    Raises
    ------
    RuntimeError
        With the compiler's messages.
    """
    log = compiled(kernel, compiler, architecture).log

    def number(pattern: str) -> int:
        found = re.findall(pattern, log)
        if len(found) != 1:
            raise RuntimeError(f"{compiler} says {pattern!r} {len(found)} times, not once:\n{log}")
        return int(found[0])

    return Resources(
        number(r"Used (\d+) registers"),
        number(r"(\d+) bytes stack frame"),
        number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads"),
        sum(map(int, re.findall(r"(\d+) bytes smem", log))),  # untold where there is none
    )


def _with_nvcc(source: str, architecture: str) -> Compiled:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "kernel.cu")
        file.write_text(source, encoding="utf-8")
        cubin = file.with_suffix(".cubin")
        options = (STANDARD, f"-arch={architecture}", "-ftz=true", "-Xptxas=-v", "-cubin")
        command = ["nvcc", *options, "-o", str(cubin), str(file)]
        done = subprocess.run(command, text=True, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"nvcc fails:\n{done.stderr}")
        return Compiled(cubin.read_bytes(), done.stdout + done.stderr)


def _with_nvrtc(source: str, architecture: str) -> Compiled:
    nvrtc = _nvrtc()
    if nvrtc is None:
        raise RuntimeError(missing("nvrtc"))
    # As CuPy calls it, but for the assembler's report.
    options = (STANDARD, f"-arch={architecture}", "-ftz=true", "--ptxas-options=-v")
    arguments = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    code = ctypes.c_char_p(source.encode())
    if nvrtc.nvrtcCreateProgram(ctypes.byref(program), code, b"kernel.cu", 0, None, None):
        raise RuntimeError("NVRTC makes no program")
    try:
        failed = nvrtc.nvrtcCompileProgram(program, len(options), arguments)
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        if failed:
            raise RuntimeError(f"NVRTC fails:\n{log.value.decode()}")
        nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
        cubin = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetCUBIN(program, cubin)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return Compiled(cubin.raw, log.value.decode())
