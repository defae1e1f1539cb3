"""Planned instances, kept between calls of one shape, and what ``auto`` has chosen for it.

A call takes an instance out and puts it back when it is done, so that two threads never share one:
the second plans its own. At most MOST wait for the next call, of MOST_BYTES in all (the workspace
that their algorithms declare, and their filters); what was not used for longest goes first. One
that is larger by itself is planned in each call: there, planning is little beside running.

Nothing is kept of a call that raised, that torch records for gradients or compiles, or that a CUDA
graph captures. A forked child begins with nothing: it has none of its parent's threads.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import threading
from collections.abc import Hashable

from convkernels import calibration, compiling, registry, selection
from convkernels.problem import ITEMSIZE, Problem, UnsupportedProblem
from convkernels.registry import Algorithm, Implementation
from convkernels.toolbox import threads

MOST = 16
MOST_BYTES = 256 << 20
MOST_CHOICES = 4096


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """A planned instance of an algorithm, taken out by ``take`` or ``take_best``.

    Attributes
    ----------
    key : what it may be used for again; None where for nothing
    bytes : that it is counted for
    store : where it goes back to
    """

    algorithm: Algorithm
    instance: Implementation
    key: Hashable | None
    bytes: float
    store: _Store


class _Store:
    """Plans that wait, by their keys; the one used last is last."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # a finalizer may convolve
        self.waiting: dict[Hashable, list[Plan]] = {}

    def take(self, key: Hashable) -> Plan | None:
        with self.lock:
            found = self.waiting.pop(key, None)
            if found is None:
                return None
            plan = found.pop()
            if found:
                self.waiting[key] = found
            return plan

    def put(self, plan: Plan) -> None:
        with self.lock:
            self.waiting[plan.key] = [*self.waiting.pop(plan.key, ()), plan]
            while self.count() > MOST or self.bytes() > MOST_BYTES:
                self.take(next(iter(self.waiting)))

    def count(self) -> int:
        return sum(map(len, self.waiting.values()))

    def bytes(self) -> float:
        return sum(plan.bytes for plans in self.waiting.values() for plan in plans)


_store = _Store()
_chosen: dict[Hashable, Algorithm] = {}


def clear() -> None:
    """Forget every plan, those in use when they are done, and every choice; a calibration is read
    anew."""
    _empty()
    calibration.forget()


def count() -> int:
    """Plans that wait for a call."""
    return _store.count()


def _empty() -> None:
    global _store
    _store = _Store()
    _chosen.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_empty)


def take(
    algorithm: Algorithm, problem: Problem, namespace: str, device: str, *, keep: bool = True
) -> Plan:
    """A plan that waits, or a new one; nobody else has it until ``put_back``.

    Parameters
    ----------
    keep : whether it may be one that waits, and go back to those that do

    Raises
    ------
    UnsupportedProblem
        Where the algorithm is not to be had here, or refuses the problem, with the reason.
    """
    state = _state(namespace, device) if keep else None
    key = None
    if state is not None:
        key = (algorithm.implementation, problem, namespace, device, threads.given(), state)
        if (found := _store.take(key)) is not None:
            return found
    if (reason := algorithm.missing(namespace)) is not None:
        raise UnsupportedProblem(reason)
    instance = algorithm.prepare(problem, namespace, device)
    return Plan(algorithm, instance, key, _bytes(algorithm, problem), _store)


def put_back(plan: Plan) -> None:
    """After a call that did not raise."""
    if plan.key is not None and plan.bytes <= MOST_BYTES and plan.store is _store:
        _store.put(plan)


def take_best(
    problem: Problem, namespace: str, device: str, *, gradients: bool = False, calls: int = 1
) -> Plan:
    """As ``take``, of the algorithm that ``auto`` takes: the first of ``selection.preferred``, and
    for a single call the first for which nothing need be compiled.

    Raises
    ------
    UnsupportedProblem
        Where there is none; each with its reason.
    """
    asked = (problem, namespace, device, gradients, calls, threads.given())
    key = (*asked, registry.revision, calibration.revision)
    if (chosen := _chosen.get(key)) is not None:
        return take(chosen, problem, namespace, device, keep=not gradients)
    reasons = []
    for algorithm in selection.preferred(
        problem, namespace, device, gradients=gradients, calls=calls
    ):
        try:
            with compiling.kept_alone() if calls == 1 else contextlib.nullcontext():
                plan = take(algorithm, problem, namespace, device, keep=not gradients)
        except compiling.NotCompiled as reason:
            reasons.append(f"{algorithm.name}: {reason}")
            continue
        if len(_chosen) >= MOST_CHOICES:
            _chosen.clear()
        _chosen[key] = algorithm
        return plan
    raise UnsupportedProblem(
        f"no algorithm on {namespace} is compiled for it: {'; '.join(reasons)}; allowed: calls of "
        "2 or more, or an algorithm by its name"
    )


def _bytes(algorithm: Algorithm, problem: Problem) -> float:
    filters = ITEMSIZE[problem.dtype] * math.prod(problem.w_shape)
    return algorithm.cost(problem).workspace + filters


def _state(namespace: str, device: str) -> Hashable | None:
    """What of the caller's own a plan was made under, and may be used under; None for nothing.

    Under ``inference_mode`` torch makes tensors that must not be written to outside it. On a GPU,
    work of one stream may still be under way when the next call comes on another.
    """
    if namespace == "numpy":
        return ()
    if namespace == "cupy":
        import cupy

        stream = cupy.cuda.get_current_stream(int(device.partition(":")[2]))
        return None if stream.is_capturing() else (stream.ptr, threading.get_ident())
    import torch

    if torch.compiler.is_compiling():
        return None
    set_by_caller = (torch.is_inference_mode_enabled(), torch.get_default_dtype())
    if device == "cpu":
        return (*set_by_caller, torch.get_num_threads())
    if torch.cuda.is_current_stream_capturing():
        return None
    stream = torch.cuda.current_stream(device).cuda_stream
    return (*set_by_caller, stream, threading.get_ident())
