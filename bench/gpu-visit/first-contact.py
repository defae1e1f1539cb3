"""What was read of CUDA, CuPy and torch, and never seen on a card: whether it holds on this one.

python bench/gpu-visit/first-contact.py [check...] [--device cuda:0]

In the order of what each would spoil: the process of all that follows, a cell, a number. Each check
runs in a process of its own, for LIMIT seconds at most, and prints a line: that it holds, with what
it saw, or why it does not. Exit code 1 where one does not hold; without a card none is asked.
"""

from __future__ import annotations

import argparse
import functools
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from convcross.measure import cold_libraries, phases
from convcross.measure.observers import profiler
from convcross.measure.timing import cuda as cuda_clock
from convcross.measure.timing import graphs
from convcross.measure.trial import classify
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits
from convkernels import Problem, UnsupportedProblem, namespaces
from convkernels.cuda import kernel as cuda
from convkernels.discovery import find

LIMIT = 45.0  # seconds of a check

Check = Callable[[str], str]
CHECKS: dict[str, Check] = {}


def check(function: Check) -> Check:
    """A check: it returns what it saw, or raises. Its docstring is what should hold."""
    CHECKS[function.__name__.replace("_", "-")] = function
    return function


def here() -> list[str]:
    return [name for name in ("torch", "cupy") if namespaces.missing(name) is None]


def prepared(name: str, namespace: str, device: str, problem: Problem) -> tuple[Any, Any, Any]:
    """An instance, planned and loaded; its image and its filter, of ones."""
    ones = (np.ones(shape) for shape in (problem.x_shape, problem.w_shape))
    x, w = (namespaces.from_numpy(values, namespace, device, "float32") for values in ones)
    instance = find(name).prepare(problem, namespace, device)
    instance.load(w)
    return instance, x, w


def square(side: int, n: int) -> Problem:
    return Problem((side, side), (n, n), mode="same")


def median(watch: cuda_clock.CudaStopwatch, step: Callable[[], Any], count: int = 1) -> float:
    """Seconds of so many steps, warm."""

    def steps() -> None:
        for _ in range(count):
            step()

    return float(statistics.median(watch.time([steps], flush=False)[0] for _ in range(21)))


def a_duel(device: str, *names: str) -> Duel:
    return Duel(
        id="first-contact",
        problem=square(256, 7),
        contenders=[f"{name}@{device}" for name in names],
        image_data="normal",
        kernel_data="normal",
        seed=0,
        regime=None,
        threads=1,
        limits=Limits(seconds=0.05, samples=8),
        algorithm_paths=[],
    )


def require(holds: bool, told: str) -> None:
    if not holds:
        raise AssertionError(told)


@check
def failed_capture(device: str) -> str:
    """A graph capture that fails leaves torch's allocator as it was."""
    import torch

    with namespaces.on("torch", device):
        x = torch.ones(1 << 20, device=device)

        def waits() -> Any:
            y = x * 2
            torch.cuda.synchronize()
            return y

        for _ in range(2):
            try:
                graphs.capture([waits], "torch", device)
            except UnsupportedProblem as refusal:
                told = str(refusal)
            else:
                raise AssertionError("a step that waits was captured")
        torch.cuda.empty_cache()
        (run,) = graphs.capture([lambda: x * 3], "torch", device)
        require(float(run()[0]) == 3.0, "a later capture gives another result")  # type: ignore[index]
    return f"{told}; {len(graphs._failed)} ended by hand"


@check
def profiles(device: str) -> str:
    """One profile after the other tells kernels, and none dumps core."""
    names = [f"{name}/{namespace}" for namespace in here() for name in ("fft", "direct")]
    duel = a_duel(device, *names)
    for turn in range(3):
        for name in duel.contenders:
            told = profiler.executed(duel, str(name))
            require(not told["reason"], f"{name}, turn {turn + 1}: {told['reason']}")
    return f"{3 * len(names)} profiles"


@check
def memory_words(device: str) -> str:
    """Memory that runs out is oom, whoever says so."""
    seen = []
    for namespace in here():
        for act in (_huge_array, _huge_transforms):
            try:
                with namespaces.on(namespace, device):
                    act(namespaces.namespace(namespace), device)
            except Exception as error:
                status, reason = classify(error)
                require(status == "oom", f"{namespace}: {status}: {reason}")
                seen.append(reason[:60])
    require(len(seen) == 2 * len(here()), f"memory did not run out each time: {seen}")
    return "; ".join(seen)


def _huge_array(xp: Any, device: str) -> None:
    xp.empty(1 << 46, dtype=xp.float32, device=device if xp.__name__.endswith("torch") else None)


def _huge_transforms(xp: Any, device: str) -> None:
    """More and more, until a plan or its result finds no room."""
    place = device if xp.__name__.endswith("torch") else None
    x = xp.ones((1 << 14, 1 << 14), dtype=xp.float32, device=place)
    [xp.fft.rfftn(x) for _ in range(1000)]


