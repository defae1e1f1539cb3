"""What does a sweep cost beyond the code that it measures? Prints a table.

The ledger of real duels whose runs take 1 ms and more, in a worker process: time beyond measured
code, warm-up and flushes, and verification is to be at most 10 %, starting the process included.
Each duel is measured once to learn who takes part.
Run by ``make proofs``.
"""

from __future__ import annotations

import collections
import sys

from convcross.run.workers.isolation import Isolated
from convcross.sweeps import spec
from convcross.sweeps.contenders import available
from convcross.sweeps.duels import duels

LEAST = 1e-3  # seconds of a run, of every contender of a duel that is counted
ALLOWED = 0.10
CONTENDERS = ["direct/*", "fft/*", "im2col-gemm/*", "torch-conv2d", "scipy-*"]


def main() -> int:
    sweep = spec.load("quick", {"sizes": "512,1024", "contenders": CONTENDERS})
    total: collections.Counter[str] = collections.Counter()
    buckets = ("measured", "warmup", "verification", "preparation", "rest")
    print(f"{'duel':22} {'contenders':>10}" + "".join(f" {name:>13}" for name in buckets))
    everyone = list(duels(sweep, available(["cpu"])))
    worker = Isolated()
    for duel in everyone:
        found = worker.measure(duel).records
        duel.contenders = [one.contender for one in found if (one.median_s or 0.0) >= LEAST]
    worker.close()  # the next process knows nothing of the contenders, as when a sweep begins
    for duel in everyone:
        result = worker.measure(duel)
        seconds = result.seconds
        total.update(seconds)
        share = "".join(f" {seconds[name] / sum(seconds.values()):13.1%}" for name in buckets)
        print(f"{duel.id.rpartition('-')[0]:22} {len(duel.contenders):10}{share}", flush=True)
    worker.close()
    everything = sum(total.values())
    print(f"{'all':33}" + "".join(f" {total[name] / everything:13.1%}" for name in buckets))
    beyond = (total["preparation"] + total["rest"]) / everything
    print(f"beyond measured code, warm-up, flushes and verification: {beyond:.1%}; at most 10 %")
    return int(beyond > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
