"""What the CUDA kernels of our own should cost, by their machine code and published peaks alone.

python bench/cuda-static.py            (from the repository's root; needs no GPU, some seconds)

Static, not measured: nothing of this ran on a card. Kernels are compiled for sm_90 as CuPy compiles
them. The times of cuda-overlap-save are what each of four things would take if it were all there
is, caches and launches free:

    arithmetic     FLOP of the cost model / the peak
    memory         image and filter read once, result written once / the bandwidth
    instructions   of all warps, as many in a second as the peak has multiply-adds of warps
    shared memory  128 bytes a cycle and multiprocessor; that no banks conflict is tested

For one channel its code has no loop: a warp issues each instruction once, and those behind the last
barrier only where it has rows that a tile keeps. The largest of the four is the least time. What
accesses of global memory add to those of shared memory, on the same way, is not in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from convcross.machine import published
from convcross.text import seconds
from convkernels import Problem
from convkernels.algorithms.direct import cuda_direct
from convkernels.algorithms.fft import cuda_overlap_save as overlap_save
from convkernels.cuda import disassembly, nvrtc, occupancy
from convkernels.cuda.kernel import Kernel

CARDS = ("h200", "h100-sxm", "h100-pcie")
N, SIZES = 4096, (3, 5, 7, 9, 11, 15, 21, 31, 33)
MARK = "static, not measured"
THREADS = math.prod(overlap_save.BLOCK)
WARPS = THREADS // occupancy.WARP


def problem(n: int, **changes: object) -> Problem:
    return Problem((N, N), (n, n), mode="same", **changes)  # type: ignore[arg-type]


def kernels() -> Iterable[tuple[str, Kernel, int]]:
    """What is compiled, and the threads of a block."""
    cases = [
        *(
            (f"cuda-overlap-save, {dtype}", problem(7, dtype=dtype))
            for dtype in overlap_save.STORED
        ),
        ("the same, summed channels", problem(7, in_channels=2)),
        ("the same, circular", problem(7, boundary="circular")),
    ]
    for name, case in cases:
        yield name, overlap_save.compose_run(case), THREADS
    yield "its load", overlap_save.compose_load(problem(7)), THREADS
    for n in (7, 15, 31, 63):
        tile = cuda_direct.tile_for(problem(n), processors=1)
        yield f"cuda-direct, n = {n}", cuda_direct.compose((n, n), tile), tile.across * tile.down


def resources(compiler: str) -> Table:
    table = Table(
        *("kernel", "registers", "spilled", "stack", "static shared", "dynamic", "blocks", "warps"),
        title=f"Resources on sm_90 ({compiler}): {MARK}",
        title_justify="left",
    )
    for name, kernel, threads in kernels():
        used = nvrtc.resources(kernel, compiler)
        shared = used.shared_bytes + kernel.shared_bytes
        blocks = occupancy.blocks(threads, used.registers, shared)
        warps = blocks * threads // occupancy.WARP
        numbers = (used.registers, used.spilled_bytes, used.stack_bytes, used.shared_bytes)
        share = f"{warps} ({warps / occupancy.SM_90.warps:.0%})"
        table.add_row(name, *map(str, (*numbers, kernel.shared_bytes, blocks)), share)
    return table


def instructions(compiler: str) -> Table:
    table = Table(
        *("kernel", *disassembly.KINDS, disassembly.REST, "all"),
        title=f"Instructions in the machine code ({compiler}): {MARK}",
        title_justify="left",
    )
    for name, kernel, _ in kernels():
        names = disassembly.instructions(kernel, compiler)
        mix = disassembly.mix(names)
        counts = [mix[kind] for kind in (*disassembly.KINDS, disassembly.REST)]
        table.add_row(name, *map(str, (*counts, len(names))))
    return table


def block(case: Problem, compiler: str) -> tuple[float, float]:
    """Instructions that the warps of a block issue, and wavefronts of shared memory."""
    names = disassembly.instructions(overlap_save.compose_run(case), compiler)
    behind = 1 + max(at for at, name in enumerate(names) if name.startswith("BAR"))
    lines = overlap_save.SIDE // WARPS
    staying = -(-overlap_save.kept(case)[0] // lines)  # warps that have a row of what is kept
    parts = ((WARPS, names[:behind]), (staying, names[behind:]))
    issued = sum(warps * len(part) for warps, part in parts)
    return issued, sum(warps * disassembly.shared_wavefronts(part) for warps, part in parts)


def times(card: str, compiler: str) -> Table:
    machine = published.machine(card, "float32")
    table = Table(
        *("n", "FLOP/output", "bytes/output", "arithmetic", "memory", "instructions"),
        *("shared memory", "at least", "cuda-direct at least"),
        title=f"{machine.name}, N = {N}, float32, same: {MARK}",
        title_justify="left",
    )
    rate = machine.peak / 2 / occupancy.WARP  # multiply-adds of warps, or what else they issue
    for n in SIZES:
        case = problem(n)
        cost, outputs = overlap_save.CUDAOverlapSave.cost(case), math.prod(case.output)
        terms = [cost.flops / machine.peak, case.min_bytes / machine.bandwidth]
        told = [seconds(term) for term in terms]
        if disassembly.missing():
            told += ["unknown", "unknown"]
        else:
            issued, shared = block(case, compiler)
            blocks = overlap_save.pairs(case)
            terms += [blocks * issued / rate, blocks * shared * 4 / rate]  # an SM issues four
            told += [seconds(term) for term in terms[2:]]
        direct = max(
            cuda_direct.CUDADirect.cost(case).flops / machine.peak,
            case.min_bytes / machine.bandwidth,
        )
        table.add_row(
            str(n),
            f"{cost.flops / outputs:.0f}",
            f"{cost.bytes / outputs:.1f}",
            *told,
            seconds(max(terms)),
            seconds(direct),
        )
    return table


def main() -> None:
    usable = [compiler for compiler in nvrtc.COMPILERS if not nvrtc.missing(compiler)]
    if not usable:
        raise SystemExit("; ".join(str(nvrtc.missing(name)) for name in nvrtc.COMPILERS))
    tables = [resources(usable[0])]
    if reason := disassembly.missing():
        print(f"instructions are not counted: {reason}")
    else:
        tables.append(instructions(usable[0]))
    tables += [times(card, usable[0]) for card in CARDS]
    console = Console()
    for table in tables:
        console.print(table)
    for card in CARDS:
        print(f"{card}: {published.machine(card, 'float32').source}")


if __name__ == "__main__":
    main()
