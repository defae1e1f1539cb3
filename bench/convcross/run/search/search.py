"""A sweep's search for crossovers: which duel comes next, and what was found.

It measures nothing itself: it gives out duels and is told their records. Each line of the grid is
searched as ``strategy`` says, with the contenders of the two sides of a pair (``line``).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convcross.analysis.crossover.curves import Grid
from convcross.analysis.crossover.sides import Pair, Side
from convcross.analysis.crossover.verdict import Verdict, judge
from convcross.analysis.crossover.words import number
from convcross.analysis.load import CONDITIONS, load
from convcross.errors import BadInput
from convcross.results.schema import Record
from convcross.run.search.line import GridLine
from convcross.run.search.strategy import Strategy, strategy
from convcross.sweeps.contenders import Contender
from convcross.sweeps.duels import Duel, duels, of_first_launch
from convcross.sweeps.spec import Sweep

DENSE, FEW = range(3, 512, 2), 20  # kernels where a sweep has fewer
TYPICAL = 11  # looks at a line, before one is finished


def dense(sweep: Sweep) -> Sweep:
    """The sweep with all odd kernels from 3 to 511, where it has few and not more image sizes."""
    if not sweep.sizes or len(sweep.kernels) >= FEW or len(sweep.sizes) > len(sweep.kernels):
        return sweep
    return sweep.model_copy(update={"kernels": [n for n in DENSE if n <= max(sweep.sizes)]})


class Search:
    """Gives out the duels of a sweep's search; ``take`` tells it each one's records.

    Lines come from small to large, each as a whole, so that a search cut short has answers, and
    each starts from what the one before has told. Only one duel of a line is out at a time. Given
    back one after the other, the same records lead to the same duels.

    Parameters
    ----------
    sweep : its layers are passed over, and kernels larger than their image
    there : contenders; each device is searched by itself unless both sides name a device
    pair : (A, B), families or contenders, either with "@device"

    Raises
    ------
    BadInput
        A sweep of layers only, a side that no contender belongs to, or two equal sides.
    """

    def __init__(
        self,
        sweep: Sweep,
        there: Sequence[Contender],
        pair: Pair,
        algorithm_paths: Sequence[str] = (),
        ceilings: Mapping[str, dict[str, Any]] | None = None,
    ) -> None:
        if not sweep.sizes:
            raise BadInput(
                f"sweep {sweep.name!r}: it lists layers only; allowed with --find-crossover: a "
                "sweep with sizes and kernels"
            )
        self.pair, self.along = pair, "N" if len(sweep.sizes) > len(sweep.kernels) else "n"
        groups = [list(there)]
        if not all(Side.parse(name).device for name in pair):
            devices = dict.fromkeys(contender.device for contender in there)
            groups = [
                [contender for contender in there if contender.device == device]
                for device in devices
            ]
        cells: list[Duel] = []
        for size in sweep.sizes:
            kernels = [n for n in sweep.kernels if n <= size]
            part = sweep.model_copy(update={"sizes": [size], "kernels": kernels, "layers": []})
            for group in groups if kernels else ():
                suffix = f"@{group[0].device}" if len(groups) > 1 else ""
                cells += [
                    cell.model_copy(update={"id": cell.id + suffix})
                    for cell in duels(part, group, algorithm_paths, ceilings)
                ]
        if not cells:
            raise BadInput("kernels: all are larger than the images; allowed: n <= N")
        self.lines = self._lines(cells)
        self._steps: dict[int, Strategy] = {}  # of the lines begun, by their places
        self._finished: set[int] = set()
        self._out: dict[str, tuple[int, int]] = {}  # duel → its line, and its place on it
        self._launches, self._confirmations = sweep.launches, self._confirming()
        self._answered: dict[int, int] = {}  # line → the place whose answer it waits for

    def _lines(self, cells: list[Duel]) -> list[GridLine]:
        _check(self.pair, {name for cell in cells for name in cell.contenders})
        rows: dict[tuple[str, int], dict[int, Duel]] = {}
        for cell in cells:
            problem = cell.problem.to_json()
            N, n = problem.pop("image")[1], problem.pop("kernel")[1]
            fixed, size = (N, n) if self.along == "n" else (n, N)
            conditions = json.dumps([problem, cell.image_data, cell.kernel_data, cell.contenders])
            rows.setdefault((conditions, fixed), {})[size] = cell
        lines = []
        for (conditions, fixed), row in sorted(rows.items()):
            names = next(iter(row.values())).contenders
            a, b = ([name for name in names if _belongs(name, side)] for side in self.pair)
            if not a or not b:
                continue  # the other side is on another device
            both = {"contenders": [name for name in names if name in a + b]}
            sizes = sorted(row)
            duels_ = [row[size].model_copy(update=both) for size in sizes]
            lines.append(GridLine(fixed, conditions, sizes, duels_, (a, b)))
        if not lines:
            raise BadInput(
                f"pair is {','.join(self.pair)}, of which no device here has both sides; allowed: "
                "sides on one device, or both with @device"
            )
        return lines

    @property
    def contenders(self) -> list[str]:
        """Of any duel."""
        return sorted({name for cell in self.cells for name in cell.contenders})

    @property
    def cells(self) -> list[Duel]:
        """The whole grid."""
        return [cell for line in self.lines for cell in line.cells]

    def next(self) -> Duel | None:
        """The next duel; None where there is none, or none before another one's records."""
        busy = {line for line, _ in self._out.values()}
        for index, line in enumerate(self.lines):
            if index in busy or index in self._finished:
                continue
            try:
                place, closely = self._step(index)
            except StopIteration:
                self._finished.add(index)
                continue
            duel = line.duel(place, closely)
            self._out[duel.id] = index, place
            return duel
        return None if len(self._finished) < len(self.lines) else next(self._confirmations, None)

    def _confirming(self) -> Iterator[Duel]:
        """When all lines are searched, what their answers lie between, in each further launch."""
        for launch in range(2, self._launches + 1):
            for index, line in enumerate(self.lines):
                for place in line.bracket():
                    duel = line.confirmation(place, launch)
                    self._out[duel.id] = index, place
                    yield duel

    def _step(self, index: int) -> tuple[int, bool]:
        """The next look at a line. Raises StopIteration at its end."""
        line = self.lines[index]
        if index not in self._steps:
            before = self.lines[index - 1] if index else None
            self._steps[index] = strategy(line.sizes, line.expected(before))
            return next(self._steps[index])
        return self._steps[index].send(line.answer(self._answered.pop(index)))

    def record_result(self, duel_id: str, records: list[Record], seconds: float) -> None:
        """The records of a duel given out, and the seconds that it took."""
        index, place = self._out.pop(duel_id)
        if of_first_launch(duel_id) != duel_id:
            self.lines[index].record_confirmation(seconds)
            return
        self.lines[index].record_result(place, records, seconds)
        self._answered[index] = place

    def left(self) -> int:
        """An estimate of the looks left, at least one a line that is not finished."""
        finished = [self.lines[index] for index in self._finished]
        rest = [line for index, line in enumerate(self.lines) if index not in self._finished]
        typical = round(np.mean([line.looks for line in finished])) if finished else TYPICAL
        return sum(max(1, typical - line.looks) for line in rest)

    def summary(self, path: Path) -> list[str]:
        """What its results file tells of each line, and what it spent, in sentences."""
        begun = [line for line in self.lines if line.looks]
        if not begun:
            return []
        whole = {line.fixed: len(line.cells) for line in self.lines}
        shared, rows = "N", load([path]).grid
        if self.along == "N":
            shared, rows = "n", rows.rename(columns={"N": "n", "n": "N"})
        curves = list(Grid(rows, "steady", "time").curves(self.pair)) if len(rows) else []
        varied = [
            key for key in CONDITIONS if len({str(labels[key]) for labels, _, _ in curves}) > 1
        ]
        sentences = []
        for conditions, fixed, curve in curves:
            where = "".join(f", {conditions[key]}" for key in varied)
            # Image sizes have no end at which a grid could be called whole.
            verdict = judge(curve, fixed if self.along == "n" else sys.maxsize)
            sentences.append(
                f"{shared} = {fixed}{where}: {_sentence(verdict, self.pair, self.along)} "
                f"({len(curve.n)} of {whole[fixed]} cells)"
            )
        looks = sum(line.looks for line in begun)
        cells = sum(len(line.cells) for line in begun)
        spent, grid = sum(line.spent for line in begun), sum(line.grid_seconds() for line in begun)
        sentences.append(
            f"search: {looks} duels for a grid of {cells} cells ({looks / cells:.0%}); "
            f"{spent:.3g} s of the {grid:.3g} s or more that it would take ({spent / grid:.0%}, "
            "estimated from the cells measured)"
        )
        return sentences


