"""Which kernels a contender runs on a card, asked in a process of its own.

CUPTI, which torch's profiler subscribes to, may slow down every later launch of its process; a
process that times must not meet it. The other process lives as long as the sweep and only works
when it is asked, between two timings. One that hangs or dies costs its profile, and is replaced.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import sys
from multiprocessing.connection import Connection
from typing import Any

from convcross.measure.accuracy import arrays
from convcross.measure.observers import kernels
from convcross.sweeps import data
from convcross.sweeps.contenders import Contender
from convcross.sweeps.duels import Duel
from convkernels import namespaces
from convkernels.discovery import load_path

SECONDS = 20.0  # for the process to begin, and again for each answer
SHARE = 1 / 3  # of what a call may take before the whole worker counts as hung


class _Profiler:
    """The other process. CUDA does not survive a fork: it is spawned."""

    def __init__(self) -> None:
        spawned = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawned.Pipe()
        self._process = spawned.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, question: tuple[dict[str, Any], str], limit: float) -> dict[str, Any]:
        """Raises TimeoutError, and EOFError where the process has died."""
        self._pipe.send(question)
        for step in ("beginning", "answer"):
            if not self._pipe.poll(limit):
                raise TimeoutError(f"no {step} in {limit:g} s")
            answer: dict[str, Any] = self._pipe.recv()
        return answer

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


def executed(duel: Duel, contender: str) -> dict[str, Any]:
    """What ``kernels.executed`` tells of one run of this contender of the duel.

    Where the other process failed there are no kernels, and its error is the reason.
    """
    limit = min(SECONDS, SHARE * duel.limits.cell_seconds)
    try:
        return _process().ask((duel.model_dump(mode="json"), contender), limit)
    except (OSError, EOFError) as error:  # TimeoutError too
        told = str(error) if isinstance(error, TimeoutError) else "its process died"
        with contextlib.suppress(Exception):
            _process().end()
        _process.cache_clear()
        return _failed(f"profiling failed: {told}")


def processes() -> int:
    """How many of ours are on a card beside this one: 0, or 1 after the first question."""
    return _process.cache_info().currsize


@functools.cache
def _process() -> _Profiler:
    return _Profiler()


def _serve(pipe: Connection) -> None:
    """Answer questions until nobody is there to ask."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            question = pipe.recv()
            pipe.send(None)
            try:
                answer = _executed(*question)
            except Exception as error:  # whatever the contender raises
                lines = str(error).strip().splitlines()
                said = f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
                answer = _failed(said)
            pipe.send(answer)
    sys.exit()


def _failed(reason: str) -> dict[str, Any]:
    return {"kernels": [], "streams": [], "reason": reason[:300]}


def _executed(duel_json: dict[str, Any], name: str) -> dict[str, Any]:
    duel, contender = Duel.model_validate(duel_json), Contender(name)
    for path in duel.algorithm_paths:
        load_path(path)
    problem = duel.problem
    place = contender.namespace, contender.device
    with namespaces.on(*place):
        drawn = data.operands(problem, (duel.image_data, duel.kernel_data), duel.seed)
        a, b = (
            arrays.each(lambda one: namespaces.from_numpy(one, *place, problem.dtype), values)
            for values in drawn
        )
        instance = contender.found.prepare(problem, *place)
        instance.load(b)
        instance.run(a)
        namespaces.synchronize(*place)
        return kernels.executed(functools.partial(instance.run, a), contender.device)
