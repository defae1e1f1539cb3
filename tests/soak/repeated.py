"""Do intervals hold in the next run, and does ``compare`` find what is, and only that? A table.

One small sweep is run again and again by the real command. The interval of each median, and of each
n*, should have the median of all runs. Two runs that follow each other are the same code, so that
``compare`` should find no cell slower or faster; and the second with its times multiplied by 1.1 is
slower in all of them.

    python tests/soak/repeated.py [RUNS]
"""

from __future__ import annotations

import collections
import itertools
import logging
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from convcross.analysis.compare.compare import Comparison, compare
from convcross.analysis.crossover.crossover import of_results
from convcross.analysis.load import load
from convcross.results.reader import reading
from convcross.results.schema import dump
from soak.sweeping import start
from soak.table import Row, note, show

RUNS = 21
COVERED, WIDTH = 0.9, 0.1
FALSE, FOUND, SLOWED = 0.01, 0.9, 1.1
LIMIT = 300  # seconds a run
TOML = """
sizes = [256]
kernels = "3:15:2"
contenders = ["direct/numpy", "fft/numpy", "direct/torch", "fft/torch"]
launches = 3
[limits]
seconds = 0.3
"""
CONVCROSS = "from convcross.cli.app import main; main()"


def runs(folder: Path, count: int) -> list[Path]:
    """The files of so many runs."""
    paths = []
    for number in range(count):
        note(f"run {number + 1} of {count}")
        name = f"{number:02}.jsonl"
        process = start(folder, toml=TOML, out=name, driver=CONVCROSS)
        try:
            _, err = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        if process.returncode != 0:
            raise RuntimeError(err)
        paths.append(folder / name)
    return paths


def slowed(path: Path) -> Path:
    """A copy of the file whose runs took SLOWED times as long."""
    beside = path.with_name(f"slowed-{path.name}")
    with reading(path) as reader:
        content = dump([reader.header])
        for records, footer in reader:
            for record in records:
                times = record.phase_seconds
                times["run"] = [SLOWED * seconds for seconds in times.get("run", [])]
            content += dump([*records, footer])
    beside.write_bytes(content)
    return beside


def coverage(paths: list[Path]) -> Iterator[Row]:
    medians = collections.defaultdict(list)
    crossings = collections.defaultdict(list)
    for path in paths:
        results = load([path])
        for row in results.frame[results.frame["usable"]].to_dict("records"):
            medians[row["contender"], row["n"]].append((row["seconds"], row["low"], row["high"]))
        for found in of_results(results):
            if found.kind != "floor" and found.verdict == "crosses":
                assert found.n_star is not None
                if found.low is not None and found.high is not None:
                    crossings[found.pair].append((found.n_star, found.low, found.high))
    for what, cells in (("medians", medians), ("n*", crossings)):
        covered = [
            low <= np.median([middle for middle, _, _ in own]) <= high
            for own in cells.values()
            for _, low, high in own
        ]
        share = sum(covered) / max(1, len(covered))
        yield Row(
            f"{what} of {len(paths)} runs: intervals that have the median of all",
            f"{sum(covered)} of {len(covered)}",
            f"≥ {COVERED:.0%}",
            share >= COVERED,
        )
    widths = [math.sqrt(high / low) - 1 for own in crossings.values() for _, low, high in own]
    width = float(np.median(widths or [np.inf]))
    yield Row("n*: median half width", f"{width:.1%}", f"≤ {WIDTH:.0%}", width <= WIDTH)


def share(found: list[Comparison], verdict: str) -> float:
    cells = [cell.verdict for one in found for cell in one.cells if cell.ratio is not None]
    return cells.count(verdict) / max(1, len(cells))


def comparisons(paths: list[Path]) -> Iterator[Row]:
    pairs = list(itertools.pairwise(paths))
    same = [compare(a, b) for a, b in pairs]
    for verdict in ("slower", "faster"):
        false = share(same, verdict)
        what = f"cells of {len(pairs)} pairs of runs of the same code called {verdict}"
        yield Row(what, f"{false:.2%}", f"≤ {FALSE:.0%}", false <= FALSE)
    planted = share([compare(a, slowed(b)) for a, b in pairs], "slower")
    yield Row(
        "cells slower by 10 % that are found", f"{planted:.0%}", f"≥ {FOUND:.0%}", planted >= FOUND
    )


def rows(count: int) -> Iterator[Row]:
    logging.getLogger("convcross").setLevel(logging.ERROR)  # what is missing of one image size
    with tempfile.TemporaryDirectory() as name:
        paths = runs(Path(name), count)
        yield from coverage(paths)
        yield from comparisons(paths)


if __name__ == "__main__":
    sys.exit(show(rows(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS)))
