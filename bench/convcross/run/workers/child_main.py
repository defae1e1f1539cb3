"""The process in which contenders run: duels come through one pipe, answers go through another.

Started by ``child.Child`` with the numbers of its pipes and of the page on which it tells who
runs what. It outlives nobody: when its parent is gone, so is it, and all that it started.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import mmap
import os
import resource
import signal
import sys
import threading
from typing import Any

import psutil

from convcross.machine import memory
from convcross.measure.duel import measure
from convcross.measure.process import progress_page, state
from convcross.measure.trial import ProcessCorrupted
from convcross.run.workers import launch
from convcross.sweeps.duels import Duel

PR_SET_PDEATHSIG = 1  # of linux/prctl.h


def main() -> None:
    requests, answers, page, parent = (int(argument) for argument in sys.argv[1:])
    launch.take_block()
    faulthandler.enable(all_threads=False)
    for caught in (signal.SIGINT, signal.SIGTERM):  # the parent ends what is to be ended
        signal.signal(caught, lambda number, frame: None)
    _end_with_parent(parent)
    progress_page.light(mmap.mmap(page, progress_page.PAGE.size))
    state.keep()
    own = os.getpid()
    with open(answers, "w") as output, open(requests) as duels:
        for line in duels:
            duel = Duel.model_validate_json(line)
            state.put_back()
            if all(contender.device == "cpu" for contender in duel.contenders):
                _limit_memory()
            answer = _answer(duel)
            if os.getpid() != own:  # a copy, which a contender has made by a fork
                os._exit(0)
            output.write(json.dumps(answer) + "\n")
            output.flush()


def _answer(duel: Duel) -> dict[str, Any]:
    try:
        return {"result": measure(duel).model_dump(mode="json")}
    except ProcessCorrupted as error:
        return {"corrupted": error.contender, "reason": error.reason}
    except BaseException as error:  # KeyboardInterrupt too: nobody's but a contender's
        return {"raised": f"{type(error).__name__}: {error}"}


def _end_with_parent(parent: int) -> None:
    """A pipe that ends when the parent does wakes a thread; Linux ends also what holds the GIL."""

    def watch() -> None:
        os.read(parent, 1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit_memory() -> None:
    """No more than is free: beyond, an allocation fails, and does not take the machine along.

    A process that uses CUDA maps more than the machine has, so there the parent's eye is all.
    """
    free = psutil.virtual_memory().available
    used = psutil.Process().memory_info().rss
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = int(min(free + used, memory.limit()))
    if most == resource.RLIM_INFINITY or limit < most:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, most))
