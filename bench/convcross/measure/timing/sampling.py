"""Sampling: contenders take turns in rounds, and each stops when its median has settled."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from convcross.stats.median import is_settled

FIRST_LOOK, GROWTH = 8, 1.5
LEAST = 5  # samples, however slow the contender
# Rivals of one round may run at clocks so far apart; else the round is measured again, so often.
# So is a sample that was preempted.
CLOCKS, AGAIN = 0.02, 2


class Sample(NamedTuple):
    """Seconds of one run, seconds spent in the whole sample, the device's clock in Hz, whether it
    waited for a core, and seconds of a part of the run."""

    seconds: float
    spent: float
    clock: float | None = None
    preempted: bool = False
    part: float = 0.0


@dataclass
class Series:
    """Samples of one contender with their parts, the round of each, and whether the median has
    settled.

    ``preempted`` are the rounds in which it waited for a core each time; their samples say nothing
    of the median.
    """

    samples: list[float] = field(default_factory=list)
    parts: list[float] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    preempted: list[int] = field(default_factory=list)
    settled: bool = False
    spent: float = 0.0  # seconds inside samples, batches and rounds measured again included
    again: int = 0  # rounds measured again for their clocks

    def undisturbed(self) -> list[float]:
        """The samples of the rounds in which it did not wait for a core."""
        waited = set(self.preempted)
        pairs = zip(self.samples, self.rounds, strict=True)
        return [sample for sample, number in pairs if number not in waited]


def interleave(
    actions: Mapping[str, Callable[[], Sample | None]],
    *,
    seconds: float,
    samples: int,
    order: random.Random,
    first: int = 0,
    least: int = LEAST,
    late: Callable[[], bool] = lambda: False,
) -> dict[str, Series]:
    """Sample each action in rounds of random order until its median has settled.

    All contenders meet the same clocks, temperatures and neighbours, round by round. Looks come
    at 8, 12, 18, 27, … samples, so that few of them can stop by chance. A round in which the clocks
    of two contenders differ by more than CLOCKS is measured again, and so is a sample that waited
    for a core, each at most AGAIN times.

    Parameters
    ----------
    actions : name → callable that takes one sample, or returns None to leave the rounds
    seconds, samples : limits of each series; ``least`` samples are taken all the same
    order : seeded source of each round's order
    first : number of the first round
    late : whether time is up: then each series that has ``least`` samples ends
    """
    series = {name: Series() for name in actions}
    looks = dict.fromkeys(actions, FIRST_LOOK)
    active = list(actions)
    number = first
    while active:
        for trial in range(1 + AGAIN):
            order.shuffle(active)
            taken: dict[str, Sample] = {}
            for name in active:
                sample = _undisturbed(actions[name])
                if sample is not None:
                    taken[name] = sample
                    series[name].spent += sample.spent
            active = list(taken)
            if trial == AGAIN or not _uneven(taken.values()):
                break
            for name in active:
                series[name].again += 1
        for name, sample in taken.items():
            kept = series[name]
            kept.samples.append(sample.seconds)
            kept.parts.append(sample.part)
            kept.rounds.append(number)
            if sample.preempted:
                kept.preempted.append(number)
            count, told = len(kept.samples), len(kept.samples) - len(kept.preempted)
            if told >= looks[name]:
                looks[name] = math.ceil(told * GROWTH)
                kept.settled = is_settled(kept.undisturbed())
            spent = kept.spent >= seconds or late()
            at_limit = count >= samples or (spent and count >= least)
            if kept.settled or at_limit:
                kept.settled = kept.settled or is_settled(kept.undisturbed())
                active.remove(name)
        number += 1
    return series


def _undisturbed(action: Callable[[], Sample | None]) -> Sample | None:
    """A sample that did not wait for a core, or the last of so many that did."""
    for _ in range(AGAIN):
        sample = action()
        if sample is None or not sample.preempted:
            return sample
    return action()


def _uneven(samples: Iterable[Sample]) -> bool:
    clocks = [sample.clock for sample in samples if sample.clock is not None]
    return len(clocks) > 1 and max(clocks) > (1 + CLOCKS) * min(clocks)
