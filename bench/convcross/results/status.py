"""What can become of a contender in a duel. One row each, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Status:
    """A status of a record.

    Attributes
    ----------
    failed : the contender is at fault: exit code 1, and --retry-failed measures it again
    untimed : its time is not known, and it might have been the fastest: its family is left out
    gravity : of those that the report lists as failures, the greatest first; 0 for the others
    """

    failed: bool = False
    untimed: bool = False
    gravity: int = 0


STATUSES = {
    "ok": Status(),
    "unsupported": Status(),  # it refuses the problem
    "timeout": Status(gravity=1),  # a run takes longer than is waited for, or never ends
    "left-out": Status(untimed=True),  # the run's budget had no time for it
    "wrong": Status(failed=True, untimed=True, gravity=3),  # outside its bound, or no honest result
    "oom": Status(failed=True, gravity=2),  # memory did not suffice
    "error": Status(failed=True, untimed=True, gravity=4),  # it raised, crashed or broke off
}
FAILURES = sorted(
    (name for name in STATUSES if STATUSES[name].gravity), key=lambda name: -STATUSES[name].gravity
)


def failed(status: str) -> bool:
    """Whether a record of this status is the contender's fault."""
    return STATUSES[status].failed


def checked(status: str) -> str:
    """The status. Raises ValueError on one that there is not."""
    if status not in STATUSES:
        raise ValueError(f"status is {status!r}; allowed: {', '.join(STATUSES)}")
    return status
