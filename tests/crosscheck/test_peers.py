"""The peers of the cross-check: those of a CPU as they are, those of a card with stand-ins."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import json
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import signal

from convcross.crosscheck import crosscheck, peers
from convcross.crosscheck.peers import Case
from convcross.measure.timing import cuda
from convcross.sweeps import data
from convkernels import namespaces
from convkernels.cuda import emulator, nvrtc
from support.cases import DIRECT, FFT, SMALL, WORK, compared

# ---- the peers of a CPU, as they are ---------------------------------------------------------


@pytest.mark.parametrize("peer", crosscheck.CPU_PEERS, ids=lambda peer: peer.name)
def test_a_peer_times_the_same_function(peer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if peer.name in crosscheck.missing([peer]):
        pytest.skip(f"{peer.name} is not installed")
    monkeypatch.setattr(peers, "SECONDS", 0.01)
    [(case, seconds)] = peer.medians([WORK], {WORK: 1e-3}).items()
    assert case == WORK
    assert 3e-5 < seconds < 0.1  # fixed work of less than a millisecond: its unit is right


def test_a_process_that_fails_says_why() -> None:
    nobody = Case("nobody/numpy@cpu", SMALL, "warm")
    with pytest.raises(RuntimeError, match=r"pyperf: exit 1: .*'nobody'"):
        peers.PyPerf().medians([nobody], {nobody: 1e-3})


def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(peers.LONGEST, "pyperf", 0.01)
    with pytest.raises(RuntimeError, match=r"pyperf: no answer in 0\.01 s"):
        peers._child("pyperf", WORK.to_json())


def test_the_function_is_the_contenders_run() -> None:
    with peers.subject(DIRECT) as run:
        y = run()
    x = data.image("normal", SMALL.x_shape, peers.SEED)
    w = data.kernel("normal", SMALL.w_shape, peers.SEED)
    np.testing.assert_allclose(y, signal.convolve2d(x, w, mode="same"), atol=1e-5)


# ---- the peers of a card, with stand-ins ------------------------------------------------------


RETURN_MODES = ("min", "max", "mean", "median", "all")


def do_bench(
    fn: Any,
    warmup: float = 25,
    rep: float = 100,
    grad_to_none: Any = None,
    quantiles: Any = None,
    return_mode: str = "mean",
) -> float:
    """As triton.testing has it (python/triton/testing.py of 3.6): milliseconds."""
    assert return_mode in RETURN_MODES
    fn()
    return 2.0


def do_bench_cudagraph(
    fn: Any,
    rep: float = 20,
    grad_to_none: Any = None,
    quantiles: Any = None,
    return_mode: str = "mean",
) -> float:
    """As above: six runs before the capture, which is on torch's stream."""
    assert return_mode in RETURN_MODES
    for _ in range(7):
        fn()
    return 3.0


def test_the_stand_ins_take_what_triton_takes() -> None:
    testing = pytest.importorskip("triton.testing", reason="Triton is not installed")
    for own in (do_bench, do_bench_cudagraph):
        theirs = inspect.signature(getattr(testing, own.__name__)).parameters
        for name, parameter in inspect.signature(own).parameters.items():
            assert theirs[name].default == parameter.default


def test_do_bench_flushes_and_its_graphs_are_held_against_graphs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    testing = SimpleNamespace(do_bench=do_bench, do_bench_cudagraph=do_bench_cudagraph)
    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace(testing=testing))
    monkeypatch.setitem(sys.modules, "triton.testing", testing)
    graph, flushed = (dataclasses.replace(DIRECT, regime=name) for name in ("graph", "flushed"))
    peer = peers.DoBench()
    assert peer.medians([graph, flushed], {graph: 1e-3, flushed: 1e-3}) == {
        graph: 3e-3,
        flushed: 2e-3,
    }

    def refused(name: str, regime: str) -> str:
        return peer.refuses(Case(f"{name}@cuda:0", SMALL, regime)) or ""

    assert refused("fft/cupy", "flushed") == refused("fft/torch", "flushed") == ""
    assert refused("fft/torch", "graph") == ""
    assert "torch's stream" in refused("fft/cupy", "graph")
    assert "replays graphs" in refused("fft/torch", "warm")
    assert peers.CudaBench().refuses(graph) == "it replays no graphs"
    assert peers.CudaBench().refuses(DIRECT) is None


class State:
    """As far as cuda-bench's is used."""

    def __init__(self) -> None:
        self.summaries: dict[str, float] = {}
        self.launches = 0

    def get_stream(self) -> None:
        return None

    def add_summary(self, name: str, value: float) -> None:
        self.summaries[name] = value

    def exec(self, launch: Any) -> None:
        for _ in range(3):
            assert launch(None) is None
            self.launches += 1


