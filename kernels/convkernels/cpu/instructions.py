"""The vector instructions that kernels are compiled for: their width, and how many registers."""

from __future__ import annotations

import dataclasses
import functools
import platform


@dataclasses.dataclass(frozen=True)
class Instructions:
    """A processor as the code generator sees it.

    Attributes
    ----------
    name : "avx512", "avx2", "sse2" or "neon"
    bytes : of a vector register
    registers : vector registers that a kernel may fill
    triple, cpu, features : what LLVM is told
    """

    name: str
    bytes: int
    registers: int
    triple: str
    cpu: str
    features: str

    def lanes(self, dtype: str) -> int:
        """Numbers of this type ("float32" or "float64") in a register."""
        return self.bytes // (8 if dtype == "float64" else 4)


X86, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
AVX512 = Instructions("avx512", 64, 32, X86, "skylake-avx512", "")
AVX2 = Instructions("avx2", 32, 16, X86, "haswell", "")
SSE2 = Instructions("sse2", 16, 16, X86, "x86-64", "")
NEON = Instructions("neon", 16, 32, ARM, "neoverse-n1", "")


@functools.cache
def here() -> Instructions:
    """Of this processor."""
    import llvmlite.binding as llvm

    found = llvm.get_host_cpu_features()
    if platform.machine().lower() in ("aarch64", "arm64"):
        kind = NEON
    elif found.get("avx512f") and found.get("avx512vl"):
        kind = AVX512
    elif found.get("avx2") and found.get("fma"):
        kind = AVX2
    else:
        kind = SSE2
    return dataclasses.replace(
        kind,
        triple=llvm.get_process_triple(),
        cpu=llvm.get_host_cpu_name(),
        features=found.flatten(),
    )
