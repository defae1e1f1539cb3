"""How well do fitted cost models predict problems that they have not seen? Prints two tables.

First contenders that are planted, with steps, thresholds, noise of 5 % and a tenth of the samples
disturbed: the error of a prediction, and how many of its intervals cover what would be measured,
undisturbed. Then recorded sweeps of real machines: a third of their problems is shown to the
fits; of the others, the same, and what it costs to take the contender that is predicted to be the
fastest. Run by ``make proofs``; a short version is a test.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from convcross.advice.fit import fit
from convcross.analysis.load import load
from convkernels import Cost, Problem
from convkernels.discovery import algorithms
from support.planted_costs import PLANTED, Planted, drawn

RESULTS = Path(__file__).parents[2] / "results"
LEAST_COVERED = 0.88  # of intervals of 90 %
SHOWN = 1 / 3  # of a sweep's problems
LARGEST_LOSS = 1.05  # geometric mean, of the time of the choice over that of the best
FEWEST = 5  # measurements that a fit is made of

Cells = dict[Problem, tuple[Cost, float]]  # of one contender: declared cost and measured seconds
Misses = list[tuple[float, bool]]  # log of predicted over measured, and whether it is covered


def held_out(planted: Planted, samples: int, trials: int) -> Misses:
    """Of 40 problems a trial that a fit to so many samples has not seen."""
    found: Misses = []
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        shown, unseen = drawn(rng, samples), drawn(rng, 40)
        model = fit(shown, [*map(planted.cost, shown)], planted.measured(shown, rng))
        truth = planted.measured(unseen, rng, disturbed=0.0)
        predicted = model.predict_many(unseen, [*map(planted.cost, unseen)])
        found += misses(predicted.tolist(), truth)
    return found


def misses(predicted: Iterable[list[float]], truth: Iterable[float]) -> Misses:
    return [
        (math.log(seconds / measured), low <= measured <= high)
        for (seconds, low, high), measured in zip(predicted, truth, strict=True)
    ]


def covered(found: Misses) -> float:
    """The share of intervals that hold what is measured."""
    return sum(inside for _, inside in found) / len(found)


def row(name: str, found: Misses) -> str:
    errors = np.abs([error for error, _ in found])
    middle, most = np.expm1(np.quantile(errors, [0.5, 0.9]))
    return f"{name:44} {middle:7.1%} {most:7.1%} {covered(found):8.1%}"


def recorded(path: Path) -> dict[str, Cells]:
    """What a results file has, by contender."""
    known = algorithms()
    found: dict[str, Cells] = {}
    for _, record in load([path], include_flagged=True).grid.iterrows():
        name = record["contender"].partition("/")[0]
        if name in known and record["seconds"] > 0:
            cost = known[name].implementation.cost(record["problem"])
            found.setdefault(record["contender"], {})[record["problem"]] = cost, record["seconds"]
    return found


def on_records(contenders: dict[str, Cells], trials: int) -> tuple[Misses, dict[str, list[float]]]:
    """Misses of problems not shown, and by namespace what taking the fastest by prediction costs:
    its time over that of the best."""
    problems = sorted({p for cells in contenders.values() for p in cells}, key=str)
    found: Misses = []
    losses: dict[str, list[float]] = {}
    for trial in range(trials):
        order = np.random.default_rng(trial).permutation(len(problems))
        shown = {problems[place] for place in order[: round(SHOWN * len(problems))]}
        rivals: dict[tuple[str, Problem], list[tuple[float, float]]] = {}
        for name, cells in contenders.items():
            seen = [problem for problem in cells if problem in shown]
            unseen = [problem for problem in cells if problem not in shown]
            if len(seen) < FEWEST or not unseen:
                continue
            model = fit(seen, [cells[p][0] for p in seen], [cells[p][1] for p in seen])
            predicted = model.predict_many(unseen, [cells[p][0] for p in unseen]).tolist()
            truth = [cells[problem][1] for problem in unseen]
            found += misses(predicted, truth)
            namespace = name.rpartition("/")[2]
            for problem, (seconds, _, _), measured in zip(unseen, predicted, truth, strict=True):
                rivals.setdefault((namespace, problem), []).append((seconds, measured))
        for (namespace, _), times in rivals.items():
            best = min(measured for _, measured in times)
            losses.setdefault(namespace, []).append(min(times)[1] / best)
    return found, losses


def main(trials: int) -> int:
    failed = 0
    print(f"{'planted, samples':44} {'median':>7} {'90 %':>7} {'covered':>8}   ({trials} trials)")
    for planted in PLANTED:
        for samples in (12, 24, 48):
            found = held_out(planted, samples, trials)
            failed += covered(found) < LEAST_COVERED
            print(row(f"{planted.name}, {samples}", found), flush=True)
    print(
        f"\n{'recorded, a third of its problems shown':44} {'median':>7} {'90 %':>7} {'covered':>8}"
    )
    logging.getLogger("convcross").setLevel(logging.ERROR)
    for path in sorted(RESULTS.rglob("*-reference-*.jsonl.gz")):
        found, losses = on_records(recorded(path), max(1, trials // 4))
        failed += covered(found) < LEAST_COVERED
        print(row(str(path.relative_to(RESULTS))[:44], found))
        for namespace, own in sorted(losses.items()):
            mean = math.exp(np.log(own).mean())
            print(
                f"  of {namespace}, the predicted fastest takes {mean:.3f} times the best's time; "
                f"within 5 % in {np.mean(np.array(own) <= 1.05):.0%}, "
                f"{np.quantile(own, 0.99):.2f} times in 99 %, {max(own):.2f} at most",
                flush=True,
            )
    print(f"at least {LEAST_COVERED:.0%} of the intervals are to cover")
    return failed


if __name__ == "__main__":
    sys.exit(main(25))
