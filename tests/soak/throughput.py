"""How much more do four workers measure than one? Prints a table.

The workers are of this machine's CPU, as those of four cards would be; their contenders sleep, so
that it is not the number of cores that is measured. Each worker has measured before the clock
starts, so that no start-up counts.

    python tests/soak/throughput.py [DUELS]
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from convcross.run.session import run
from convcross.run.workers.local import LocalMachine
from convcross.sweeps.spec import Limits, Sweep
from convkernels.discovery import load_path
from soak.table import Row, note, show

WORKERS, LEAST = 4, 3.8
DUELS = 12

SOURCE = """
import time
from scipy import signal
from convkernels import algorithm


def sleeping(x, w, problem):
    time.sleep(0.05)
    return signal.convolve2d(x, w, mode=problem.mode)


for name in ("sleeps-a", "sleeps-b"):
    algorithm(
        name=name, family="direct", namespaces=["numpy"], arithmetic="ieee", source="a soak"
    )(sleeping)
"""


def seconds(folder: Path, source: str, workers: int, duels: int) -> float:
    """From the first duel to the last of so many, when each worker has measured one."""
    sweep = Sweep(
        name="sleeping",
        sizes=list(range(16, 16 + duels + workers)),
        kernels=[3],
        launches=1,
        contenders=["sleeps-*"],
        threads=1,
        limits=Limits(seconds=0.001, samples=5),
    )
    times: list[float] = []
    with contextlib.closing(LocalMachine(["cpu"], [{}] * workers)) as machine:
        run(
            sweep,
            [machine],
            algorithm_paths=[source],
            out=folder / f"{workers}.jsonl",
            progress=lambda duel, number, of, records: times.append(time.perf_counter()),
        )
    return times[-1] - times[workers - 1]


def rows(duels: int = DUELS) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = str(folder / "sleeping.py")
        Path(source).write_text(SOURCE)
        load_path(source)
        one, four = (seconds(folder, source, count, duels) for count in (1, WORKERS))
    note(f"throughput: {duels} duels in {one:.1f} s by one worker, in {four:.1f} s by {WORKERS}")
    ratio = one / four
    yield Row(
        f"{WORKERS} workers against 1, contenders that sleep",
        f"{ratio:.2f}x",
        f">= {LEAST}x",
        ratio >= LEAST,
    )


def main(duels: int = DUELS) -> int:
    return min(1, show(rows(duels)))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
