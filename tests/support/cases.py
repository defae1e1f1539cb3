"""Small cases of the cross-check."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from convcross.crosscheck import crosscheck
from convcross.crosscheck.peers import Case
from convcross.sweeps.spec import Limits
from convkernels import Problem

FAST = Limits(seconds=0.001, samples=12)
SMALL = Problem((16, 16), (3, 3), mode="same")
DIRECT = Case("direct/numpy@cpu", SMALL, "warm")
FFT = Case("fft/numpy@cpu", SMALL, "warm")
WORK = Case("fixed-work/numpy@cpu", Problem((8, 8), (1, 1), mode="same"), "warm")


def compared(
    cases: Sequence[Case], *stands: Any, budget: float = 60.0, rounds: int = 3
) -> tuple[list[crosscheck.Row], list[str]]:
    lines: list[str] = []
    groups = [list(group) for _, group in itertools.groupby(cases, lambda case: case.problem)]
    rows = crosscheck.compare(
        groups, stands, limits=FAST, budget=budget, tell=lines.append, rounds=rounds
    )
    return rows, lines
