"""Steps captured into CUDA graphs, for the regime ``graph``: one launch replays each step.

torch: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
CuPy: https://docs.cupy.dev/en/stable/reference/generated/cupy.cuda.Stream.html
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from convcross.machine import memory
from convcross.measure.timing.clock import Step
from convkernels import UnsupportedProblem, namespaces

WARMUPS = 3  # runs on the capture stream: libraries plan, load and allocate, which no graph can

_failed: list[Any] = []  # torch's graphs whose capture failed (see ``_abandon``)

Graph = TypeVar("Graph")


@dataclasses.dataclass(frozen=True)
class Replay:
    """A captured step. Returns what it returned, where each replay leaves its result."""

    launch: Callable[[], None]  # on the current stream
    result: object
    kept: object  # alive, since the graph holds their addresses

    def __call__(self) -> object:
        self.launch()
        return self.result


def capture(steps: Sequence[Step], namespace: str, device: str) -> list[Step]:
    """Capture each step into a CUDA graph of its own, after warming up, and replay each once.

    The graphs share memory: they must be replayed one after the other, in this order. Results are
    overwritten by the next replay.

    Raises
    ------
    UnsupportedProblem
        "graph: " and the reason, where a step does what no graph can hold, such as waiting for the
        device. The stream and torch's allocator are as they were.
    Exception
        What a step raises while warming up, and where memory runs out. RuntimeError where torch's
        allocator stays unusable after a capture that failed: the process is then lost for torch.
    """
    if device == "cpu":
        raise UnsupportedProblem("graph: CUDA graphs need a CUDA device")
    with namespaces.on(namespace, device):
        replays = (_capture_cupy if namespace == "cupy" else _capture_torch)(steps)
        for replay in replays:  # what steps leave to later ones has values only now
            replay()
        namespaces.synchronize(namespace, device)
    return replays


def _capture_torch(steps: Sequence[Step]) -> list[Step]:
    import torch

    torch.cuda.synchronize()
    pool, replays = torch.cuda.graph_pool_handle(), list[Step]()
    with torch.cuda.stream(torch.cuda.Stream()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The CUDA Graph is empty")  # a load may launch nothing
        _warm_up(steps)
        torch.cuda.synchronize()
        for step in steps:
            # Not `with torch.cuda.graph`: it empties the memory pool of all contenders first, and
            # its end hides why a capture failed and leaves the stream current.
            graph = torch.cuda.CUDAGraph()
            begin = functools.partial(graph.capture_begin, pool=pool)
            try:
                result, _ = _recorded(step, begin, graph.capture_end)
            except BaseException:
                _abandon(graph, pool)
                raise
            replays.append(Replay(graph.replay, result, step))
    return replays


def _abandon(graph: Any, pool: tuple[int, int]) -> None:
    """Bring torch's allocator out of a capture that has failed.

    Up to 2.12 ``capture_end`` leaves it in the capture where CUDA's own end fails (pytorch#180395):
    later allocations go to the dead graph's pool, and the first ``empty_cache`` fails an assertion.
    So the pool is ended and released here as ``torch.cuda.use_mem_pool`` does it, and the graph is
    kept, since the allocator of pinned memory goes on asking it. Where torch has ended the pool
    itself, it says so, and its release is left to it.

    Raises RuntimeError where memory cannot be given back all the same.
    """
    import torch

    try:
        torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), pool)
    except RuntimeError:
        pass  # "not currently recording": torch has done it
    else:
        _failed.append(graph)
        torch._C._cuda_releasePool(torch.cuda.current_device(), pool)
    memory.release()


def _capture_cupy(steps: Sequence[Step]) -> list[Step]:
    import cupy

    cupy.cuda.Device().synchronize()
    # A pool of its own: what the common one has free is given back to CUDA when memory runs short,
    # and the graphs' temporaries would be among it.
    stream, pool, replays = (
        cupy.cuda.Stream(non_blocking=True),
        cupy.cuda.MemoryPool(),
        list[Step](),
    )
    with cupy.cuda.using_allocator(pool.malloc), stream:
        _warm_up(steps)
        stream.synchronize()
        for step in steps:
            result, graph = _recorded(step, stream.begin_capture, stream.end_capture)
            replays.append(Replay(graph.launch, result, (step, stream, pool)))
    return replays


def _warm_up(steps: Sequence[Step]) -> None:
    for _ in range(WARMUPS):
        for step in steps:
            step()


def _recorded(
    step: Step, begin: Callable[[], object], end: Callable[[], Graph]
) -> tuple[object, Graph]:
    """What the step returned and its graph. Raises UnsupportedProblem, capturing no longer."""
    try:
        begin()
        try:
            result = step()
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one that tells
                end()
            raise
        return result, end()
    except Exception as error:
        if memory.exhausted(error):
            raise
        lines = str(error).strip().splitlines()
        raise UnsupportedProblem(f"graph: {lines[0] if lines else type(error).__name__}") from error
