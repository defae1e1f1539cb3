"""What a run did on one machine: what was measured, what was not and why, and where time went."""

from __future__ import annotations

import collections
import dataclasses
from pathlib import Path

from convcross.results.status import failed


@dataclasses.dataclass
class Outcome:
    """What a run did on one machine.

    Attributes
    ----------
    path : the results file
    done, before, left : duels measured now, found finished, and not reached (an estimate where a
        search is not at its end)
    cut : of those measured now, duels in which the budget left something out
    statuses : (contender, status) → records of this run
    reasons : (contender, status) → the first reason given
    seconds : where the time of this run's duels went
    neighbours : who else used the cores → its share of them × seconds
    wall : seconds from the run's begin to its end
    interrupted : stopped by Ctrl-C or SIGTERM
    gone : why nobody was left to measure, or None
    suspended : contenders not run any more, since they failed in several cells in a row
    flags : (contender, flag) → records of this run
    noticed : (device, what disturbed it) → duels
    unbounded : devices whose ceilings are not known: their times were held to no floor
    found : what a search for crossovers found and spent, in sentences
    """

    path: Path
    done: int = 0
    before: int = 0
    left: int = 0
    cut: int = 0
    statuses: collections.Counter[tuple[str, str]] = dataclasses.field(
        default_factory=collections.Counter
    )
    reasons: dict[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    seconds: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    neighbours: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    wall: float = 0.0
    interrupted: bool = False
    workers_lost: str | None = None
    suspended: list[str] = dataclasses.field(default_factory=list)
    flags: collections.Counter[tuple[str, str]] = dataclasses.field(
        default_factory=collections.Counter
    )
    unbounded: list[str] = dataclasses.field(default_factory=list)
    found: list[str] = dataclasses.field(default_factory=list)
    noticed: collections.Counter[tuple[str, str]] = dataclasses.field(
        default_factory=collections.Counter
    )

    @property
    def failed(self) -> bool:
        """Whether a contender was wrong or failed; refusals and limits are neither."""
        return any(failed(status) for _, status in self.statuses)
