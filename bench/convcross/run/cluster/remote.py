"""What the processes of a Dask cluster are asked to do: they import this module, by its name."""

from __future__ import annotations

import asyncio
import functools
import os
import uuid
from typing import Any

import dask

import convcross
from convcross.errors import BadInput
from convcross.machine import describe as machine
from convcross.run.workers import isolation
from convcross.run.workers.description import described
from convcross.sweeps.duels import Duel

PROCESS = uuid.uuid4().hex  # of this process: a nanny's next one may have the same address

_run: str | None = None  # that the child process here was started for


@functools.cache
def version() -> tuple[str, str]:
    """Version and commit of the code that this process has loaded, which may since have changed."""
    return convcross.__version__, machine.commit()


async def describe(
    code: tuple[str, str], device: str | None, algorithm_paths: list[str], seconds: float
) -> dict[str, Any]:
    """``process`` and ``version``; where that is the code asked for also ``description``, or
    ``refused`` with the reason."""
    answer = {"process": PROCESS, "version": version()}
    if version() != code:
        return answer
    _forget_environment()
    try:
        found = await asyncio.to_thread(described, device, algorithm_paths, seconds)
    except BadInput as error:
        return answer | {"refused": str(error)}
    return answer | {"description": found.model_dump(mode="json")}


def measure(duel: dict[str, Any], process: str, run: str) -> dict[str, Any] | None:
    """What measuring a duel gives, JSON of JSON; None where this is not the process asked.

    Each run has a child process of its own, so that none measures with algorithm files of before.
    """
    global _run
    if process != PROCESS:
        return None
    if run != _run:
        isolation.close_isolated()
        _run = run
    return isolation.measure_isolated(Duel.model_validate(duel)).model_dump(mode="json")


def release() -> None:
    """End the child process, and so what it holds of the card."""
    isolation.close_isolated()


def kill() -> None:
    """End at once what is measured."""
    isolation.kill_isolated()


def _forget_environment() -> None:
    """What a nanny sets for its workers would slow contenders: returned memory, one thread."""
    for name, value in dask.config.get("distributed.nanny.pre-spawn-environ").items():
        if os.environ.get(name) == str(value):
            del os.environ[name]
