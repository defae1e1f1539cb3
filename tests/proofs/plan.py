"""Does a GPU sweep of 1,500 cells end inside 10 minutes? Prints the plan.

No GPU is needed: each contender costs what the hardware allows at best (the floors of an H200:
4.3 TB/s of copies, 67 TFLOP/s of float32), its samples are noisy, and ``statistics.interleave``
itself decides how many are taken. What a sample, a plan and a verification cost beside the run is
assumed, on the high side, and listed. What would outlast the limit of a run is a timeout and costs
its trials. Run by ``make proofs``.
"""

from __future__ import annotations

import collections
import math
import random
import sys
from collections.abc import Callable

from convcross.measure.phases import PLANS, WARMUP
from convcross.measure.timing.sampling import Sample, interleave
from convcross.sweeps import spec

KERNELS = "3:21:2,25,31,37,41,51,63,77,95,111,127,159,191,223,255"
COPY, FMA = 4.3e12, 67e12  # bytes/s, FLOP/s
NOISE = 0.01  # relative spread of samples
ALLOWED = 600.0  # seconds

# Assumed, in seconds
HOST = 200e-6  # of a sample in Python: events, launches, waiting
FLUSH = 2 * 60e6 / COPY
PLAN = 5e-3  # of an instance
COMPILATION = 1.0  # of one contender's kernels, for each n
DRAWN = 25e-9  # of a pixel of the image on the host: drawn, rounded
CARRIED = 8 / 10e9  # of a pixel: an operand's copy to the card, in float64
PASSES = 60 * 8 / COPY  # of a pixel: the reference, or comparing an output with it, on the card


def pipeline(size: int, n: int) -> float:
    """cuFFT over the image padded to size + ⌊n/2⌋: pad, R2C, multiply, C2R, crop: 15 passes."""
    return 15 * 4 * (size + n // 2) ** 2 / COPY


def fused(size: int, n: int) -> float:
    """A direct sum that reads and writes the image once."""
    return max(2 * n**2 * size**2 / FMA, 8 * size**2 / COPY)


def textbook(size: int, n: int) -> float:
    """A slice times a tap, added: three passes for each tap."""
    return 12 * n**2 * size**2 / COPY


def unfolded(size: int, n: int) -> float:
    """im2col: every window written and read."""
    return 8 * n**2 * size**2 / COPY


CONTENDERS: dict[str, Callable[[int, int], float]] = {
    "fft/cupy": pipeline,
    "fft/torch": pipeline,
    "cuda-direct/cupy": fused,
    "torch-conv2d/torch": lambda size, n: 5 * fused(size, n),
    "im2col-gemm/cupy": unfolded,
    "im2col-gemm/torch": unfolded,
    "direct/cupy": textbook,
    "direct/torch": textbook,
}


def duel(size: int, n: int, limits: spec.Limits, rng: random.Random) -> collections.Counter[str]:
    """Seconds of one duel, and its cells."""
    spent: collections.Counter[str] = collections.Counter(cells=len(CONTENDERS))
    spent["data and reference"] += size**2 * (DRAWN + CARRIED + 2 * PASSES)
    times = {}
    for name, cost in CONTENDERS.items():
        if cost(size, n) > limits.longest_run("cuda:0"):
            spent["trials"] += limits.longest_run("cuda:0")
            spent["timeouts"] += 1
            continue
        times[name] = cost(size, n)
        spent["verification"] += 2 * (size**2 * (CARRIED + PASSES) + times[name])
        spent["plans"] += (PLANS + 1) * PLAN
    looks = {name: min(WARMUP * limits.seconds, 8 * (one + HOST)) for name, one in times.items()}
    spent["warm-up"] += sum(looks.values())

    def action(seconds: float) -> Callable[[], Sample]:
        def sample() -> Sample:
            spent["samples"] += seconds
            spent["beside the samples"] += HOST + FLUSH
            return Sample(seconds * math.exp(rng.gauss(0, NOISE)), seconds)

        return sample

    actions = {name: action(seconds) for name, seconds in times.items()}
    for share in (1.0, 0.5):  # run, and load + run
        interleave(actions, seconds=share * limits.seconds, samples=limits.samples, order=rng)
    return spent


def main() -> int:
    sweep = spec.load("image", {"kernels": KERNELS})
    rng = random.Random(0)
    total: collections.Counter[str] = collections.Counter()
    for size in sweep.sizes:
        for n in sweep.kernels:
            total.update(duel(size, n, sweep.limits, rng))
    total["compilation"] += len(sweep.kernels) * COMPILATION
    cells, timeouts = total.pop("cells"), total.pop("timeouts")
    for part, seconds in sorted(total.items(), key=lambda item: -item[1]):
        print(f"{part:20} {seconds:7.1f} s")
    everything = sum(total.values())
    print(
        f"{cells:.0f} cells, {timeouts:.0f} of them timeouts: {everything / 60:.1f} minutes; "
        f"at most {ALLOWED / 60:.0f}"
    )
    return int(everything > ALLOWED or cells < 1500)


if __name__ == "__main__":
    sys.exit(main())
