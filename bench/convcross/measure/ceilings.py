"""How fast this machine computes and copies at most, measured once and kept in results/<machine>/.

Arithmetic: the best of matrix products of several sizes and, on a GPU, of a kernel that does
nothing but multiply-adds. Memory: copies and read-only passes over working sets from the first
cache to main memory, bytes read and written both counted. A ceiling is a maximum: the best of many
repetitions, and measured again the larger of each figure stays, so that a busy moment cannot lower
it. The dates and versions in the record are those of the last measurement.
"""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from convcross.errors import BadInput
from convcross.machine import ceilings, describe, threads
from convcross.machine.caches import last_level_cache
from convcross.machine.ceilings import Ceilings, ladder, taken
from convcross.machine.contention import NOTICED, ContentionWatch
from convkernels import namespaces
from convkernels.cpu import fma
from convkernels.cuda import kernel as cuda
from convkernels.problem import DTYPES

SECONDS = 0.04  # for each figure in a round
QUIET_PASSES, MOST_PASSES = 2, 5  # quiet ones, and in all where other processes take the cores
BATCH = 5e-4  # seconds of a sample, at least: shorter calls are timed many together
SMALLEST_PRODUCT, LARGEST_PRODUCT = 256, 8192
LONGEST_PRODUCT = 0.2  # seconds; some CPUs take minutes for a large one in float16

# A launch of cuda/fma.cu: about a millisecond of an H100 in float32. 24 blocks a processor are
# whole waves of the 8, 6 or 4 that are resident, whatever the architecture.
BLOCK, BLOCKS, CHAINS, STEPS = 256, 24, 8, 4096

Step = Callable[[], object]


def measure(device: str) -> dict[str, Any]:
    """Measure a device: some 10 s, up to 25 s on a busy CPU. Keeps nothing (see ``better``).

    Parameters
    ----------
    device : "cpu" or "cuda:0"

    Returns
    -------
    dict
        The JSON of ``Ceilings``: "flops" {dtype: FLOP/s}, "bytes" [[working set, bytes/s], …].

    Raises
    ------
    BadInput
        A device that is not here, or a GPU without CuPy, which launches the multiply-adds, or
        with a torch that does not use it.
    """
    machine_name = describe.name(device)
    on_cpu = device == "cpu"
    if not on_cpu and (reason := namespaces.missing("cupy")):
        raise BadInput(f"ceilings of {device}: {reason}")
    if device not in namespaces.devices("torch"):
        raise BadInput(f"ceilings of {device}: this torch does not use it; see convcross doctor")
    import torch

    count = threads.usable()
    flops: dict[str, float] = {}
    measured: list[tuple[int, float]] = []
    shares: list[dict[str, float]] = []
    with threads.pinned(count), namespaces.on("torch", device):
        timer: Timer = _Host() if on_cpu else _Card()
        if on_cpu:
            sets = _sets(16 << 10, 4 * last_level_cache())
        else:
            cache = torch.cuda.get_device_properties(device).L2_cache_size
            sets = _sets(64 << 10, max(4 * cache, 1 << 30))
        while len(shares) < MOST_PASSES and sum(map(_quiet, shares)) < QUIET_PASSES:
            busy = ContentionWatch()
            for name, rate in _rates(timer, device):
                flops[name] = max(flops.get(name, 0.0), rate)
            measured += [(size, rate) for size in sets for rate in _passes(timer, size, device)]
            shares.append(busy.shares() if on_cpu else {})
    return Ceilings(
        machine=machine_name,
        device=device,
        threads=count if on_cpu else None,
        measured_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        commit=describe.commit(),
        versions=describe.versions(),
        cuda=None if on_cpu else describe.cuda_libraries(),
        flops=flops,
        bytes=ladder(measured),
        neighbours=min(shares, key=taken),
    ).model_dump(mode="json")


def _quiet(shares: Mapping[str, float]) -> bool:
    return taken(shares) <= NOTICED


def measure_and_keep(device: str) -> dict[str, Any]:
    """Measure a device, keep the best ever seen of each figure, and return those.

    Raises BadInput as ``measure``, and ``ceilings.load`` and ``ceilings.write`` do.
    """
    earlier = ceilings.load(describe.name(device))  # first: a damaged file is not worth the wait
    best = ceilings.better(earlier, measure(device))
    ceilings.write(best)
    return best


# ---- timing ----------------------------------------------------------------------------------


class Timer(Protocol):
    """Times a step on one device."""

    def time(self, step: Step) -> float:
        """Seconds of one call."""

    def repeated(self, step: Step, count: int) -> Step:
        """A step that does this one so many times."""


class _Host:
    def time(self, step: Step) -> float:
        begin = time.perf_counter()
        step()
        return time.perf_counter() - begin

    def repeated(self, step: Step, count: int) -> Step:
        def batch() -> None:
            for _ in range(count):
                step()

        return batch


