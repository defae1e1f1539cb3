"""cuDNN's contenders on the CPU, where its stand-in computes."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from convkernels import Problem, UnsupportedProblem, namespaces
from convkernels.discovery import find

STREAM = 0x57


def planned(name: str, problem: Problem) -> Any:
    """On the CPU, where the stand-in computes."""
    algorithm = find(name)
    reason = algorithm.refuses(problem, "torch", "cuda:0")
    if reason is not None:
        raise UnsupportedProblem(reason)
    instance = algorithm.implementation()
    instance.plan(problem, namespaces.namespace("torch"), "cpu")
    return instance


def solved(instance: Any, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    dtype = instance.problem.dtype
    instance.load(namespaces.from_numpy(w, "torch", "cpu", dtype))
    return namespaces.to_numpy(instance.run(namespaces.from_numpy(x, "torch", "cpu", dtype)))


def calls(fake: ctypes.CDLL) -> list[str]:
    return fake.fake_calls().decode().splitlines()  # type: ignore[no-any-return]
