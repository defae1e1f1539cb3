"""Duels that are over in no time, of one thread on the CPU."""

from __future__ import annotations

from typing import Any

from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits
from convkernels import Problem


def short(problem: Problem, *contenders: str, **changes: Any) -> Duel:
    """Between contenders as "fft/numpy@cpu"; changes are fields of ``Duel``."""
    given: dict[str, Any] = {
        "id": "a-duel",
        "image_data": "normal",
        "kernel_data": "normal",
        "seed": 0,
        "regime": None,
        "threads": 1,
        "limits": Limits(seconds=0.001, samples=12, run_seconds=60.0),
        **changes,
    }
    return Duel(problem=problem, contenders=list(contenders), **given)
