"""Who is measured where: each problem of a calibration by those that may be among its fastest.

Contenders race within their namespace, as a call stays in it. All run the first, small problems;
later a contender is left out where its floor, or the least that its own times so far allow, is
above MARGIN times what the fastest is predicted to take. So slow ones cost no time, and those that
can win have their samples where they can.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterable, Mapping

from convcross.advice import fit
from convcross.advice.trials import Times
from convcross.sweeps.contenders import Contender
from convkernels import Problem
from convkernels.prediction import CostModel
from convkernels.registry import Cost

MARGIN = 1.3
# A contender of few samples may be so much faster than predicted, one of SEVERAL so much.
HOPE, SEVERAL, LESS_HOPE = 2.5, 6, 1.3
LONGEST = 0.15  # seconds of a call of a contender that is measured
GROWTH = 1.25  # more samples, after which a model is made anew

Floor = Callable[[Contender, Problem], float]


@dataclasses.dataclass
class Entry:
    """What is measured of one contender.

    Attributes
    ----------
    problems, costs, times : of each sample
    nearest : least warm time over that of the fastest of its namespace, of all problems
    lost : that reason for which it is in the race no more
    """

    contender: Contender
    problems: list[Problem] = dataclasses.field(default_factory=list)
    costs: list[Cost] = dataclasses.field(default_factory=list)
    times: list[Times] = dataclasses.field(default_factory=list)
    nearest: float = float("inf")
    lost: str | None = None
    warm: CostModel | None = None
    first: CostModel | None = None
    _fitted: int = 0

    def takes(self, problem: Problem) -> bool:
        contender = self.contender
        refusal = contender.found.refuses(problem, contender.namespace, contender.device)
        return self.lost is None and refusal is None

    def cost(self, problem: Problem) -> Cost:
        return self.contender.found.cost(problem)

    def add(self, problem: Problem, times: Times) -> None:
        self.problems.append(problem)
        self.costs.append(self.cost(problem))
        self.times.append(times)
        if len(self.times) >= max(fit.LEAST, GROWTH * self._fitted):
            self._fitted = len(self.times)
            self.warm = self._model([times.warm for times in self.times], self.warm)
            self.first = self._model([times.first for times in self.times], self.first)

    def _model(self, seconds: list[float], before: CostModel | None) -> CostModel:
        few = self._fitted < 2 * SEVERAL  # later the length scales hardly change
        return fit.fit(self.problems, self.costs, seconds, warm=None if few else before)

    def expected(self, problem: Problem) -> tuple[float, float] | None:
        """Seconds of a warm call and of a first one; None while too little is known."""
        if self.warm is None or self.first is None:
            return None
        cost = self.cost(problem)
        return self.warm.predict(problem, cost).seconds, self.first.predict(problem, cost).seconds


class Race:
    """The contenders of a device.

    Parameters
    ----------
    floor : the least seconds of a run, 0 where that is not known
    """

    def __init__(self, contenders: Iterable[Contender], floor: Floor) -> None:
        self.entries = {contender: Entry(contender) for contender in contenders}
        self.floor = floor

    def hopeful(self, problem: Problem) -> list[Contender]:
        """Those that take the problem and may be among the fastest of their namespace."""
        there: dict[str, list[Entry]] = collections.defaultdict(list)
        for entry in self.entries.values():
            if entry.takes(problem):
                there[entry.contender.namespace].append(entry)
        return [
            entry.contender
            for entries in there.values()
            for entry in self._hopeful(entries, problem)
        ]

    def _hopeful(self, entries: list[Entry], problem: Problem) -> list[Entry]:
        expected = {id(entry): entry.expected(problem) for entry in entries}
        known = [seconds for seconds in expected.values() if seconds is not None]
        if not known:
            return entries
        best = min(warm for warm, _ in known), min(first for _, first in known)
        if best[0] > LONGEST:
            return []

        def may_win(entry: Entry) -> bool:
            seconds = expected[id(entry)]
            least = self.floor(entry.contender, problem)
            if seconds is None:
                return least <= MARGIN * best[0]
            hope = HOPE if len(entry.times) < SEVERAL else LESS_HOPE
            return seconds[1] <= LONGEST and any(
                max(least, one / hope) <= MARGIN * fastest
                for one, fastest in zip(seconds, best, strict=True)
            )

        return [entry for entry in entries if may_win(entry)]

    def add(self, problem: Problem, times: Mapping[Contender, Times]) -> None:
        """What was measured of a problem."""
        for contender, found in times.items():
            entry = self.entries[contender]
            rivals = [
                rival.warm
                for other, rival in times.items()
                if other.namespace == contender.namespace
            ]
            entry.nearest = min(entry.nearest, found.warm / min(rivals))
            entry.add(problem, found)
