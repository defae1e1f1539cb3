"""A line of a sweep's grid: its duels, and what their records tell a search.

A contender is left out of a cell where it was significantly more than CLEARLY slower than the best
of its side, or failed, in the next cells below and above that it took part in: between two such
cells it does not come to stand for its family. Where there is no such cell on one side, all take
part.

A cell whose first look was not clear, or that came to lie beside n*, is measured anew, as a duel of
its own: the analysis takes the newest records.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Sequence

import numpy as np

from convcross.analysis.crossover.curves import DRAWS, SEED
from convcross.analysis.crossover.sides import representative
from convcross.analysis.crossover.verdict import TIE
from convcross.results.schema import Record
from convcross.run.search.strategy import Answer
from convcross.stats import simultaneous
from convcross.stats.bootstrap import Array, Samples, in_rounds, log_ratio
from convcross.stats.confidence import CONFIDENCE
from convcross.stats.percentile import interval
from convcross.sweeps.contenders import Contender
from convcross.sweeps.duels import Duel

FIRST_LOOK = 8  # samples
CLEARLY = 2.0  # times slower

Sides = tuple[list[Contender], list[Contender]]  # contenders of A and of B


def times(records: Sequence[Record]) -> dict[str, Samples]:
    """Run samples of each contender that a crossover would use."""
    found = {}
    for record in records:
        if record.status == "ok" and not record.flags and record.phase_seconds.get("run"):
            kept = ~np.asarray(record.waited("run"))
            seconds = np.asarray(record.phase_seconds["run"])[kept]
            pacer = record.telemetry.pacer_ratio or 1.0
            found[record.contender] = in_rounds(seconds / pacer, np.asarray(record.rounds)[kept])
    return found


def representing(records: Sequence[Record], side: Sequence[str]) -> Samples | None:
    """Samples of the representative of a side (``sides.representative``), if any was timed."""
    found = times(records)
    there = {name: found[name] for name in side if name in found}
    return representative(there)[1] if there else None


def compare(records: Sequence[Record], sides: Sides, duel: Duel, cells: int) -> Answer | None:
    """What the records of one of so many cells tell; None where the sides cannot be compared.

    A side whose runs would outlast the limit counts as slower by what the limit shows. That steers
    the search only: no crossover is made of it.
    """
    a, b = (representing(records, side) for side in sides)
    if a is not None and b is not None:
        found = log_ratio(a, b, DRAWS, np.random.default_rng(SEED))
        ratio = found.point
        # As strict as the analysis of the whole grid is with each of its cells.
        (sign,) = simultaneous.signs(
            np.array([ratio]),
            found.replicates[None],
            np.array([min(len(a), len(b))], dtype=float),
            cells=cells,
            error=1 - CONFIDENCE,
        )
        return Answer(ratio, int(sign) if abs(ratio) >= TIE else 0)
    for sign, timed, missing in ((1, b, sides[0]), (-1, a, sides[1])):
        late = [
            record
            for record in records
            if record.contender in missing and record.status == "timeout"
        ]
        if timed is not None and late:
            limit = min(duel.limits.longest_run(record.device) for record in late)
            least = math.log(limit) - timed.middle
            if least >= TIE:
                return Answer(sign * least, sign)
    return None


def beaten(records: Sequence[Record], sides: Sides) -> set[str]:
    """Contenders that failed, or were significantly more than CLEARLY slower than the best of
    their side."""
    found = times(records)
    lost = {record.contender for record in records if record.status != "ok"}
    for side in sides:
        there = [name for name in side if name in found]
        best = min(there, key=lambda name: found[name].middle, default=None)
        for name in there:
            rng = np.random.default_rng(SEED)
            if best is not None and name != best:
                replicates = log_ratio(found[name], found[best], DRAWS, rng).replicates
                if interval(replicates)[0] > math.log(CLEARLY):
                    lost.add(name)
    return lost


class GridLine:
    """A line's duels, and what was measured of them.

    Parameters
    ----------
    fixed : the size that its cells share
    conditions : what lines must share to be compared
    sizes : (K,) the other size, ascending
    cells : (K,) duels of all contenders of both sides
    sides : contenders of A and of B
    """

    def __init__(
        self,
        fixed: int,
        conditions: str,
        sizes: list[int],
        cells: list[Duel],
        sides: Sides,
    ) -> None:
        self.fixed, self.conditions, self.sizes = fixed, conditions, sizes
        self.cells, self.sides = cells, sides
        self.declared = _trend(sizes, [_declared(cell, sides) for cell in cells])
        self.looks, self.spent = 0, 0.0
        self._records: dict[int, list[Record]] = {}  # the newest of each place
        self._beaten: dict[int, set[str]] = {}
        self._answers: dict[int, Answer | None] = {}
        self._seconds: dict[int, float] = {}  # of the longest look at each place

    def duel(self, place: int, closely: bool) -> Duel:
        """The duel of a look at a place."""
        cell, again = self.cells[place], place in self._records
        limits = cell.limits
        if not closely:
            few = min(FIRST_LOOK, limits.samples)
            limits = limits.model_copy(update={"samples": few})
        return cell.model_copy(
            update={
                "id": f"{cell.id}+2" if again else cell.id,
                "contenders": self._worth_measuring(place),
                "limits": limits,
                "profiled": cell.profiled and not again,
            }
        )

    def _worth_measuring(self, place: int) -> list[str]:
        out = {
            name
            for name in self.cells[place].contenders
            if self._beaten_next(name, place, range(place, -1, -1))
            and self._beaten_next(name, place, range(place, len(self.sizes)))
        }
        # A side that failed as a whole is asked again.
        kept = {name for side in self.sides for name in set(side) - out or side}
        return [name for name in self.cells[place].contenders if name in kept]

    def _beaten_next(self, name: str, place: int, others: range) -> bool:
        """Whether it was beaten in the next of the other places that it took part in."""
        for other in others:
            if any(record.contender == name for record in self._records.get(other, ())):
                return name in self._beaten[other]
        return False

    def record_result(self, place: int, records: list[Record], seconds: float) -> None:
        """What a look at a place gave, and how long it took."""
        self._records[place] = records
        self._beaten[place] = beaten(records, self.sides)
        self._answers[place] = compare(records, self.sides, self.cells[place], len(self.cells))
        self._seconds[place] = max(seconds, self._seconds.get(place, 0.0))
        self.looks += 1
        self.spent += seconds

    def bracket(self) -> list[int]:
        """Places looked at between which the answer lies, two on either side; the ends where all
        answers are alike, ties too."""
        decided = [place for place in sorted(self._answers) if self._sign(place)]
        last = [
            (left, right)
            for left, right in itertools.pairwise(decided)
            if self._sign(left) < 0 < self._sign(right)
        ][-1:]
        if not last:
            alike = decided or sorted(self._answers)
            return sorted({*alike[:1], *alike[-1:]})
        ((left, right),) = last
        at = decided.index(left)
        return sorted({*decided[max(at - 1, 0) : at + 3], left, right})

    def _sign(self, place: int) -> int:
        answer = self._answers[place]
        return 0 if answer is None else answer.sign

    def confirmation(self, place: int, launch: int) -> Duel:
        """The duel of a place in a later launch."""
        worth = {"contenders": self._worth_measuring(place)}
        return self.cells[place].model_copy(update=worth).relaunched(launch)

    def record_confirmation(self, seconds: float) -> None:
        """A duel of a later launch is done: it changes no answer of the search."""
        self.looks += 1
        self.spent += seconds

    def answer(self, place: int) -> Answer | None:
        return self._answers[place]

    def expected(self, before: GridLine | None) -> Array:
        """(K,) log ratios: as declared, corrected by what was measured on the line before."""
        if before is None or before.conditions != self.conditions:
            return self.declared
        known = {
            place: found for place, found in sorted(before._answers.items()) if found is not None
        }
        if not known:
            return self.declared
        sizes = [before.sizes[place] for place in known]
        errors = [answer.ratio - before.declared[place] for place, answer in known.items()]
        corrections: Array = np.interp(np.log(self.sizes), np.log(sizes), errors)
        return self.declared + corrections

    def grid_seconds(self) -> float:
        """Of all cells, interpolated from those measured: too few, as first looks are short."""
        places, logs = sorted(self._seconds), np.log(self.sizes)
        if not places:
            return 0.0
        seconds = np.log([max(self._seconds[place], 1e-9) for place in places])
        return float(np.exp(np.interp(logs, logs[places], seconds)).sum())


def _declared(cell: Duel, sides: Sides) -> float:
    """log(A/B) of the FLOP that the contenders declare."""
    problem = cell.problem
    flops = []
    for side in sides:
        costs = []
        for contender in side:
            with contextlib.suppress(Exception):  # a contender's own code: measuring it will tell
                costs.append(contender.found.cost(problem).flops)
        flops.append(max(1.0, min(costs, default=1.0)))
    return math.log(flops[0] / flops[1])


def _trend(sizes: Sequence[int], ratios: Sequence[float]) -> Array:
    """A parabola through the ratios over log(size): the steps of FFT costs with the padded size are
    smoothed, as a library may pad to other sizes."""
    logs = np.log(sizes)
    parabola = np.polyfit(logs, ratios, min(2, len(sizes) - 1))
    return np.asarray(np.polyval(parabola, logs), dtype=np.float64)
