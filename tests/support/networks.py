"""Networks that have learned, planted, and results files of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convcross.analysis.claims import learning
from convcross.results.schema import Learned, dump
from support import synthetic

FILTER = [[0.0, 0.5, 1.0], [0.0, -0.5, 0.0], [0.0, 0.0, -1.0]]


def planted(seeds: int = 3, **changed: Any) -> list[Learned]:
    """Of which the sentence holds, but for what is changed in "rotated"."""
    found = []
    for dtype, roundoff in learning.ROUNDOFFS.items():
        for seed in range(seeds):
            for network in learning.NETWORKS:
                fields: dict[str, Any] = {
                    "accuracy": [0.5, 0.90 + 0.01 * seed],
                    "apart": [0.0, 10 * roundoff, 100 * roundoff],
                    "filters": [FILTER, FILTER[::-1]],
                }
                fields |= changed if network == "rotated" else {}
                one = Learned(
                    network=network, dtype=dtype, seed=seed, steps=100, loss=[2.0, 1.0], **fields
                )
                found.append(one)
    return found


def write(path: Path, found: Sequence[Learned]) -> Path:
    """A file of them alone."""
    path.write_bytes(dump([synthetic.header(), *found]))
    return path
