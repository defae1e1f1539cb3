"""Where contenders run: processes of their own, on this machine or on a cluster's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from convcross.results.schema import DuelResult
    from convcross.run.workers.description import Description
    from convcross.sweeps.contenders import Contender
    from convcross.sweeps.duels import Duel


class WorkersLost(RuntimeError):
    """Nobody is left to measure; the message says whom was waited for."""


class Machine(Protocol):
    """The workers of one kind of machine, which share the duels of a sweep; each has one at a time.

    Attributes
    ----------
    description : what they are
    devices : that share a duel
    contenders : all that are available there
    """

    @property
    def description(self) -> Description: ...
    @property
    def devices(self) -> list[str]: ...
    @property
    def contenders(self) -> list[Contender]: ...

    def free_slots(self) -> int:
        """How many more duels are taken now."""

    def submit(self, duel: Duel) -> None:
        """One more; ``free_slots`` was not 0."""

    def finished(self, seconds: float) -> list[tuple[Duel, DuelResult]]:
        """What ended, with what ``measure.duel.measure`` gave; waits so long at most for the first.

        Raises WorkersLost, and BadInput where no process can measure.
        """

    def at_work(self) -> list[str]:
        """What is being measured just now, in words, where that can be seen."""

    def kill(self) -> None:
        """End at once what runs."""
