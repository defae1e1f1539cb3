"""Are two contenders that are 2 % apart ranked rightly beside a noisy neighbour? Prints a table.

Two planted contenders do a fixed amount of work, one 2 % more than the other, while another process
loads one core on and off. In a duel they are timed in interleaved rounds and compared by the median
of the rounds' own ratios, as the analysis does; beside it, the same two measured one after the
other and compared by their medians. Run by ``make proofs``.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from convcross.measure.duel import measure
from convcross.results.schema import Record
from convcross.stats.bootstrap import in_rounds, log_ratio
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits
from convkernels import Problem

DUELS = 100
APART = 1.02

SOURCE = """
import zlib
from convkernels import algorithm

WORK = bytes(range(256)) * 4096


def plant(name, size):
    @algorithm(
        name=name, family="direct", namespaces=["numpy"], arithmetic="ieee", source="a proof"
    )
    class Work:
        def load(self, b):
            self.weight = b[0, 0]

        def run(self, a):
            zlib.adler32(memoryview(WORK)[:size])
            return a * self.weight

    return Work


plant("less", len(WORK) * 100 // 102)
plant("more", len(WORK))
"""

NEIGHBOUR = """
import random, time
while True:
    end = time.perf_counter() + random.uniform(0.02, 0.3)
    while time.perf_counter() < end:
        pass
    time.sleep(random.uniform(0.02, 0.3))
"""


@contextlib.contextmanager
def noise() -> Iterator[None]:
    neighbour = subprocess.Popen([sys.executable, "-c", NEIGHBOUR])
    try:
        yield
    finally:
        neighbour.kill()
        neighbour.wait()


def records(path: Path, names: list[str], seed: int) -> list[Record]:
    duel = Duel(
        id=f"ranking {seed}",
        problem=Problem((8, 8), (1, 1), mode="same"),
        contenders=[f"{name}/numpy@cpu" for name in names],
        image_data="normal",
        kernel_data="normal",
        seed=seed,
        regime=None,
        threads=1,
        limits=Limits(seconds=0.2),
        algorithm_paths=[str(path)],
    )
    found = measure(duel).records
    assert [record.status for record in found] == ["ok"] * len(names)
    return found


def interleaved(path: Path, seed: int) -> float:
    """Ratio more ÷ less of one duel between both."""
    sides = [
        in_rounds(np.array(record.phase_seconds["run"]), np.array(record.rounds))
        for record in records(path, ["more", "less"], seed)
    ]
    return float(np.exp(log_ratio(*sides, 1, np.random.default_rng(0)).point))


def one_after_the_other(path: Path, seed: int) -> float:
    """Ratio more ÷ less of two duels of one contender each; which is first alternates."""
    names = ["more", "less"] if seed % 2 else ["less", "more"]
    medians = {name: records(path, [name], seed)[0].median_s for name in names}
    return float(medians["more"]) / float(medians["less"])


def main(duels: int) -> int:
    failed = 0
    print(f"{'timed':22} {'ranked rightly':>15} {'5 % to 95 % of the ratios':>28}   (1.02 planted)")
    with tempfile.TemporaryDirectory() as folder, noise():
        path = Path(folder) / "work.py"
        path.write_text(SOURCE)
        for name, ratio in (
            ("interleaved", interleaved),
            ("one after the other", one_after_the_other),
        ):
            found = [ratio(path, seed) for seed in range(duels)]
            right = sum(one > 1 for one in found) / duels
            low, high = np.quantile(found, [0.05, 0.95])
            print(f"{name:22} {right:15.0%} {low:18.3f} to {high:.3f}", flush=True)
            failed += name == "interleaved" and right < 0.95
    print(f"{duels} duels each; at least 95 % of the interleaved ones are to be ranked rightly")
    return failed


if __name__ == "__main__":
    sys.exit(main(DUELS))
