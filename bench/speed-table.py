"""Speed of the CPU's strongest, classical and training contenders, as ratios of one run, with aims.

python bench/speed-table.py [strongest] [classical] [training]     (from the repository's root)

All where none is named: some 6 minutes, one and 8, on two cores. Each row is measured by the
harness: contenders interleaved, verified, medians; steps of training, which the harness does not
know, are run in turns here. Shares of the peak are of a loop in the cores' registers, or of the
library's own complex matrix product, timed before and after. The first column of times is with all
threads, the second with one.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Sequence

from rich.console import Console

import speed_training
from convcross.machine import describe
from convkernels import Problem
from convkernels.cpu import fma
from convkernels.discovery import find
from convkernels.toolbox import threads
from speed_rows import Rows, medians, square

DIRECT, SAVE, SEPARABLE = "numba-direct/numpy", "numba-overlap-save/numpy", "numba-separable/numpy"
BASELINES = ("fft-ducc/numpy", "fft-fftw/numpy")  # neutral: their makers sell no processor
# Memory that malloc gives back at every free is faulted in anew at every run.
KEPT = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 31)}
TURNS = 5  # of two problems of one contender, whose times are compared


def shares(rows: Rows) -> None:
    for N in (1024, 2048):
        for n in (7, 9, 11, 15, 21, 31):
            own = []
            for count in rows.counts():
                before = fma.peak_flops("float32", count, 0.3)
                (time,) = medians([DIRECT], square(N, n), count).values()
                peak = max(before, fma.peak_flops("float32", count, 0.3))
                own.append(f"{square(N, n).flops / time / peak:.0%}")
            rows.add("numba-direct, of the FMA peak", N, n, "85 %" if n >= 15 else "70 %", own)


def ratio(
    rows: Rows,
    names: tuple[str, str],
    places: Sequence[tuple[int, int, str]],
    counts: Sequence[int] | None = None,
    what: str = "",
) -> None:
    """How many times faster the first is than the second."""
    fast, slow = names
    for N, n, aim in places:
        own, rest = [], ""
        for count in counts or rows.counts():
            found = medians([*names, *BASELINES], square(N, n), count)
            if fast not in found or slow not in found:
                own.append("not here")
                continue
            own.append(f"{found[slow] / found[fast]:.2f}×")
            rest = (
                ", ".join(
                    f"{name.partition('/')[0]} {found[name] / found[fast]:.2f}×"
                    for name in BASELINES
                    if name in found and not rest
                )
                or rest
            )
        title = f"{fast.partition('/')[0]} over {slow}{what}"
        rows.add(title, N, n, aim, own if len(own) > 1 else ["", *own], rest)


def separable(rows: Rows) -> None:
    """Over the best of all that are not separable and near it."""
    N, n, rivals = 2048, 31, (SAVE, DIRECT, "ipp-fft/numpy", "fft/torch", *BASELINES)
    own, best = [], ""
    for count in rows.counts():
        found = medians([SEPARABLE, *rivals], square(N, n), count, "gaussian")
        best = min((name for name in found if name != SEPARABLE), key=lambda name: found[name])
        own.append(f"{found[best] / found[SEPARABLE]:.2f}×")
    rows.add("numba-separable over the best other", N, n, "3×", own, best)


def kept(rows: Rows) -> None:
    large = [(4096, 15, "5×"), (4096, 31, "5×")]
    ratio(rows, (SAVE, "fft/torch"), large, what=", memory kept")


def strongest(rows: Rows) -> None:
    shares(rows)
    aims = ((9, "3.5×"), (15, "4×"), (21, "4×"))
    middle = [(N, n, aim) for N in (1024, 2048) for n, aim in aims]
    ratio(rows, (DIRECT, "opencv-direct/numpy"), [(1024, n, "1.7×") for n in (5, 7, 9, 11)])
    ratio(rows, (SAVE, "fft/torch"), [*middle, (1024, 31, "3×"), (2048, 31, "3×")])
    ratio(rows, (SAVE, "fft/torch"), [(4096, 15, "5×"), (4096, 31, "5×")])
    if sys.platform == "linux":  # glibc's malloc
        command = [sys.executable, __file__, "kept"]
        subprocess.run(command, env=os.environ | KEPT, check=True)
    ratio(rows, (SAVE, "ipp-fft/numpy"), [(2048, n, "1.5×") for n in (15, 31)], [1])
    separable(rows)


def layer(rows: Rows) -> None:
    """Winograd beside the GEMM that it replaces."""
    fast, slow = "winograd-4x4-3x3/torch", "im2col-gemm/torch"
    problem = Problem((56, 56), (3, 3), batch=8, in_channels=64, out_channels=64, mode="same")
    times = [medians([fast, slow], problem, count) for count in rows.counts()]
    own = [
        f"{found[slow] / found[fast]:.2f}×" if len(found) == 2 else "not here" for found in times
    ]
    rows.add(f"{fast} over {slow}, 64→64 channels, batch 8", 56, 3, "1.3×", own)


def sizes(rows: Rows) -> None:
    """The summed-area table's time at a large box over that at a small one, in turns."""
    name, N, large, small = "integral/numpy", 2048, 63, 3
    own = []
    for count in rows.counts():
        found = [
            [medians([name], square(N, n), count, "box")[name] for n in (large, small)]
            for _ in range(TURNS)
        ]
        own.append(f"{statistics.median(a / b for a, b in found):.2f}×")
    rows.add(f"{name}, n = {large} over n = {small}", N, large, "≤ 1.1×", own)


def memory(rows: Rows) -> None:
    """Workspaces as they are declared, to which a test holds what load and run allocate."""
    N, n = 1024, 15
    whole = find("im2col-gemm").cost(square(N, n)).workspace
    for name in ("mec", "im2col-chunked"):
        share = find(name).cost(square(N, n)).workspace / whole
        rows.add(f"{name}, workspace of im2col-gemm's", N, n, "≤ 10 %", [f"{share:.1%}", ""])


def classical(rows: Rows) -> None:
    ratio(rows, ("overlap-save/torch", "fft/torch"), [(2048, 15, "1.3×")])
    layer(rows)
    sizes(rows)
    memory(rows)


TABLES = {"strongest": strongest, "classical": classical, "training": speed_training.table}


def main() -> None:
    rows = Rows(threads.usable())
    if sys.argv[1:] == ["kept"]:  # in a process of its own, by ``strongest``
        kept(rows)
        return
    if unknown := sorted(set(sys.argv[1:]) - set(TABLES)):
        print(
            f"{', '.join(unknown)}: no such table; there are {', '.join(TABLES)}", file=sys.stderr
        )
        sys.exit(2)
    version = describe.versions()
    told = ", ".join(f"{name} {version[name]}" for name in ("torch", "numba", "opencv", "ipp"))
    print(f"{describe.cpu()['model']}; {told}", flush=True)
    for name in sys.argv[1:] or TABLES:
        TABLES[name](rows)
    Console(width=140).print(rows.table)


if __name__ == "__main__":
    main()
