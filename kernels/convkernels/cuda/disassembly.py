"""What a kernel's machine code consists of: its instructions by kind, read from nvdisasm."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from convkernels.cuda import nvrtc
from convkernels.cuda.kernel import Kernel

INSTALL = "pip install nvidia-cuda-nvdisasm"
INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/ +(?:@!?U?P\w+ +)?([A-Z][A-Z0-9_.]*)")
# The first part of an instruction's name, of sm_70 to sm_90.
KINDS = {
    "multiply-adds": ("FFMA",),
    "additions and products": ("FADD", "FMUL"),
    "shared memory": ("LDS", "STS"),
    "global memory": ("LDG", "STG"),
    "barriers": ("BAR", "WARPSYNC"),
}
REST = "all else"  # addresses, bounds, conversions, constants


def tool() -> str | None:
    """nvdisasm, from PATH or NVIDIA's wheel, or None."""
    return shutil.which("nvdisasm") or next(iter(nvrtc.wheels("cu1*/bin/nvdisasm")), None)


def missing() -> str | None:
    """Why machine code cannot be read here, with the command that helps, or None."""
    return None if tool() else f"no nvdisasm: {INSTALL}"


@functools.lru_cache(maxsize=64)
def instructions(
    kernel: Kernel, compiler: str = "nvrtc", architecture: str = "sm_90"
) -> tuple[str, ...]:
    """Names with their suffixes ("LDS.64") in order, without what only fills up the code.

    Raises
    ------
    FileNotFoundError
        Where there is no nvdisasm.
    RuntimeError
        Messages of the compiler or of nvdisasm.
    """
    found = tool()
    if found is None:
        raise FileNotFoundError(missing())
    cubin = nvrtc.compiled(kernel, compiler, architecture).cubin
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "kernel.cubin")
        file.write_bytes(cubin)
        done = subprocess.run([found, "-c", str(file)], text=True, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"nvdisasm fails:\n{done.stderr}")
    names = INSTRUCTION.findall(done.stdout)
    while names and names[-1].partition(".")[0] in ("NOP", "BRA"):  # behind the last exit
        del names[-1]
    return tuple(name for name in names if name != "NOP")


def mix(names: tuple[str, ...]) -> Counter[str]:
    """How many are of each of KINDS, and how many of none."""
    kind = {name: title for title, group in KINDS.items() for name in group}
    return Counter(kind.get(name.partition(".")[0], REST) for name in names)


def shared_wavefronts(names: tuple[str, ...]) -> int:
    """Cycles that a warp's accesses of shared memory take, without conflicts of banks: a wavefront
    of 128 bytes for each word of a thread."""
    words = {"64": 2, "128": 4}
    accesses = (name.split(".") for name in names if name.startswith(KINDS["shared memory"]))
    return sum(max(words.get(part, 1) for part in parts) for parts in accesses)