@check
def cold_loads(device: str) -> str:
    """What a first call loads is loaded before."""
    seen = []
    for namespace in here():
        begin = time.perf_counter()
        cold_libraries.load(namespace, device)
        cold = time.perf_counter() - begin
        begin = time.perf_counter()
        with namespaces.on(namespace, device):
            instance, x, _ = prepared("fft", namespace, device, square(256, 7))
            instance.run(x)
            namespaces.synchronize(namespace, device)
        first = time.perf_counter() - begin
        told = f"{namespace} {cold:.1f} s, a first FFT {first:.2f} s"
        require(first < 5, told)
        seen.append(told)
    return ", ".join(seen)


@check
def contexts(device: str) -> str:
    """A process that has ended holds nothing of the card when the next begins."""
    import cupy

    from convcross.run.workers.isolation import Isolated

    def used() -> int:
        free, total = cupy.cuda.runtime.memGetInfo()
        return int(total - free)

    before, after = used(), []
    for launch in (1, 2):
        isolated = Isolated()
        duel = a_duel(device, "fft/cupy")
        found = isolated.measure(duel if launch == 1 else duel.relaunched(launch))
        require(found.records[0].status == "ok", str(found.records[0].reason))
        isolated.close()
        after.append(used() - before)
    require(max(after) < 64 << 20, f"{max(after) >> 20} MiB are still held")
    return f"{max(after) >> 20} MiB left"


@check
def held_streams(device: str) -> str:
    """Some thousand launches can be held, and one stall of the host ends no holding."""
    seen = []
    for namespace in here():
        instance, x, _ = prepared("direct", namespace, device, square(256, 31))
        watch = cuda_clock.CudaStopwatch(namespace, device)
        with namespaces.on(namespace, device):
            for _ in range(3):
                (seconds,) = watch.time([functools.partial(instance.run, x)], flush=True)
            require(watch.held, f"{namespace}: direct at n = 31 cannot be held")
            require(not watch.launch_bound, f"{namespace}: held, and called launch-bound")
            stalls = iter([0.06])

            def stalled(i: Any = instance, x: Any = x, stalls: Any = stalls) -> Any:
                time.sleep(next(stalls, 0.0))
                return i.run(x)

            (again,) = watch.time([stalled], flush=True)
        require(watch.held, f"{namespace}: one stall ends holding")
        told = f"{namespace} {1e6 * seconds:.0f} µs, {1e6 * again:.0f} after a stall"
        require(again < 2 * seconds, told)
        seen.append(told)
    return ", ".join(seen)


@check
def launch_bound(device: str) -> str:
    """More launches than can be held are told, unless the device is busy with them."""
    seen = []
    for namespace in here():
        for side, wanted in ((128, True), (8192, False)):
            instance, x, _ = prepared("direct", namespace, device, square(side, 47))
            watch = cuda_clock.CudaStopwatch(namespace, device)
            with namespaces.on(namespace, device):
                for _ in range(3):
                    watch.time([functools.partial(instance.run, x)], flush=False)
            told = f"{namespace}, N = {side}: held {watch.held}, launch-bound {watch.launch_bound}"
            require(watch.launch_bound is wanted and not watch.held, told)
            seen.append(told)
    return "; ".join(seen)


@check
def cuda_direct(device: str) -> str:
    """cuda-direct takes 63 x 63, is right, and keeps its sums in registers."""
    import cupy

    seen = []
    for n in (15, 31, 33, 63):
        problem = square(1024, n)
        with namespaces.on("cupy", device):
            ours, x, _ = prepared("cuda-direct", "cupy", device, problem)
            other, _, _ = prepared("fft", "cupy", device, problem)
            y = ours.run(x)
            apart = float(cupy.linalg.norm(y - other.run(x)) / cupy.linalg.norm(y))
        spilled, registers = ours.launcher.local_size_bytes, ours.launcher.num_regs
        require(apart < 1e-4, f"n = {n}: {apart:.1e} from fft")
        require(spilled == 0, f"n = {n}: {spilled} bytes of a thread are in memory")
        seen.append(f"n = {n}: {registers} registers")
    return ", ".join(seen)


@check
def events(device: str) -> str:
    """What events and launches add to a sample is little beside a batch."""
    seen = []
    for namespace in here():
        instance, x, _ = prepared("direct", namespace, device, square(256, 1))
        watch = cuda_clock.CudaStopwatch(namespace, device)
        step = functools.partial(instance.run, x)
        with namespaces.on(namespace, device):
            one, many = (median(watch, step, count) for count in (1, 41))
        added = one - (many - one) / 40
        share = added / (phases.BATCH * phases.SHORTEST["cuda"])
        require(share < 0.01, f"{namespace}: {1e6 * added:.1f} µs, {share:.1%} of a batch")
        seen.append(f"{namespace} {1e6 * added:.1f} µs")
    return ", ".join(seen)


