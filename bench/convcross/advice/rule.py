"""A rule that others can copy: a small decision tree over sizes, with its loss.

It is grown on predicted times of problems that fill the space (``design``): each leaf takes the
contender of the least mean log loss, each split lowers that mean most (Breiman et al. 1984,
Classification and Regression Trees, chapter 2, with costs of misclassification), as long as it
lowers it by GAIN. What it is worth is told on problems that were held out and measured.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from convcross.advice import design
from convcross.advice.weights import Weights
from convcross.advice.worth import Loss, loss
from convcross.errors import BadInput
from convkernels import Problem
from convkernels.calibration import Calibration
from convkernels.discovery import find

PROBLEMS, SEED = 1500, 101  # that the tree is grown on
LEAVES = 6  # at most: ten lines
GAIN = 0.002  # of the mean log loss
FEWEST = 15  # problems of a leaf
REFUSED = math.log(1e3)  # log loss of a contender that does not take the problem

Array = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Leaf:
    """Where this contender is taken."""

    contender: str


@dataclasses.dataclass(frozen=True)
class Split:
    """``below`` where the feature is less than the bound, else ``above``."""

    feature: str
    bound: float
    below: Leaf | Split
    above: Leaf | Split


Node = Leaf | Split


@dataclasses.dataclass(frozen=True)
class Rule:
    """The tree.

    Attributes
    ----------
    direction : of the problems that it is for
    loss : on problems that were held out
    """

    tree: Node
    among: tuple[str, ...]
    direction: str
    loss: Loss


def sizes(problem: Problem) -> dict[str, float]:
    """What a rule asks, as Python and C write it: N and n are sides of squares of the same area,
    channels and filters those of a group; what an output sums, and how it is shared."""
    N, n = math.sqrt(math.prod(problem.image)), math.sqrt(math.prod(problem.kernel))
    channels = problem.in_channels / problem.groups
    filters = problem.out_channels / problem.groups
    return {
        "N": N,
        "n": n,
        "batch": problem.batch,
        "channels": channels,
        "filters": filters,
        "groups": problem.groups,
        "N / n": N / n,
        "channels * n * n": channels * n * n,
        "channels * filters": channels * filters,
    }


def take(tree: Node, problem: Problem) -> str:
    """The contender that the rule names."""
    known = sizes(problem)
    while isinstance(tree, Split):
        tree = tree.below if known[tree.feature] < tree.bound else tree.above
    return tree.contender


def grow(
    known: Calibration, among: list[str], counted: Weights, direction: str = "forward"
) -> Rule:
    """The rule for these contenders of the calibration, in a direction that it knows of them.

    Raises BadInput where there is none.
    """
    if not among:
        raise BadInput(
            f"no contender of the calibration is chosen; allowed: those that it has of {direction}"
        )
    problems = list(itertools.islice(design.problems(SEED, design.KINDS[direction]), PROBLEMS))
    lost = _losses(known, problems, among, counted)
    some = np.flatnonzero(lost.min(axis=1) < REFUSED)
    at = {name: np.array([sizes(problems[k])[name] for k in some]) for name in sizes(problems[0])}
    tree = _grown(at, lost[some], among)
    held_out = [held for held in known.held_out if held.problem.direction == direction]
    return Rule(
        tree,
        tuple(among),
        direction,
        loss(lambda problem, _: take(tree, problem), held_out, among, counted),
    )


def _losses(
    known: Calibration, problems: list[Problem], among: list[str], counted: Weights
) -> Array:
    """(problems, contenders) log of predicted seconds over the fastest's; REFUSED at most."""
    logs = np.full((len(problems), len(among)), np.inf)
    for column, name in enumerate(among):
        algorithm, _, namespace = name.partition("/")
        rows = [
            row
            for row, problem in enumerate(problems)
            if find(algorithm).refuses(problem, namespace, known.key.device) is None
        ]
        fit, direction = known.contenders[name], problems[0].direction
        tables = fit.predict_many(find(algorithm), [problems[row] for row in rows], direction)
        seconds = sum(weight * table[:, 0] for weight, table in zip(counted, tables, strict=True))
        logs[rows, column] = np.log(seconds)
    best = logs.min(axis=1, keepdims=True)
    best[~np.isfinite(best)] = 0.0
    lost: Array = np.minimum(logs - best, REFUSED)
    return lost


def _grown(at: Mapping[str, Array], lost: Array, among: list[str]) -> Node:
    """The tree: the leaf whose best split gains most is split next."""
    root = _Growing(np.arange(len(lost)), at, lost)
    leaves = [root]
    while len(leaves) < LEAVES:
        chosen = max(leaves, key=lambda leaf: leaf.gain)
        if chosen.gain < GAIN * len(lost):
            break
        leaves.remove(chosen)
        leaves += chosen.divide(at, lost)
    return root.node(among)


class _Growing:
    """A leaf with its best split, and its parts once it is divided."""

    def __init__(self, rows: npt.NDArray[np.intp], at: Mapping[str, Array], lost: Array) -> None:
        self.rows = rows
        self.parts: tuple[_Growing, ...] = ()
        sums = lost[rows].sum(axis=0)
        self.best, self.gain = int(sums.argmin()), 0.0
        self.feature, self.bound = "", 0.0
        for feature, values in at.items():
            order = rows[np.argsort(values[rows], kind="stable")]
            ordered = values[order]
            below = np.cumsum(lost[order], axis=0)
            cuts = np.flatnonzero(np.diff(ordered) > 0) + 1
            cuts = cuts[(cuts >= FEWEST) & (cuts <= len(rows) - FEWEST)]
            if not len(cuts):
                continue
            gains = sums.min() - below[cuts - 1].min(axis=1) - (sums - below[cuts - 1]).min(axis=1)
            cut = int(cuts[gains.argmax()])
            if gains.max() > self.gain:
                self.gain, self.feature = float(gains.max()), feature
                self.bound = _round(ordered[cut - 1], ordered[cut])

    def divide(self, at: Mapping[str, Array], lost: Array) -> tuple[_Growing, ...]:
        below = at[self.feature][self.rows] < self.bound
        self.parts = (_Growing(self.rows[below], at, lost), _Growing(self.rows[~below], at, lost))
        return self.parts

    def node(self, among: list[str]) -> Node:
        if not self.parts:
            return Leaf(among[self.best])
        below, above = (part.node(among) for part in self.parts)
        return below if below == above else Split(self.feature, self.bound, below, above)


def _round(low: float, high: float) -> float:
    """The bound of fewest digits that is above the one and no higher than the other."""
    middle = math.sqrt(low * high)
    for digits in range(1, 6):
        bound = float(f"{middle:.{digits}g}")
        if low < bound <= high:
            return bound
    return high
