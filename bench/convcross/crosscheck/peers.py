"""Timers that others wrote, on the functions that convcross times.

A peer times the ``run`` of a contender that was planned and loaded as ``measure`` does it, on the
same operands. pyperf and cuda-bench want a process of their own:
``python -m convcross.crosscheck.peers``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from convcross.machine import threads
from convcross.measure.phases import SHORTEST
from convcross.sweeps import data
from convcross.sweeps.contenders import Contender
from convkernels import Problem, namespaces
from convkernels.cuda.kernel import Handle
from convkernels.discovery import find, load_path

KNOWN_WORK = str(Path(__file__).with_name("known_work.py"))
SEED = 0
THREADS = 1  # timers are compared, not libraries: one core is the quieter place
SECONDS = 0.5  # that a peer on a CPU times a case for, warm-up aside
LONGEST = {"pyperf": 15.0, "cuda-bench": 45.0}  # seconds of a peer's process
CUDA_BENCH = (
    "--stopping-criterion stdrel --min-time 0.1 --max-noise 0.5 --batch-target-time 0.1 --timeout 1"
)


@dataclasses.dataclass(frozen=True)
class Case:
    """A contender ("fft/torch@cpu") on a problem in a regime."""

    contender: str
    problem: Problem
    regime: str

    @property
    def name(self) -> str:
        (height, width), (kh, kw) = self.problem.image, self.problem.kernel
        return f"{self.contender.partition('@')[0]} {height}×{width} {kh}×{kw}"

    def to_json(self) -> str:
        """For the command line of another process."""
        return json.dumps([self.contender, self.problem.to_json(), self.regime])

    @classmethod
    def from_json(cls, text: str) -> Case:
        """The case that ``to_json`` wrote."""
        contender, problem, regime = json.loads(text)
        return cls(contender, Problem.from_json(problem), regime)


@contextlib.contextmanager
def subject(case: Case) -> Iterator[Callable[[], Any]]:
    """A block in which the function can be timed, in the state in which ``measure`` times it: the
    contender's ``run`` on operands of the same values, threads pinned, its device the current one.
    """
    load_path(KNOWN_WORK)
    problem, place = case.problem, Contender(case.contender)
    namespaces.namespace(place.namespace)  # before threads are pinned
    x = data.image("normal", problem.x_shape, SEED)
    w = data.kernel("normal", problem.w_shape, SEED)
    with threads.pinned(THREADS), namespaces.on(place.namespace, place.device):
        a, b = (
            namespaces.from_numpy(values, place.namespace, place.device, problem.dtype)
            for values in (x, w)
        )
        instance = place.found.prepare(problem, place.namespace, place.device)
        instance.load(b)
        namespaces.synchronize(place.namespace, place.device)
        yield functools.partial(instance.run, a)


class Peer(Protocol):
    """Another timer.

    limit : of |ours / its median − 1|
    package : what pip installs, or None where nothing is to be installed
    modules : that this takes, the outer ones first
    """

    @property
    def name(self) -> str: ...
    @property
    def limit(self) -> float: ...
    @property
    def package(self) -> str | None: ...
    @property
    def modules(self) -> tuple[str, ...]: ...

    def refuses(self, case: Case) -> str | None:
        """Why it cannot time this case, or None."""

    def medians(
        self, cases: Sequence[Case], expected: Mapping[Case, float]
    ) -> dict[Case, float | str]:
        """Seconds of each case, or why there are none. ``expected``: about how long a run is."""


@dataclasses.dataclass(frozen=True)
class PyPerf:
    """pyperf: a worker process of its own, which times batches as long as ours."""

    name: str = "pyperf"
    limit: float = 0.03
    package: str | None = "pyperf"
    modules: tuple[str, ...] = ("pyperf",)

    def refuses(self, case: Case) -> str | None:
        return None

    def medians(
        self, cases: Sequence[Case], expected: Mapping[Case, float]
    ) -> dict[Case, float | str]:
        return {case: self._median(case, expected[case]) for case in cases}

    def _median(self, case: Case, expected: float) -> float:
        pyperf = importlib.import_module("pyperf")
        loops = math.ceil(SHORTEST["cpu"] / expected)
        values = min(2000, max(5, round(SECONDS / (loops * expected))))
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "pyperf.json")
            options = ["--processes=1", f"--loops={loops}", f"--values={values}"]
            options += [f"--warmups={values // 3 + 1}", "--copy-env", "--quiet", f"--output={out}"]
            _child(self.name, case.to_json(), *options)
            [benchmark] = pyperf.BenchmarkSuite.load(str(out)).get_benchmarks()
        return float(benchmark.median())


@dataclasses.dataclass(frozen=True)
class TorchTimer:
    """torch.utils.benchmark.Timer in this process."""

    name: str = "torch Timer"
    limit: float = 0.03
    package: str | None = "torch"
    modules: tuple[str, ...] = ("torch",)

    def refuses(self, case: Case) -> str | None:
        return None

    def medians(
        self, cases: Sequence[Case], expected: Mapping[Case, float]
    ) -> dict[Case, float | str]:
        from torch.utils import benchmark

        found: dict[Case, float | str] = {}
        for case in cases:
            with subject(case) as run:
                timer = benchmark.Timer("run()", globals={"run": run}, num_threads=THREADS)
                timer.blocked_autorange(min_run_time=SECONDS / 3)  # warms up
                found[case] = timer.blocked_autorange(min_run_time=SECONDS).median
        return found


@dataclasses.dataclass(frozen=True)
class DoBench:
    """triton.testing: do_bench flushes the L2 before each run; do_bench_cudagraph replays a graph
    of many runs of what torch launches, back to back, as ours replays a graph of one."""

    name: str = "do_bench"
    limit: float = 0.02
    package: str | None = "triton"
    modules: tuple[str, ...] = ("triton", "torch")

    def refuses(self, case: Case) -> str | None:
        if case.regime == "warm":
            return "do_bench flushes, and do_bench_cudagraph replays graphs"
        if case.regime == "graph" and Contender(case.contender).namespace != "torch":
            return "do_bench_cudagraph captures torch's stream only"
        return None

    def medians(
        self, cases: Sequence[Case], expected: Mapping[Case, float]
    ) -> dict[Case, float | str]:
        testing = importlib.import_module("triton.testing")
        found: dict[Case, float | str] = {}
        for case in cases:
            place = Contender(case.contender)
            with namespaces.on("torch", place.device), subject(case) as run:
                if case.regime == "graph":
                    for _ in range(max(3, round(0.05 / expected[case]))):
                        run()  # its own warm-up is one run
                    milliseconds = testing.do_bench_cudagraph(run, rep=20, return_mode="median")
                else:
                    milliseconds = testing.do_bench(run, warmup=100, rep=100, return_mode="median")
            found[case] = 1e-3 * milliseconds
        return found


@dataclasses.dataclass(frozen=True)
class CudaBench:
    """cuda-bench (nvbench): cold is flushed, batch is warm; a process for the cases of a call.

    Its batches hide the launches of two runs only. Where the host takes longer to launch a run than
    the device to execute it, a batch has the host's time, and there is nothing to compare.
    """

    name: str = "cuda-bench"
    limit: float = 0.02
    package: str | None = "cuda-bench[cu13]"
    modules: tuple[str, ...] = ("cuda", "cuda.bench")

    def refuses(self, case: Case) -> str | None:
        return "it replays no graphs" if case.regime == "graph" else None

    def medians(
        self, cases: Sequence[Case], expected: Mapping[Case, float]
    ) -> dict[Case, float | str]:
        names = list(dict.fromkeys((case.contender, case.problem) for case in cases))
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "cuda-bench.json")
            _child(self.name, str(out), *(Case(*name, "").to_json() for name in names))
            answer = json.loads(out.read_text(encoding="utf-8"))
        states = {benchmark["name"]: benchmark["states"][0] for benchmark in answer["benchmarks"]}
        return {
            case: self._median(
                case, states[f"case-{names.index((case.contender, case.problem))}"], expected[case]
            )
            for case in cases
        }

    def _median(self, case: Case, state: Mapping[str, Any], expected: float) -> float | str:
        if state["is_skipped"]:
            return str(state["skip_reason"])
        values = {
            summary["tag"]: entry["value"]
            for summary in state["summaries"]
            for entry in summary["data"]
            if entry["name"] == "value"
        }
        if case.regime == "flushed":
            return float(values["nv/cold/time/gpu/median"])
        launch = float(values["nv/python/launch"])
        if launch > 0.8 * expected:
            return f"a run's launches take the host {1e6 * launch:.0f} µs: its batch is the host's"
        return float(values["nv/batch/time/gpu/mean"])


@dataclasses.dataclass(frozen=True)
class KnownLength:
    """How long a spin kernel waits on the device's own clock."""

    name: str = "known length"
    limit: float = 0.01
    package: str | None = None
    modules: tuple[str, ...] = ()

    def refuses(self, case: Case) -> str | None:
        return None if case.contender.startswith("spin-") else "its length is not known"

    def medians(
        self, cases: Sequence[Case], expected: Mapping[Case, float]
    ) -> dict[Case, float | str]:
        load_path(KNOWN_WORK)
        found = {case: find(Contender(case.contender).algorithm) for case in cases}
        return {case: float(known.implementation.seconds) for case, known in found.items()}  # type: ignore[attr-defined]