@check
def replays(device: str) -> str:
    """A replayed graph gives what was captured, and takes no longer than launches that are held."""
    seen = []
    for namespace in here():
        with namespaces.on(namespace, device):
            instance, x, _ = prepared("fft", namespace, device, square(1024, 15))
            step = functools.partial(instance.run, x)
            eager = namespaces.to_numpy(step()).copy()
            (run,) = graphs.capture([step], namespace, device)
            y = namespaces.to_numpy(run())
            require(bool((y == eager).all()), f"{namespace}: a replay differs")
            watch = cuda_clock.CudaStopwatch(namespace, device)
            steps: dict[str, Callable[[], Any]] = {"launched": step, "replayed": run}
            took = {name: median(watch, step) for name, step in steps.items()}
        told = ", ".join(f"{name} {1e6 * seconds:.1f} µs" for name, seconds in took.items())
        require(took["replayed"] < 1.2 * took["launched"], f"{namespace}: {told}")
        seen.append(f"{namespace} {told}")
    return "; ".join(seen)


@check
def counters(device: str) -> str:
    """Nsight Compute, where it is there, finds our kernels by their function names."""
    ncu, script = shutil.which("ncu"), str(Path(__file__).with_name("launch-once.py"))
    if ncu is None:
        return "no ncu here"
    names = subprocess.run(
        [sys.executable, script, "--names"], capture_output=True, text=True, check=True
    ).stdout.strip()
    command = [ncu, "--kernel-name-base", "function", "--kernel-name", f"regex:{names}"]
    command += ["--section", "LaunchStats", sys.executable, script, "--device", device]
    done = subprocess.run(command, capture_output=True, text=True)
    told = (re.findall(r"==ERROR== (.*)", done.stdout + done.stderr) or ["no kernel was met"])[0]
    found = re.findall(r"^  (direct|overlap_save)\b", done.stdout, re.MULTILINE)
    require({"direct", "overlap_save"} <= set(found), told)
    return f"{len(found)} launches"


@check
def clock(device: str) -> str:
    """The pooled SM clock is the last one, once the card has spun up."""
    spin = cuda.on_gpu(cuda_clock.source("spin"), device)
    nothing = (np.uint64(0),) * 3
    watch = cuda_clock.CudaStopwatch("cupy", device)

    def wait(ns: int) -> float:
        arguments = (*nothing, np.int32(0), np.uint64(ns))
        watch.time([functools.partial(spin, (1,), (1,), arguments)], flush=False)
        return watch.sm_hz or 0.0

    first = wait(20_000_000)
    begin, before = time.monotonic(), first
    while time.monotonic() - begin < 5 and (now := wait(20_000_000)) > 1.01 * before:
        before = now
    watch.reset_clock()
    last = [wait(1_000_000) for _ in range(5)][-1]
    pooled = watch.pooled_sm_hz() or 0.0
    require(abs(pooled / last - 1) < 0.05, f"pooled {pooled / 1e6:.0f} MHz, last {last / 1e6:.0f}")
    return f"{first / 1e6:.0f} MHz at first, {last / 1e6:.0f} then"


def ask(name: str, device: str, limit: float) -> str | None:
    """Run a check in a process of its own and print its line; why it does not hold, or None."""
    command = [sys.executable, __file__, name, "--device", device, "--inside"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return f"no answer in {limit:g} s"
    lines = (done.stdout if done.returncode in (0, 1) else done.stderr).strip().splitlines()
    told = lines[-1] if lines else "it said nothing"
    if done.returncode == 0:
        print(f"holds   {name}: {told}", flush=True)
        return None
    return told if done.returncode == 1 else f"exit code {done.returncode}: {told}"


def inside(name: str, device: str) -> int:
    """Run a check here; the last line is what it says."""
    try:
        print(CHECKS[name](device))
    except Exception as error:
        line = (str(error).strip().splitlines() or ["no message"])[0]
        print(line if isinstance(error, AssertionError) else f"{type(error).__name__}: {line}")
        return 1
    return 0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("checks", nargs="*", metavar="check")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--inside", action="store_true")
    asked = parser.parse_args()
    for name in asked.checks:
        if name not in CHECKS:
            parser.error(f"check is {name!r}; allowed: {', '.join(CHECKS)}")
    if asked.inside:
        return inside(asked.checks[0], asked.device)
    if namespaces.cuda_devices() == 0:
        print(f"no CUDA GPU: {len(CHECKS)} checks are not asked")
        return 0
    broken = 0
    for name in asked.checks or CHECKS:
        reason = ask(name, asked.device, LIMIT)
        if reason is not None:
            broken += 1
            what = " ".join((CHECKS[name].__doc__ or "").split())
            print(f"BROKEN  {name}: {reason} (expected: {what})", flush=True)
    print(f"{broken} of {len(asked.checks or CHECKS)} checks do not hold")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
