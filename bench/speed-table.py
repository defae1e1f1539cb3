"""The speed of the CPU's strongest contenders, as ratios of one run: a table with what was aimed at.

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
from convcross.sweeps.contenders import available, matching
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits
from convcross.text import seconds
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
    here = [str(contender) for contender in available()]
    wanted = [name for name in names if any(own.startswith(f"{name}@") for own in here)]
    duel = Duel(
        id=f"{N}-{n}",
        problem=Problem((N, N), (n, n), mode="same"),
        contenders=matching(wanted, available()),
        image_data="normal",
        kernel_data=kernel_data,
        seed=0,
        regime=None,
        threads=count,
        limits=LIMITS,
    )
    found = measure(duel).records
    return {
        f"{record.algorithm}/{record.namespace}": record.median_s
        for record in found
        if record.status == "ok" and record.median_s
    }
