"""Who is measured where: each problem of a calibration by those that may be among its fastest.

Contenders race within their namespace, as a call stays in it. All run the first, small problems;
later a contender is left out where its floor, or the least that its own times so far allow, is
above MARGIN times what the fastest is predicted to take. So slow ones cost little time, those that
can win have their samples where they can, and one that is little known has a chance: what it is
predicted to take is lowered by the ignorance of few samples, as in upper confidence bounds (Auer,
Cesa-Bianchi & Fischer 2002, Machine Learning 47).

A gradient that a contender solves as a forward problem is a sample of its forward code; one that it
has code of its own for is told apart.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Set

from convcross.advice import fit
from convcross.advice.trials import Times
from convcross.sweeps.contenders import Contender
from convkernels import Problem
from convkernels.prediction import CostModel, Prediction
from convkernels.registry import Cost

MARGIN = 1.2
SCOUTED = 20  # problems of a direction on a namespace, after which some are done without
SPARED = 0.01  # mean log loss for which contenders are done without
UNMEASURED = 3.0  # times the fastest's time, of a problem on which none of those kept was measured
HOPE = 10.0  # a contender of n samples may be 1 + HOPE/n times as fast as predicted
FEW = 12  # samples, up to which a model's length scales are found anew
LONGEST = 0.06  # seconds of a call of a contender that is measured
# A call is begun that would take no more seconds at the slowest rate of those that did at least
# such a share of its arithmetic: what a contender is predicted to take of far larger problems than
# it has run may be wrong by any factor, and a call cannot be stopped.
PATIENCE, STEP = 0.5, 1 / 64
UNKNOWN = 1e-8  # seconds of a FLOP or a byte of a contender that has not run
GROWTH = 1.25  # more samples, after which a model is made anew

Floor = Callable[[Contender, Problem], float]


@dataclasses.dataclass
class Samples:
    """What is measured of one contender's code for one direction.

    Attributes
    ----------
    problems, costs, times : of each sample; a problem as that code is given it
    _rates : work of each sample, and seconds of a unit of it
    """

    problems: list[Problem] = dataclasses.field(default_factory=list)
    costs: list[Cost] = dataclasses.field(default_factory=list)
    times: list[Times] = dataclasses.field(default_factory=list)
    warm: CostModel | None = None
    first: CostModel | None = None
    _fitted: int = 0
    _rates: list[tuple[float, float]] = dataclasses.field(default_factory=list)

    def slowest(self, cost: Cost) -> float:
        """Seconds of a call at the slowest rate of its kind."""
        work = _work(cost)
        alike = [rate for done, rate in self._rates if done >= STEP * work]
        if not alike and self._rates:
            alike = [max(self._rates)[1]]  # of the most work that was done
        return work * max(alike, default=UNKNOWN)

    def add(self, problem: Problem, cost: Cost, times: Times) -> None:
        self.problems.append(problem)
        self.costs.append(cost)
        self.times.append(times)
        work = _work(cost)
        self._rates.append((work, times.first / work))
        if len(self.times) >= max(fit.LEAST, GROWTH * self._fitted):
            self._fitted = len(self.times)
            self.warm = self._model([times.warm for times in self.times], self.warm)
            self.first = self._model([times.first for times in self.times], self.first)

    def _model(self, seconds: list[float], before: CostModel | None) -> CostModel:
        few = self._fitted < FEW  # later the length scales hardly change
        return fit.fit(self.problems, self.costs, seconds, warm=None if few else before)

    def expected(self, problem: Problem, cost: Cost) -> tuple[Prediction, Prediction] | None:
        """Of a warm call and of a first one; None while too little is known."""
        if self.warm is None or self.first is None:
            return None
        return self.warm.predict(problem, cost), self.first.predict(problem, cost)


@dataclasses.dataclass
class Entry:
    """One contender.

    Attributes
    ----------
    passes : by the direction that its own code computes
    nearest : least warm time over that of the fastest of its namespace, of all problems
    lost : that reason for which it is in the race no more
    spare : directions asked in which others are as fast wherever it is: it is in their race no more
    """

    contender: Contender
    passes: dict[str, Samples] = dataclasses.field(default_factory=dict)
    nearest: float = float("inf")
    lost: str | None = None
    spare: set[str] = dataclasses.field(default_factory=set)

    @property
    def count(self) -> int:
        """Of samples."""
        return sum(len(samples.times) for samples in self.passes.values())

    def samples(self, problem: Problem) -> Samples:
        """Those of the code that computes the problem."""
        direction = self.contender.found.own_direction(problem.direction)
        return self.passes.setdefault(direction, Samples())

    def takes(self, problem: Problem) -> bool:
        contender = self.contender
        if self.lost is not None or problem.direction in self.spare:
            return False
        refusal = contender.found.refuses(problem, contender.namespace, contender.device)
        return refusal is None and self.samples(problem).slowest(self.cost(problem)) <= PATIENCE

    def cost(self, problem: Problem) -> Cost:
        return self.contender.found.cost(problem)

    def add(self, problem: Problem, times: Times) -> None:
        solved = self.contender.found.solved(problem)
        self.samples(problem).add(solved, self.cost(problem), times)

    def expected(self, problem: Problem) -> tuple[Prediction, Prediction] | None:
        """As that of ``Samples``."""
        solved = self.contender.found.solved(problem)
        return self.samples(problem).expected(solved, self.cost(problem))


def _work(cost: Cost) -> float:
    """FLOP and bytes of a call."""
    return max(1.0, cost.flops + cost.bytes + cost.once_flops + cost.once_bytes)


def _loss(found: Collection[Mapping[Contender, float]], kept: Set[Contender]) -> float:
    """Mean log loss of the fastest of those kept, over problems with their measured times."""
    lost = 0.0
    for seconds in found:
        left = [seconds[one] for one in seconds.keys() & kept]
        over = min(left) / min(seconds.values()) if left else UNMEASURED
        lost += math.log(min(over, UNMEASURED))
    return lost / len(found)


class Race:
    """The contenders of a device.

    Parameters
    ----------
    floor : the least seconds of a run, 0 where that is not known
    """

    def __init__(self, contenders: Iterable[Contender], floor: Floor) -> None:
        self.entries = {contender: Entry(contender) for contender in contenders}
        self.floor = floor
        # Warm seconds of each problem, by namespace and direction.
        self._measured: dict[tuple[str, str], list[dict[Contender, float]]] = (
            collections.defaultdict(list)
        )
        self._settled: set[tuple[str, str]] = set()

    def takers(self, problem: Problem) -> list[Contender]:
        """Those still in the race that take the problem."""
        return [entry.contender for entry in self.entries.values() if entry.takes(problem)]

    def hopeful(self, problem: Problem) -> list[Contender]:
        """Of those the ones that may be among the fastest of their namespace."""
        there: dict[str, list[Entry]] = collections.defaultdict(list)
        for contender in self.takers(problem):
            there[contender.namespace].append(self.entries[contender])
        return [
            entry.contender
            for entries in there.values()
            for entry in self._hopeful(entries, problem)
        ]

    def _hopeful(self, entries: list[Entry], problem: Problem) -> list[Entry]:
        expected = {id(entry): entry.expected(problem) for entry in entries}
        known = [pair for pair in expected.values() if pair is not None]
        if not known:
            return entries
        best = min(warm.seconds for warm, _ in known), min(first.seconds for _, first in known)
        if best[0] > LONGEST:
            return []

        def may_win(entry: Entry) -> bool:
            pair = expected[id(entry)]
            least = self.floor(entry.contender, problem)
            if pair is None:
                return least <= MARGIN * best[0]
            hope = 1 + HOPE / len(entry.samples(problem).times)
            return pair[1].seconds <= LONGEST and any(
                max(least, min(one.low, one.seconds / hope)) <= MARGIN * fastest
                for one, fastest in zip(pair, best, strict=True)
            )

        return [entry for entry in entries if may_win(entry)]

    def settle(self) -> None:
        """Go on, in each direction of which SCOUTED problems are known, with those contenders alone
        that together are as fast as all, but for SPARED; once.

        One after the other the contender that is missed least goes, as in backward elimination: to
        choose between fewer is to err less, and their samples are more.
        """
        for (namespace, direction), found in self._measured.items():
            if (namespace, direction) in self._settled or len(found) < SCOUTED:
                continue
            self._settled.add((namespace, direction))
            kept = {
                contender
                for contender, entry in self.entries.items()
                if contender.namespace == namespace
                and entry.lost is None
                and any(contender in seconds for seconds in found)
            }
            while len(kept) > 1:
                losses = {one: _loss(found, kept - {one}) for one in sorted(kept)}
                least = min(losses, key=lambda one: losses[one])
                if losses[least] > SPARED:
                    break
                kept.remove(least)
                self.entries[least].spare.add(direction)

    def add(self, problem: Problem, times: Mapping[Contender, Times]) -> None:
        """What was measured of a problem."""
        there: dict[str, dict[Contender, float]] = collections.defaultdict(dict)
        for contender, found in times.items():
            there[contender.namespace][contender] = found.warm
        for namespace, seconds in there.items():
            self._measured[namespace, problem.direction].append(seconds)
        for contender, found in times.items():
            entry = self.entries[contender]
            best = min(there[contender.namespace].values())
            entry.nearest = min(entry.nearest, found.warm / best)
            entry.add(problem, found)
