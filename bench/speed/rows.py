"""Rows of the table, and the medians in them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from convcross.machine import describe
from convcross.measure.duel import measure
from convcross.sweeps.contenders import available
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits
from convkernels import Problem

LIMITS = Limits(seconds=0.5)
BASELINES = ("fft-ducc/numpy", "fft-fftw/numpy")  # neutral: their makers sell no processor


def square(N: int, n: int) -> Problem:
    """An image of N×N with a kernel of n×n."""
    return Problem((N, N), (n, n), mode="same")


def medians(
    names: Sequence[str], problem: Problem, count: int, kernel_data: str = "normal"
) -> dict[str, float]:
    """Median seconds of a run of each contender that is here and right."""
    there = [contender for contender in available(["cpu"]) if contender.partition("@")[0] in names]
    duel = Duel(
        id=f"{problem.image[0]}-{problem.kernel[0]}",
        problem=problem,
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
