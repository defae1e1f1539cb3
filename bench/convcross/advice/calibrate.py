"""``convcross calibrate``: what each contender that can win takes on this machine.

A designed sample of problems (``design``) is measured, each by those that may be among its fastest
(``race``), as long as the budget lasts; then every phase of each contender is fitted (``fit``), its
own code for a gradient apart. The last ones are kept out of the fits: what predictions and rules
are worth is told on those.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import random
import time
from collections.abc import Callable, Iterator

from convcross.advice import design, fit
from convcross.advice.race import Entry, Race, Samples
from convcross.advice.trials import Operands, Times, measure
from convcross.errors import BadInput
from convcross.machine import ceilings, describe
from convcross.machine.floor import floor
from convcross.measure.accuracy import reference, step_truth
from convcross.measure.accuracy import truth as accuracy
from convcross.sweeps import data
from convcross.sweeps.contenders import Contender, available
from convkernels import Problem, calibration, namespaces
from convkernels.calibration import Calibration, Fit, HeldOut, Phases
from convkernels.problem import DIRECTIONS
from convkernels.selection import never

BUDGET = 83.0  # seconds: with the libraries' start and the end, 90 in all
SCOUTING, HELD_OUT, FITS = 0.4, 0.12, 0.1  # of the budget
SOME = 81  # problems, of which the smallest come first, so many of each direction
FIRST = {"forward": 8, "grad_input": 3, "grad_weight": 3}
LEAST = 8  # samples of a contender whose phases are fitted
PROGRESS = 5.0  # seconds between two lines of progress

# Small, and of the kinds that algorithms refuse or take: their errors are told on these.
LAYER = Problem((14, 14), (3, 3), in_channels=16, out_channels=16, batch=2, mode="same")
ERRORS = (
    Problem((96, 96), (3, 3), mode="same"),
    Problem((128, 128), (15, 15), mode="same"),
    *(dataclasses.replace(LAYER, direction=direction) for direction in DIRECTIONS),
)

Tell = Callable[[str], None]


def contenders(device: str) -> list[Contender]:
    """Those of the device that a choice may take, and that compile nothing that is not kept."""
    return [
        contender
        for contender in available([device])
        if never(contender.found) is None and not contender.found.implementation.compiles
    ]


def calibrate(
    device: str, *, budget: float = BUDGET, seed: int = 0, tell: Tell = print
) -> Calibration:
    """Measure and fit. Nothing is kept yet: see ``calibration.write``.

    Parameters
    ----------
    device : "cpu" or "cuda:0"
    budget : seconds of it all
    tell : is told a line now and then

    Raises BadInput where there is no contender, and where none is measured often enough.
    """
    begin = time.perf_counter()
    there = contenders(device)
    if not there:
        raise BadInput(f"device is {device!r}: no contender runs there")
    race = Race(there, _floors(device))
    operands, order = Operands(seed), random.Random(seed)
    held_out: list[HeldOut] = []
    told, end = begin, begin + (1 - FITS) * budget
    for number, problem in enumerate(_problems(seed)):
        if time.perf_counter() > end:
            break
        if time.perf_counter() > begin + SCOUTING * budget:
            race.settle()
        hopeful = race.hopeful(problem)
        if not hopeful:
            continue
        last = time.perf_counter() > end - HELD_OUT * budget
        chosen = race.takers(problem) if last else hopeful  # a choice may be any of them
        times, failed = measure(problem, chosen, operands, order, end)
        for contender, reason in failed.items():
            race.entries[contender].lost = reason
        if last:
            held_out.append(_held_out(problem, times))
        else:
            race.add(problem, times)
        if time.perf_counter() - told > PROGRESS:
            told = time.perf_counter()
            tell(f"{told - begin:3.0f} s: {number + 1} problems, {len(chosen)} contenders on this")
    fits = {}
    for entry in race.entries.values():
        known = {name: one for name, one in entry.passes.items() if len(one.times) >= LEAST}
        if entry.lost is not None or not known:
            continue
        share = _share_of_bound(entry.contender)
        if share is None:
            entry.lost = "its result is wrong: convcross check tells where"
        else:
            passes = {name: _fitted(samples) for name, samples in known.items()}
            fits[entry.contender.short] = Fit(passes, share, tuple(sorted(entry.spare)))
    if not fits:
        raise BadInput(f"budget is {budget:g} s; allowed: more: no contender has {LEAST} samples")
    return Calibration(
        key=calibration.key(device),
        made_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        commit=describe.commit() or "",
        contenders=fits,
        held_out=tuple(held_out),
        slower={
            name: _why(entry)
            for name, entry in ((entry.contender.short, entry) for entry in race.entries.values())
            if name not in fits
        },
    )


def _why(entry: Entry) -> str:
    """Why it has no fit."""
    if entry.lost is not None:
        return entry.lost
    if not entry.count:
        return "never among those that may be the fastest"
    return f"{entry.count} samples, at best {entry.nearest:.1f} times the fastest's time"


def _problems(seed: int) -> Iterator[Problem]:
    """The design's, a few small ones of its kinds first."""
    endless = design.problems(seed, design.EVERY)
    some = list(itertools.islice(endless, SOME))
    ordered = sorted(some, key=lambda problem: problem.flops)
    small = [
        problem
        for direction, count in FIRST.items()
        for problem in [one for one in ordered if one.direction == direction][:count]
    ]
    yield from small
    yield from (problem for problem in some if problem not in small)
    yield from endless


def _floors(device: str) -> Callable[[Contender, Problem], float]:
    """The least seconds of a contender's run, by the machine's ceilings where they are known."""
    rates = ceilings.load(describe.name(device))

    def least(contender: Contender, problem: Problem) -> float:
        return floor(contender.found, problem, False, rates) or 0.0

    return least


def _held_out(problem: Problem, times: dict[Contender, Times]) -> HeldOut:
    found = {contender.short: dataclasses.astuple(seconds) for contender, seconds in times.items()}
    return HeldOut(problem, found)


def _fitted(samples: Samples) -> Phases:
    return {
        phase: fit.fit(
            samples.problems,
            samples.costs,
            [max(getattr(times, phase), 1e-9) for times in samples.times],
        )
        for phase in calibration.PHASES
    }


def _share_of_bound(contender: Contender) -> float | None:
    """The largest error over its bound; None of a contender that is wrong."""
    place, shares = (contender.namespace, contender.device), [0.0]
    for problem in ERRORS:
        if contender.found.refuses(problem, *place) is not None:
            continue
        a, b = step_truth.rounded(problem, *data.operands(problem, ("normal", "normal"), 0))
        bound = contender.found.error_bound(problem)
        with namespaces.on(*place):
            instance = contender.found.prepare(problem, *place)
            instance.load(namespaces.from_numpy(b, *place, problem.dtype))
            y = namespaces.to_numpy(instance.run(namespaces.from_numpy(a, *place, problem.dtype)))
        truth = accuracy.given(problem, a, b, reference.by_scipy(problem, a, b))
        if accuracy.verify(y, bound, truth) is not None:
            return None
        shares.append(accuracy.relative_error(y, truth) / bound)
    return max(shares)
