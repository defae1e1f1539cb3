"""The classical ways: tiles, Winograd, the summed-area table, and what im2col takes of memory."""

from __future__ import annotations

import statistics

from convkernels import Problem
from convkernels.discovery import find
from speed.rows import Rows, medians, ratio, square

TURNS = 5  # of two problems of one contender, whose times are compared


def table(rows: Rows) -> None:
    ratio(rows, ("overlap-save/torch", "fft/torch"), [(2048, 15, "1.3×")])
    layer(rows)
    sizes(rows)
    memory(rows)


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