def _sentence(verdict: Verdict, pair: Pair, along: str) -> str:
    a, b = pair
    several = ""
    if len(verdict.crossings) > 1 or (verdict.crossings and verdict.n_star is None):
        several = f" (they cross at {', '.join(map(number, verdict.crossings))})"
    low, high = (None if bound is None else number(bound) for bound in (verdict.low, verdict.high))
    if verdict.n_star is not None:
        return f"{b} overtakes {a} at {along} = {number(verdict.n_star)} [{low}, {high}]{several}"
    if verdict.verdict == "always":
        return f"{b} is faster than {a} at every {along} looked at"
    if verdict.verdict == "never":
        return f"{a} is faster than {b} up to the largest {along}"
    if verdict.verdict == "tie":
        return f"{b} and {a} do not differ significantly"
    if low is not None:
        return f"{b} overtakes {a} above {along} = {low}, if at all{several}"
    return f"{b} overtakes {a} at or below {along} = {high}"


def _belongs(contender: Contender, side_name: str) -> bool:
    side = Side.parse(side_name)
    if side.device not in (None, contender.device):
        return False
    return side.who in (contender.found.family, contender.short)


def _check(pair: Pair, contenders: set[Contender]) -> None:
    sides = [{contender for contender in contenders if _belongs(contender, side)} for side in pair]
    for name, side in zip(pair, sides, strict=True):
        if not side:
            families = sorted({contender.found.family for contender in contenders})
            raise BadInput(
                f"pair names {name!r}, to which no contender of the sweep belongs here; allowed: "
                f"{', '.join([*families, *sorted(contenders)])}"
            )
    if sides[0] == sides[1]:
        raise BadInput(
            f"pair is {','.join(pair)}: both sides are {' and '.join(sorted(sides[0]))}; allowed: "
            "two different sides"
        )
