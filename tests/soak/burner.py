"""What is measured beside a process that burns one core throughout. Prints a table.

One duel of contenders of 0.2 to 2 ms is measured again and again, quiet and beside the burner in
turn, so that what else the machine does meets both; of each contender the median beside the burner
is divided by that of the quiet turn before, and the median of those ratios counts.

    python tests/soak/burner.py [TURNS]
"""

from __future__ import annotations

import collections
import contextlib
import subprocess
import sys
from collections.abc import Iterator

import numpy as np

from convcross.measure.timing.sampling import FIRST_LOOK
from convcross.results.schema import Record
from convcross.run.workers.isolation import Isolated
from convcross.sweeps.contenders import Contender
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits
from convkernels import Problem
from soak.table import Row, note, show

TURNS = 24
CONTENDERS = [
    "direct/numpy@cpu",
    "fft/numpy@cpu",
    "direct/torch@cpu",
    "fft/torch@cpu",
    "numba-direct/numpy@cpu",
    "numba-overlap-save/numpy@cpu",
]
WITHIN, KEPT = 0.05, 0.8
BURN = "while True: pass"


@contextlib.contextmanager
def burning() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", BURN])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def measured(worker: Isolated, number: int, choice: dict[str, int]) -> dict[str, Record]:
    """The record of each contender.

    Parameters
    ----------
    choice : contender → its threads; those found are put there where it has none
    """
    duel = Duel(
        id=str(number),
        problem=Problem((256, 256), (5, 5), mode="same"),
        contenders=[Contender(name) for name in CONTENDERS],
        image_data="normal",
        kernel_data="normal",
        seed=number,
        regime=None,
        threads=None,
        limits=Limits(seconds=0.1),
        thread_choice=choice,
    )
    found = {record.contender: record for record in worker.measure(duel).records}
    for name, record in found.items():
        choice.setdefault(name, record.provenance.threads or 1)
    return found


def kept(record: Record) -> list[float]:
    """The samples that did not wait for a core, of a record that is not flagged."""
    if record.status != "ok" or "preempted" in record.flags:
        return []
    times = zip(record.phase_seconds["run"], record.waited("run"), strict=True)
    return [seconds for seconds, waited in times if not waited]


def rows(turns: int) -> Iterator[Row]:
    ratios: dict[str, list[float]] = collections.defaultdict(list)
    unfiltered: dict[str, list[float]] = collections.defaultdict(list)
    enough = collections.Counter[str]()
    choice: dict[str, int] = {}
    with contextlib.closing(Isolated()) as worker:
        for number in range(turns):
            note(f"turn {number + 1} of {turns}")
            quiet = measured(worker, number, choice)
            with burning():
                beside = measured(worker, number, choice)
            for name in CONTENDERS:
                before, after = kept(quiet[name]), kept(beside[name])
                enough[name] += len(after) >= FIRST_LOOK
                if before and after:
                    ratios[name].append(float(np.median(after) / np.median(before)))
                if before and beside[name].status == "ok":
                    every = np.median(beside[name].phase_seconds["run"])
                    unfiltered[name].append(float(every / np.median(before)))
    for name in CONTENDERS:
        what = f"{name}, {choice.get(name)} threads: beside a burner / quiet"
        every = float(np.median(unfiltered[name] or [np.nan]))
        found = float(np.median(ratios[name] or [np.nan]))
        figure = f"{found:.3f}" if ratios[name] else "all flagged"
        met = not ratios[name] or abs(found - 1) <= WITHIN
        yield Row(f"{what} (unfiltered {every:.2f})", figure, f"1 ± {WITHIN:.0%}", met)
    share = sum(enough.values()) / (turns * len(CONTENDERS))
    yield Row(
        f"cells beside it that keep {FIRST_LOOK} samples",
        f"{share:.0%}",
        f"≥ {KEPT:.0%}",
        share >= KEPT,
    )


if __name__ == "__main__":
    sys.exit(show(rows(int(sys.argv[1]) if len(sys.argv) > 1 else TURNS)))
