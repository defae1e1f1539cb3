"""Memory that a process may take, that has run out, and that libraries' pools keep."""

from __future__ import annotations

import contextlib
import gc
import re
import sys
from pathlib import Path

import psutil

# What libraries say where memory runs out, beside exceptions of that name: cuBLAS, cuFFT and cuDNN
# "…ALLOC_FAILED", CUDA cudaErrorMemoryAllocation, torch "CUDA error: out of memory".
EXHAUSTED = re.compile(
    r"ALLOC(ATION)?_FAILED|cudaErrorMemoryAllocation|out[ _]of[ _]memory|allocate memory",
    re.IGNORECASE,
)


def exhausted(error: BaseException) -> bool:
    """Whether an exception says that memory has run out."""
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__:
        return True
    try:
        return EXHAUSTED.search(str(error)) is not None
    except Exception:  # an exception of a contender's own, which fails at that too
        return False


def limit() -> float:
    """Bytes that this process may take: the machine's, or less in a container or a batch job.

    Linux: cgroups(7), of version 1 and 2, each group within its parents'.
    """
    least = float(psutil.virtual_memory().total)
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, kinds, group = line.split(":", 2)
            if kinds and "memory" not in kinds.split(","):
                continue
            root, name = Path("/sys/fs/cgroup"), "memory.max"
            if kinds:
                root, name = root / "memory", "memory.limit_in_bytes"
            place = root / group.lstrip("/")
            for folder in (place, *place.parents):
                with contextlib.suppress(OSError, ValueError):  # none here, or "max"
                    least = min(least, float((folder / name).read_text()))
    return least


def release() -> None:
    """Give the blocks that the pools of CuPy and torch keep back to the devices, so that neither
    library starves the other. Only of libraries that are loaded."""
    cupy, torch = sys.modules.get("cupy"), sys.modules.get("torch")
    if cupy is not None and cupy.cuda.is_available():
        gc.collect()  # plans and arrays in cycles
        cupy.get_default_memory_pool().free_all_blocks()
        cupy.get_default_pinned_memory_pool().free_all_blocks()
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()