def _child(peer: str, *arguments: str) -> None:
    """Run this file in a process of its own, which finds the modules that this one finds.

    Raises RuntimeError with the first error that it told of, or after LONGEST seconds.
    """
    command = [sys.executable, "-m", "convcross.crosscheck.peers", peer, *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        subprocess.run(
            command,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=LONGEST[peer],
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{peer}: no answer in {LONGEST[peer]:g} s") from None
    except subprocess.CalledProcessError as error:
        output = str(error.stderr or error.stdout).strip()
        # pyperf's own error comes last, after that of its worker.
        errors = re.findall(r"^\w[\w.]*Error: .*$", output, re.MULTILINE)
        errors = errors or output.splitlines()[-1:]
        raise RuntimeError(f"{peer}: exit {error.returncode}: {' '.join(errors[:1])}") from None


def _pyperf() -> None:
    """pyperf's own command line with one more argument, the case."""
    pyperf = importlib.import_module("pyperf")
    runner = pyperf.Runner(
        program_args=("-m", "convcross.crosscheck.peers", "pyperf"),
        add_cmdline_args=lambda command, options: command.append(options.case),
    )
    runner.argparser.add_argument("case")
    options = runner.parse_args()
    case = Case.from_json(options.case)
    if not options.worker:  # it starts the worker and times nothing itself
        runner.bench_func(case.name, lambda: None)
        return
    with subject(case) as run:
        runner.bench_func(case.name, run)


def _cuda_bench(out: str, *cases: str) -> None:
    """Cold and batched measurements of each case, as the benchmarks case-0, case-1, …"""
    bench = importlib.import_module("cuda.bench")
    devices = set()
    for index, case in enumerate(map(Case.from_json, cases)):
        devices.add(Contender(case.contender).device)
        bench.register(functools.partial(_state, case)).set_name(f"case-{index}")
    [device] = devices
    bench.run_all_benchmarks(
        [
            "cuda-bench",
            "--devices",
            device.partition(":")[2],
            "--quiet",
            "--json",
            out,
            *CUDA_BENCH.split(),
        ]
    )


def _state(case: Case, state: Any) -> None:
    place = Contender(case.contender)
    # The stream of every launch of this state: entered once, so that a batch does not pay for it.
    with _stream(place, state.get_stream()), subject(case) as run:
        for _ in range(3):
            run()
        namespaces.synchronize(place.namespace, place.device)
        runs = 10
        begin = time.perf_counter()
        for _ in range(runs):
            run()
        state.add_summary("launch", (time.perf_counter() - begin) / runs)
        namespaces.synchronize(place.namespace, place.device)

        def launch(handle: Any) -> None:
            run()

        state.exec(launch)


def _stream(place: Contender, stream: Any) -> contextlib.AbstractContextManager[Any]:
    """cuda-bench's stream as the library's current one."""
    if place.namespace == "cupy":
        import cupy

        theirs: contextlib.AbstractContextManager[Any] = cupy.cuda.Stream.from_external(
            Handle(stream.addressof())
        )
        return theirs
    import torch

    own = torch.cuda.ExternalStream(stream.addressof(), device=place.device)
    current: contextlib.AbstractContextManager[Any] = torch.cuda.stream(own)
    return current


if __name__ == "__main__":
    if sys.argv[1] == CudaBench.name:
        _cuda_bench(*sys.argv[2:])
    else:
        del sys.argv[1]  # the rest is pyperf's
        _pyperf()
