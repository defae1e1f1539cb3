"""Does a measurement tell how long a run of known length takes? Prints a table.

A planted contender waits on the clock until a known time after its run began, and goes through
``measure`` as any other does: verified, warmed up, sampled until settled. Run by ``make proofs``; a
short version is a test.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from convcross.measure.duel import measure
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits
from convkernels import Problem

LENGTHS = (20e-6, 50e-6, 100e-6, 500e-6, 2e-3, 10e-3, 50e-3)  # seconds
ALLOWED = {20e-6: 0.03}  # median deviation; else 1 %
TRIALS, WITHIN = 100, 0.02  # 95 % of the trials deviate by no more

SOURCE = """
import time
from convkernels import algorithm


@algorithm(
    name="busy-wait", family="direct", namespaces=["numpy"], arithmetic="ieee", source="a proof"
)
class BusyWait:
    def load(self, b):
        self.weight = b[0, 0]

    def run(self, a):
        end = time.perf_counter_ns() + {nanoseconds}
        y = a * self.weight
        while time.perf_counter_ns() < end:
            pass
        return y
"""


def deviations(seconds: float, trials: int) -> list[float]:
    """(measured median − known length) ÷ known length, of each trial."""
    from convkernels import registry

    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"busy_wait_{seconds:g}.py"
        path.write_text(SOURCE.replace("{nanoseconds}", str(round(seconds * 1e9))))
        registry.registered.pop("busy-wait", None)  # the one of another length
        for trial in range(trials):
            duel = Duel(
                id=f"busy-wait {seconds:g}",
                problem=Problem((8, 8), (1, 1), mode="same"),
                contenders=["busy-wait/numpy@cpu"],
                image_data="normal",
                kernel_data="normal",
                seed=trial,
                regime=None,
                threads=1,
                limits=Limits(seconds=max(0.1, 20 * seconds)),
                algorithm_paths=[str(path)],
            )
            (record,) = measure(duel).records
            assert record.status == "ok", record.reason
            found.append(record.median_s / seconds - 1)
    return found


def main(trials: int) -> int:
    print(
        f"{'length':>8} {'deviation':>10} {'allowed':>8} {'within 2 %':>11}   ({trials} trials; "
        "medians; at least 95 % within)"
    )
    failed = 0
    for seconds in LENGTHS:
        found = deviations(seconds, trials)
        middle = statistics.median(found)
        share = sum(abs(one) <= WITHIN for one in found) / trials
        allowed = ALLOWED.get(seconds, 0.01)
        failed += abs(middle) > allowed or share < 0.95
        print(f"{seconds * 1e6:6.0f} µs {middle:10.2%} {allowed:8.0%} {share:11.0%}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(TRIALS))
