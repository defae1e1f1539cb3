"""Speed of the CPU's strongest contenders, as ratios of one run, with what was aimed at.

python bench/speed-table.py            (from the repository's root, some 6 minutes on two cores)

Each row is measured by the harness: contenders interleaved, verified, medians. Shares of the peak
are of a loop in the cores' registers, timed before and after. The first column of times is with all
threads, the second with one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from convcross.machine import describe
from convcross.measure.duel import measure
from convcross.sweeps.contenders import available
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits
from convkernels import Problem
from convkernels.cpu import fma
from convkernels.toolbox import threads

DIRECT, SAVE, SEPARABLE = "numba-direct/numpy", "numba-overlap-save/numpy", "numba-separable/numpy"
BASELINES = ("fft-ducc/numpy", "fft-fftw/numpy")  # neutral: their makers sell no processor
# Memory that malloc gives back at every free is faulted in anew at every run.
KEPT = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 31)}
LIMITS = Limits(seconds=0.5)


def medians(
    names: Sequence[str], N: int, n: int, count: int, kernel_data: str = "normal"
) -> dict[str, float]:
    """Median seconds of a run of each contender that is here and right."""
    there = [contender for contender in available(["cpu"]) if contender.partition("@")[0] in names]
    duel = Duel(
        id=f"{N}-{n}",
        problem=Problem((N, N), (n, n), mode="same"),
        contenders=there,
        image_data="normal",
        kernel_data=kernel_data,
        seed=0,
        regime=None,
        threads=count,
        limits=LIMITS,
    )
    return {
        f"{record.algorithm}/{record.namespace}": record.median_s
        for record in measure(duel).records
        if record.status == "ok" and record.median_s
    }


class Rows:
    """The table as it grows."""

    def __init__(self, most: int) -> None:
        self.most = most
        title = f"{describe.name('cpu')}, {most} threads, float32: medians of one interleaved run"
        self.table = Table(title=title, title_justify="left")
        for heading in ("what", "N", "n", "aim", f"{most} threads", "1 thread", "baselines"):
            self.table.add_column(heading, justify="left" if heading == "what" else "right")

    def add(self, what: str, N: int, n: int, aim: str, own: Sequence[str], rest: str = "") -> None:
        self.table.add_row(what, str(N), str(n), aim, *own, rest)
        print(what, N, n, aim, *own, rest, flush=True)  # some minutes: a line at a time

    def counts(self) -> list[int]:
        return [self.most, 1] if self.most > 1 else [1]


def shares(rows: Rows) -> None:
    for N in (1024, 2048):
        for n in (7, 9, 11, 15, 21, 31):
            own = []
            for count in rows.counts():
                before = fma.peak_flops("float32", count, 0.3)
                (time,) = medians([DIRECT], N, n, count).values()
                peak = max(before, fma.peak_flops("float32", count, 0.3))
                own.append(f"{Problem((N, N), (n, n), mode='same').flops / time / peak:.0%}")
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
            found = medians([*names, *BASELINES], N, n, count)
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
        found = medians([SEPARABLE, *rivals], N, n, count, "gaussian")
        best = min((name for name in found if name != SEPARABLE), key=lambda name: found[name])
        own.append(f"{found[best] / found[SEPARABLE]:.2f}×")
    rows.add("numba-separable over the best other", N, n, "3×", own, best)


def kept(rows: Rows) -> None:
    large = [(4096, 15, "5×"), (4096, 31, "5×")]
    ratio(rows, (SAVE, "fft/torch"), large, what=", memory kept")


def main() -> None:
    rows = Rows(threads.usable())
    if sys.argv[1:] == ["--kept"]:
        kept(rows)
        return
    version = describe.versions()
    told = ", ".join(f"{name} {version[name]}" for name in ("torch", "numba", "opencv", "ipp"))
    print(f"{describe.cpu()['model']}; {told}", flush=True)
    shares(rows)
    aims = ((9, "3.5×"), (15, "4×"), (21, "4×"))
    middle = [(N, n, aim) for N in (1024, 2048) for n, aim in aims]
    ratio(rows, (DIRECT, "opencv-direct/numpy"), [(1024, n, "1.7×") for n in (5, 7, 9, 11)])
    ratio(rows, (SAVE, "fft/torch"), [*middle, (1024, 31, "3×"), (2048, 31, "3×")])
    ratio(rows, (SAVE, "fft/torch"), [(4096, 15, "5×"), (4096, 31, "5×")])
    if sys.platform == "linux":  # glibc's malloc
        command = [sys.executable, __file__, "--kept"]
        subprocess.run(command, env=os.environ | KEPT, check=True)
    ratio(rows, (SAVE, "ipp-fft/numpy"), [(2048, n, "1.5×") for n in (15, 31)], [1])
    separable(rows)
    Console(width=140).print(rows.table)


if __name__ == "__main__":
    main()
