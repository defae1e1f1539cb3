"""Do the intervals of fitted exponents cover the planted ones? Prints a table.

Cells of known cost, a + b·n^p·N^q or a + c·M²·log2 M, are measured with the noise of
tests/proofs/medians.py (each cell the median of 12 samples of a stream), and fitted. Run by
``make proofs``; a short version is a test.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from convcross.analysis.claims.model import (
    Estimate,
    Fit,
    error_growth,
    power_law,
    transform_law,
    work,
)
from proofs.medians import STREAMS, Stream

SAMPLES = 12
NEEDED = 0.93
EXPONENTS = ("p", "q", "e", "f")
SIZES = (128, 256, 512, 1024)
KERNELS = (3, 5, 7, 9, 11, 15, 21, 31)


@dataclass(frozen=True)
class Law:
    """A law, the planted values by name, and how to read their estimates off a fit."""

    name: str
    cost: Callable[[pd.DataFrame], pd.Series]
    fit: Callable[[pd.DataFrame], Fit]
    truth: dict[str, float]

    def estimates(self, fit: Fit) -> dict[str, Estimate]:
        found = dict(zip(self.truth, fit.exponents, strict=False))
        for name, value in (("a", fit.constant), ("c", fit.factor)):
            if name in self.truth:
                assert value is not None
                found[name] = value
        return found


def _power(p: float, q: float, a: float, b: float = 1e-10) -> Law:
    """``a`` in seconds; b·3^p·128^q is some 15 µs for p = q = 2."""
    truth = {"p": p, "q": q, **({"a": a} if a else {})}
    name = f"{a * 1e6:g} µs + b·n^{p:g}·N^{q:g}"
    return Law(name, lambda cells: a + b * cells["n"] ** p * cells["N"] ** q, power_law, truth)


def _transform(a: float, c: float = 1e-10) -> Law:
    return Law(
        f"{a * 1e6:g} µs + c·M²·log2 M",
        lambda cells: a + c * cells["work"],
        transform_law,
        {"c": c, **({"a": a} if a else {})},
    )


def _error(e: float, f: float) -> Law:
    return Law(
        f"error k·n^{e:g}·N^{f:g}",
        lambda cells: 5e-8 * cells["n"] ** e * cells["N"] ** f,
        error_growth,
        {"e": e, "f": f},
    )


LAWS = [
    _power(2, 2, 0),
    _power(2, 2, 15e-6),
    _power(2, 2, 300e-6),
    _power(1.7, 2.2, 50e-6),
    _power(0.05, 2.15, 0, b=2e-9),
    _transform(0),
    _transform(100e-6),
    _error(0.5, 0.0),
    _error(0.0, 0.1),
]


def grid() -> pd.DataFrame:
    """The cells of a sweep as ``model.measured`` has them, times left out."""
    places = [(N, n) for N in SIZES for n in KERNELS]
    cells = pd.DataFrame(places, columns=["N", "n"]).assign(contender="one/numpy", family="direct")
    padded = 2.0 * ((cells["N"] + cells["n"] // 2 + 7) // 8 * 4)
    return cells.assign(M=padded, work=work(padded))


def measured(law: Law, stream: Stream, rng: np.random.Generator) -> pd.DataFrame:
    """The law's cells, each the median of samples of the stream."""
    cells = grid()
    noise = [np.median(stream.draw(rng)[:SAMPLES]) for _ in range(len(cells))]
    column = "error" if law.fit is error_growth else "seconds"
    return cells.assign(**{column: law.cost(cells) * noise})


def coverage(law: Law, stream: Stream, trials: int, seed: int = 0) -> dict[str, float]:
    """Name → share of trials whose interval covers the planted value."""
    rng = np.random.default_rng(seed)
    centre = np.median([np.median(stream.draw(rng)[:SAMPLES]) for _ in range(1000)])
    covered = dict.fromkeys(law.truth, 0)
    for _ in range(trials):
        estimates = law.estimates(law.fit(measured(law, stream, rng)))
        for name, truth in law.truth.items():
            # The stream's own centre is part of what is true of seconds.
            covered[name] += estimates[name].covers(truth * (1 if name in EXPONENTS else centre))
    return {name: count / trials for name, count in covered.items()}


def main(trials: int) -> int:
    """The share of each law over all noises, and of each noise over all laws."""
    shares = {
        (law.name, stream.name): coverage(law, stream, trials, seed)
        for law in LAWS
        for seed, stream in enumerate(STREAMS)
    }
    print(f"{'planted law':34} share of {trials * len(STREAMS)} intervals that cover")
    failed = 0
    for law in LAWS:
        found = {
            name: np.mean([shares[law.name, stream.name][name] for stream in STREAMS])
            for name in law.truth
        }
        failed += any(found[name] < NEEDED for name in found if name in EXPONENTS)
        print(f"{law.name:34} {'  '.join(f'{name} {share:.1%}' for name, share in found.items())}")
    print(f"\n{'noise':44} of all exponents; at least {NEEDED:.0%}")
    for stream in STREAMS:
        own = [shares[law.name, stream.name] for law in LAWS]
        share = np.mean([one[name] for one in own for name in one if name in EXPONENTS])
        failed += bool(share < NEEDED)
        print(f"{stream.name:44} {share:.1%}")
    return failed


if __name__ == "__main__":
    sys.exit(main(100))