def test_what_cuda_bench_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    benchmarks: dict[str, Any] = {}
    given: list[list[str]] = []
    states: list[State] = []

    def run_all(arguments: list[str]) -> None:
        given.append(arguments)
        for function in benchmarks.values():
            states.append(State())
            function(states[-1])

    bench = SimpleNamespace(
        register=lambda function: SimpleNamespace(
            set_name=lambda name: benchmarks.update({name: function})
        ),
        run_all_benchmarks=run_all,
    )
    monkeypatch.setitem(sys.modules, "cuda", SimpleNamespace(bench=bench))
    monkeypatch.setitem(sys.modules, "cuda.bench", bench)
    monkeypatch.setattr(peers, "_stream", lambda place, stream: contextlib.nullcontext())
    peers._cuda_bench("out.json", DIRECT.to_json(), FFT.to_json())
    assert list(benchmarks) == ["case-0", "case-1"]
    assert given[0][given[0].index("--json") + 1] == "out.json"
    assert given[0][given[0].index("--timeout") + 1] == "1"
    assert [state.launches for state in states] == [3, 3]
    assert all(state.summaries["launch"] > 0 for state in states)


def summary(tag: str, value: float) -> dict[str, Any]:
    """As nvbench writes it: numbers are strings."""
    data = [{"name": "hint", "type": "string", "value": "duration"}]
    return {"tag": tag, "data": [*data, {"name": "value", "type": "float64", "value": str(value)}]}


def test_what_cuda_bench_says(monkeypatch: pytest.MonkeyPatch) -> None:
    fft = [dataclasses.replace(FFT, regime=regime) for regime in ("flushed", "warm")]
    direct = [dataclasses.replace(DIRECT, regime=regime) for regime in ("flushed", "warm")]

    def state(launch: float) -> dict[str, Any]:
        tags = {"nv/cold/time/gpu/median": 4e-5, "nv/batch/time/gpu/mean": 3e-5}
        tags["nv/python/launch"] = launch
        summaries = [summary(tag, value) for tag, value in tags.items()]
        return {"is_skipped": False, "skip_reason": None, "summaries": summaries}

    def child(peer: str, out: str, *cases: str) -> None:
        assert [Case.from_json(case).contender for case in cases] == [
            "fft/numpy@cpu",
            "direct/numpy@cpu",
        ]
        named = [("case-0", state(1e-5)), ("case-1", state(2.9e-5))]
        said = {"benchmarks": [{"name": name, "states": [one]} for name, one in named]}
        with open(out, "w") as file:
            json.dump(said, file)

    monkeypatch.setattr(peers, "_child", child)
    cases = [fft[0], direct[0], fft[1], direct[1]]
    found = peers.CudaBench().medians(cases, dict.fromkeys(cases, 3e-5))
    assert [found[case] for case in cases[:3]] == [4e-5, 4e-5, 3e-5]
    assert "launches take the host 29 µs" in str(found[direct[1]])


def test_what_cuda_bench_skips_is_not_compared() -> None:
    state = {"is_skipped": True, "skip_reason": "planted", "summaries": None}
    assert peers.CudaBench()._median(FFT, state, 1e-3) == "planted"


# ---- the spin kernel -------------------------------------------------------------------------


def test_a_spin_is_as_long_as_it_says() -> None:
    spin = Case("spin-4ms/cupy@cuda:0", WORK.problem, "warm")
    peer = peers.KnownLength()
    assert peer.medians([spin], {spin: 1.0}) == {spin: 4e-3}
    assert (peer.refuses(spin), peer.limit) == (None, 0.01)
    assert peer.refuses(DIRECT) is not None


@pytest.mark.parametrize("compiler", nvrtc.COMPILERS)
def test_spin_compiles_for_sm_90(compiler: str) -> None:
    if reason := nvrtc.missing(compiler):
        pytest.skip(reason)
    found = nvrtc.resources(cuda.source("spin"), compiler)
    assert found.spilled_bytes == found.stack_bytes == 0


@pytest.mark.skipif(emulator.compiler() is None, reason="no C++ compiler: $CXX, g++")
def test_spin_computes_and_waits() -> None:
    clock = """
    static unsigned long long ns = 7;
    static inline unsigned long long globaltimer() { return ns += 10; }
    extern "C" unsigned long long reading() { return ns; }
    """
    kernel = cuda.source("spin")
    kernel = dataclasses.replace(kernel, source=clock + kernel.source)
    x, w, y = np.arange(70, dtype=np.float32), np.float32([3]), np.zeros(70, np.float32)
    by_value = [("value", np.int32)], [("value", np.uint64)]
    count, length = (np.array([(n,)], kind) for n, kind in zip((64, 5000), by_value, strict=True))
    launch = emulator.on_cpu(kernel)
    launch((1, 1, 1), (32, 1, 1), (x, w, y, count, length), shared_mem=0)
    np.testing.assert_array_equal(y, [*(3 * x[:64]), *[0] * 6])
    assert emulator._library(kernel).reading() >= 5000


@pytest.mark.gpu
def test_our_timer_agrees_with_a_spin_of_known_length() -> None:
    if reason := namespaces.missing("cupy"):
        pytest.skip(reason)
    [found] = crosscheck.groups("cuda:0")
    spins = [case for case in found if "spin" in case.contender]
    rows, _ = compared(spins, peers.KnownLength(), rounds=1)
    assert [row.within for row in rows] == [True] * len(rows), rows
