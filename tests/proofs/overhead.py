"""What does a sweep cost beyond the code that it measures? Prints a table.

The quick sweep at N = 1024, where runs take 1 ms and more, by the real thing: its launches in
worker processes, its file on a disk. Time beyond measured code, warm-up and flushes, and
verification is to be at most 10 % of the whole, starting the processes included.
Run by ``make proofs``.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

from convcross.run.session import run
from convcross.run.workers import local
from convcross.sweeps import spec

ALLOWED = 0.10
CONTENDERS = ["direct/*", "fft/*", "im2col-gemm/*", "torch-conv2d", "scipy-*"]


def main() -> int:
    sweep = spec.load("quick", {"sizes": "1024", "contenders": CONTENDERS})
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        machines = [stack.enter_context(contextlib.closing(m)) for m in local.machines([["cpu"]])]
        (outcome,) = run(sweep, machines, out=Path(folder) / "a.jsonl")
    counted = 0.0
    for name, seconds in outcome.seconds.items():
        print(f"{name:14} {seconds / outcome.wall:6.1%}")
        counted += seconds if name in ("measured", "warmup", "verification") else 0.0
    outside = outcome.wall - sum(outcome.seconds.values())
    print(f"{'coordinator':14} {outside / outcome.wall:6.1%}")
    beyond = 1 - counted / outcome.wall
    print(
        f"{outcome.done} duels, {sweep.launches} launches: beyond measured code, warm-up, flushes "
        f"and verification {beyond:.1%}; at most {ALLOWED:.0%}"
    )
    return int(beyond > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
