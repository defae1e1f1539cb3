"""Launch each of our CUDA kernels once for each kernel size, for a profiler such as Nsight Compute.

python bench/gpu-visit/launch-once.py [--device cuda:0] | --names

--names prints the function names of what is launched, as a regular expression.
"""

from __future__ import annotations

import sys

from convkernels import Problem, namespaces
from convkernels.algorithms.direct import cuda_direct
from convkernels.algorithms.fft import cuda_overlap_save
from convkernels.discovery import find

N = 4096
SIZES = {"cuda-direct": (3, 7, 15, 31, 63), "cuda-overlap-save": (7, 31)}


def problem(n: int) -> Problem:
    return Problem((N, N), (n, n), mode="same")


def names() -> str:
    """Of the functions of the runs alone: torch's and CuPy's own kernels have others."""
    tile = cuda_direct.tile_for(problem(3), processors=1)
    kernels = (cuda_direct.compose((3, 3), tile), cuda_overlap_save.compose_run(problem(7)))
    return f"^({'|'.join(kernel.name for kernel in kernels)})$"


def launch(name: str, n: int, device: str) -> None:
    """Plan, load, and run once."""
    with namespaces.on("cupy", device):
        xp = namespaces.namespace("cupy")
        asked = problem(n)
        instance = find(name).prepare(asked, "cupy", device)
        instance.load(xp.ones(asked.w_shape, dtype=xp.float32))
        instance.run(xp.ones(asked.x_shape, dtype=xp.float32))
        namespaces.synchronize("cupy", device)


def main() -> None:
    if "--names" in sys.argv:
        print(names())
        return
    device = sys.argv[sys.argv.index("--device") + 1] if "--device" in sys.argv else "cuda:0"
    for name, sizes in SIZES.items():
        for n in sizes:
            launch(name, n, device)


if __name__ == "__main__":
    main()
