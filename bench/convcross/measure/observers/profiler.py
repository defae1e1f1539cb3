"""Which kernels a contender runs on a card, asked in a process of its own.

CUPTI, which torch's profiler subscribes to, may slow down every later launch of its process; a
process that times must not meet it. The other process lives as long as the sweep and only works
when it is asked, between two timings.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import functools
import multiprocessing
from typing import Any

from convcross.measure.observers import kernels
from convcross.sweeps import data
from convcross.sweeps.contenders import Contender
from convcross.sweeps.duels import Duel
from convkernels import namespaces
from convkernels.discovery import load_path


def executed(duel: Duel, contender: str) -> dict[str, Any]:
    """What ``kernels.executed`` tells of one run of this contender of the duel.

    Where the other process failed there are no kernels, and its error is the reason.
    """
    try:
        answer = _process().submit(_executed, duel.model_dump(mode="json"), contender).result()
    except Exception as error:  # whatever the contender raises there, or a process that died
        if isinstance(error, concurrent.futures.BrokenExecutor):
            _process.cache_clear()
        lines = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {lines[0] if lines else 'no message'}"[:300]
        return {"kernels": [], "streams": [], "reason": reason}
    return answer


def processes() -> int:
    """How many of ours are on a card beside this one: 0, or 1 after the first question."""
    return _process.cache_info().currsize


@functools.cache
def _process() -> concurrent.futures.ProcessPoolExecutor:
    spawned = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    process = concurrent.futures.ProcessPoolExecutor(max_workers=1, mp_context=spawned)
    atexit.register(process.shutdown)
    return process


def _executed(duel_json: dict[str, Any], name: str) -> dict[str, Any]:
    duel, contender = Duel.model_validate(duel_json), Contender(name)
    for path in duel.algorithm_paths:
        load_path(path)
    problem = duel.problem
    place = contender.namespace, contender.device
    with namespaces.on(*place):
        drawn = data.operands(problem, (duel.image_data, duel.kernel_data), duel.seed)
        a, b = (namespaces.from_numpy(values, *place, problem.dtype) for values in drawn)
        instance = contender.found.prepare(problem, *place)
        instance.load(b)
        instance.run(a)
        namespaces.synchronize(*place)
        return kernels.executed(functools.partial(instance.run, a), contender.device)