class _Card:
    """CUDA events on torch's current stream; repeated steps are a graph, free of launches."""

    def __init__(self) -> None:
        import torch

        self.torch = torch
        self.begin, self.end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def time(self, step: Step) -> float:
        self.begin.record()
        step()
        self.end.record()
        self.end.synchronize()
        return float(self.begin.elapsed_time(self.end)) * 1e-3

    def repeated(self, step: Step, count: int) -> Step:
        graph = self.torch.cuda.CUDAGraph()
        with self.torch.cuda.graph(graph):
            for _ in range(count):
                step()
        replay: Step = graph.replay
        return replay


def _least(timer: Timer, step: Step) -> float:
    """The least seconds of one call, in as many calls as SECONDS hold."""
    until = time.perf_counter() + SECONDS
    best = timer.time(step)
    while time.perf_counter() < until:
        best = min(best, timer.time(step))
    return best


def _call(timer: Timer, step: Step) -> float:
    """The least seconds of one call, of batches where it is short."""
    step()  # what comes with a first call
    once = timer.time(step)
    count = math.ceil(BATCH / once)
    if once > SECONDS:
        return once
    return _least(timer, step if count == 1 else timer.repeated(step, count)) / count


# ---- what is timed ---------------------------------------------------------------------------


def _rates(timer: Timer, device: str) -> Iterator[tuple[str, float]]:
    """(dtype, FLOP/s), some of them several times."""
    for dtype in DTYPES if device == "cpu" else (*DTYPES, "tf32"):
        for rate in _products(timer, dtype, device):
            yield dtype, rate
    for dtype in ("float64", "float32"):
        yield dtype, _fma_peak(dtype) if device == "cpu" else _multiply_adds(timer, dtype, device)


def _fma_peak(dtype: str) -> float:
    """FLOP/s of a loop in the cores' registers: a tenth more than their matrix products reach."""
    return fma.peak_flops(dtype, threads.count(), SECONDS)


def _products(timer: Timer, dtype: str, device: str) -> Iterator[float]:
    """FLOP/s of square matrix products, from small to as large as time allows.

    Of zeros: they draw the least power, so that a GPU's clock stays highest.
    """
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if dtype == "tf32" else "highest")
    kind = getattr(torch, "float32" if dtype == "tf32" else dtype)
    size, seconds = SMALLEST_PRODUCT, 0.0
    try:
        while size <= LARGEST_PRODUCT and 8 * seconds < LONGEST_PRODUCT:
            seconds = _product(timer, torch.zeros(3, size, size, dtype=kind, device=device))
            yield 2 * size**3 / seconds
            size *= 2
    finally:
        torch.set_float32_matmul_precision(before)


def _product(timer: Timer, matrices: Any) -> float:
    """Seconds of the product of the first two matrices, into the third."""
    import torch

    a, b, out = matrices
    seconds = _call(timer, lambda: torch.mm(a, b, out=out))
    if a.device.type == "cpu" and a.dtype in (torch.float64, torch.float32):
        x, y, z = matrices.numpy()  # NumPy brings a BLAS of its own
        seconds = min(seconds, _call(timer, lambda: x.dot(y, out=z)))
    return seconds


def multiply_adds(dtype: str, steps: int = STEPS) -> cuda.Kernel:
    """``cuda/fma.cu`` for float32 or float64."""
    source = Path(__file__).with_name("fma.cu").read_text(encoding="utf-8")
    real = {"float32": "float", "float64": "double"}[dtype]
    return cuda.Kernel(
        f"""{source}
extern "C" __global__ void __launch_bounds__({BLOCK}, 8)
multiply_adds({real}* sums, const convcross::Line<{real}> line) {{
  convcross::multiply_add<{real}, {CHAINS}, {steps}>(sums, line);
}}
""",
        "multiply_adds",
        0,
    )


def _multiply_adds(timer: Timer, dtype: str, device: str) -> float:
    """FLOP/s of multiply-adds on CUDA cores."""
    import cupy
    import numpy as np

    blocks = BLOCKS * cuda.processors(device)
    launcher = cuda.on_gpu(multiply_adds(dtype), device)
    line = np.array([(0.5, 1.0)], dtype=[("slope", dtype), ("offset", dtype)])  # tends to 2
    with namespaces.on("cupy", device):
        sums = cupy.empty(blocks * BLOCK, dtype=dtype)

        def launch() -> None:
            launcher((blocks, 1, 1), (BLOCK, 1, 1), (sums, line), shared_mem=0)

        launch()
        return 2.0 * CHAINS * STEPS * blocks * BLOCK / _least(timer, launch)


def _sets(least: int, most: int) -> list[int]:
    """Working sets in bytes, doubling from the least to the first that reaches the most."""
    sizes = [least]
    while sizes[-1] < most:
        sizes.append(2 * sizes[-1])
    return sizes


def _passes(timer: Timer, size: int, device: str) -> Iterator[float]:
    """Bytes/s of a copy inside a working set of this size, and of reading all of it."""
    import torch

    values = torch.zeros(size // 4, device=device)
    source, target = values.split(size // 8)
    total = torch.empty((), device=device)
    yield size / _call(timer, lambda: target.copy_(source))
    yield size / _call(timer, lambda: torch.sum(values, 0, out=total))
