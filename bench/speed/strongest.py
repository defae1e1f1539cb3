"""The CPU's strongest against what people use: shares of the peak, and ratios."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from convkernels.cpu import fma
from speed.rows import BASELINES, Rows, medians, ratio, square

DIRECT, SAVE, SEPARABLE = "numba-direct/numpy", "numba-overlap-save/numpy", "numba-separable/numpy"
ENTRY = Path(__file__).parents[1] / "speed-table.py"
# Memory that malloc gives back at every free is faulted in anew at every run.
KEPT = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 31)}


def table(rows: Rows) -> None:
    shares(rows)
    aims = ((9, "3.5×"), (15, "4×"), (21, "4×"))
    middle = [(N, n, aim) for N in (1024, 2048) for n, aim in aims]
    ratio(rows, (DIRECT, "opencv-direct/numpy"), [(1024, n, "1.7×") for n in (5, 7, 9, 11)])
    ratio(rows, (SAVE, "fft/torch"), [*middle, (1024, 31, "3×"), (2048, 31, "3×")])
    ratio(rows, (SAVE, "fft/torch"), [(4096, 15, "5×"), (4096, 31, "5×")])
    if sys.platform == "linux":  # glibc's malloc
        command = [sys.executable, str(ENTRY), "kept"]
        subprocess.run(command, env=os.environ | KEPT, check=True)
    ratio(rows, (SAVE, "ipp-fft/numpy"), [(2048, n, "1.5×") for n in (15, 31)], [1])
    separable(rows)


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
