"""Do curves without any difference give verdicts? Prints a table.

Two contenders that do not differ, timed beside a busy neighbour as in ``crossovers``, at so many
kernel sizes. A verdict other than ``tie`` is false; a curve may give one in 5 of 100.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from proofs.crossovers import Planted, timed, verdict

KERNELS = (8, 25, 26, 63, 127)
LEVEL = 0.05


@dataclass(frozen=True)
class Level:
    """Of curves without a difference, the share with a verdict, and its standard error."""

    false: float
    error: float

    @property
    def holds(self) -> bool:
        """Whether the share may be 5 % or less: within two standard errors."""
        return self.false - 2 * self.error <= LEVEL


def level(kernels: int, count: int, seed: int = 0) -> Level:
    """Judge so many curves of so many kernel sizes."""
    rng = np.random.default_rng(seed)
    n = 3.0 + 2 * np.arange(kernels)
    equal = Planted(n, np.full((1, kernels), 1e-3), np.full((1, kernels), 1e-3), None)
    false = sum(verdict(timed(equal, rng), equal.N).verdict != "tie" for _ in range(count)) / count
    return Level(false, float(np.sqrt(max(false * (1 - false), 1 / count) / count)))


def main(count: int) -> int:
    print(
        f"{count} curves a row, in which nothing differs; at most {LEVEL:.0%} with a verdict\n"
        f"{'kernel sizes':>12} {'false verdicts':>20}"
    )
    found = {kernels: level(kernels, count) for kernels in KERNELS}
    for kernels, one in found.items():
        print(f"{kernels:12} {one.false:13.1%} ± {one.error:.1%}")
    return sum(not one.holds for one in found.values())


if __name__ == "__main__":
    sys.exit(main(1000))
