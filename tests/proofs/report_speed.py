"""How long does the report of 100,000 records take, and how much memory? Prints a table.

Synthetic results of 24 sets of conditions, with 20 rounds a contender, go through ``convcross
report`` in a process of its own. At most 60 s and 2 GB on 2 cores; the memory is the largest sum
over it and the processes that it starts. Run by ``make proofs``; takes about 2 minutes, most of it
to write the results.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from convcross.results.schema import DuelFooter, Record, dump
from support import synthetic

SECONDS, BYTES, CORES = 60.0, 2e9, 2
SIZES = [128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144]
KERNELS = list(range(3, 73, 2))
CONTENDERS = {
    "direct/numpy": synthetic.direct(),
    "direct/torch": synthetic.direct(0.8),
    "scipy-convolve2d/numpy": synthetic.direct(1.5),
    "im2col-gemm/numpy": synthetic.direct(1.2),
    "im2col-gemm/torch": synthetic.direct(0.9),
    "fft/numpy": synthetic.fft(9.4),
    "fft/torch": synthetic.fft(9.4, 0.7),
    "scipy-fftconvolve/numpy": synthetic.fft(9.4, 1.4),
    "torch-conv2d/torch": synthetic.direct(2.0),
    "separable/numpy": synthetic.fft(5.0),
}
CEILINGS = {
    "device": "cpu",
    "flops": {"float32": 2e11, "float64": 1e11},
    "bytes": [[2**14, 8e10], [2**20, 7e10], [2**24, 2e10], [2**28, 1.5e10]],
}


def duels(sizes: list[int], kernels: list[int], sets: int) -> Iterator[list[Record]]:
    """Duels of ``sets`` sets of conditions, 24 at most."""
    conditions = [
        ({"dtype": dtype, "op": op, "mode": mode}, regime)
        for dtype in ("float32", "float64")
        for op in ("convolution", "correlation")
        for mode in ("full", "same", "valid")
        for regime in ("warm", "flushed")
    ]
    for problem, regime in conditions[:sets]:
        yield from synthetic.duels(
            CONTENDERS, sizes=sizes, kernels=kernels, problem=problem, regime=regime
        )


def write(path: Path, duels: Iterable[list[Record]]) -> None:
    """A results file, without the wait for the disk after each duel."""
    with path.open("wb") as file:
        file.write(dump([synthetic.header(ceilings=CEILINGS)]))
        for records in duels:
            duel, seconds = records[0].duel, {"measured": 1.0}
            file.write(
                dump([*records, DuelFooter(duel=duel, records=len(records), seconds=seconds)])
            )


def measured(results: Path, out: Path) -> tuple[float, float, int]:
    """Seconds of ``convcross report``, its CPU seconds, and the most bytes that it and its
    children held."""
    command = [sys.executable, "-m", "convcross", "report", str(results), "--out", str(out)]
    begin = time.monotonic()
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(run.pid, sorted(os.sched_getaffinity(0))[:CORES])
    most = 0
    while run.poll() is None and time.monotonic() - begin < 5 * SECONDS:
        most = max(most, _held(run.pid))
        time.sleep(0.5)
    seconds = time.monotonic() - begin
    run.kill()
    if run.wait() != 0:
        raise RuntimeError(f"report ended with status {run.returncode}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, used.ru_utime + used.ru_stime, most


def _held(pid: int) -> int:
    """Bytes of memory of a process, and of what its children do not share with it."""
    try:
        process = psutil.Process(pid)
        alone = [child.memory_full_info().uss for child in process.children(recursive=True)]
        return int(process.memory_info().rss + sum(alone))
    except psutil.Error:  # one ended meanwhile
        return 0


def main(sizes: list[int] = SIZES, kernels: list[int] = KERNELS, sets: int = 24) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sweep.jsonl"
        write(path, duels(sizes, kernels, sets))
        seconds, used, held = measured(path, Path(folder) / "out")
        page = (Path(folder) / "out" / "report.html").stat().st_size
    records = len(sizes) * len(kernels) * sets * len(CONTENDERS)
    failed = seconds > SECONDS or held > BYTES
    print(f"{'records':>8} {'sets':>5} {'seconds':>8} {'GB':>5} {'CPU, s':>7} {'page, MB':>9}")
    print(f"{records:8} {sets:5} {seconds:8.1f} {held / 1e9:5.2f} {used:7.1f} {page / 1e6:9.1f}")
    print(f"{'at most':14} {SECONDS:8.1f} {BYTES / 1e9:5.2f}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
