"""The cross-check's table with stand-ins; the peers of a CPU as they are, those of a card not."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import signal

from convcross import cli, cross_check, cuda_clock, data, peers
from convcross.doctor import pip
from convcross.peers import Case
from convcross.spec import Limits
from convkernels import Problem, namespaces
from convkernels.cuda import ahead, emulator
from convkernels.registry import Algorithm, load_path
from planted import forgotten

FAST = Limits(seconds=0.001, samples=12)
SMALL = Problem((16, 16), (3, 3), mode="same")
DIRECT = Case("direct/numpy@cpu", SMALL, "warm")
FFT = Case("fft/numpy@cpu", SMALL, "warm")
WORK = Case("fixed-work/numpy@cpu", Problem((8, 8), (1, 1), mode="same"), "warm")


@pytest.fixture(autouse=True, scope="module")
def registry_as_it_was() -> Iterator[None]:
    with forgotten():
        load_path(peers.KNOWN_WORK)
        yield


@dataclasses.dataclass(frozen=True)
class Stand:
    """A peer that says ours times a factor; the factors of one turn after the other."""

    factors: tuple[float, ...] = (1.0,)
    name: str = "stand-in"
    limit: float = 0.02
    package: str | None = None
    modules: tuple[str, ...] = ()
    refused: str = ""  # a case whose contender begins so
    turns: list[int] = dataclasses.field(default_factory=list, hash=False, compare=False)

    def refuses(self, case: Case) -> str | None:
        refused = self.refused and case.contender.startswith(self.refused)
        return "not such" if refused else None

    def medians(
        self, cases: Sequence[Case], expected: Mapping[Case, float]
    ) -> dict[Case, float | str]:
        factor = self.factors[len(self.turns) % len(self.factors)]
        self.turns.append(len(cases))
        return {case: expected[case] * factor for case in cases}


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What ours says of every case, turn by turn; the last one for good."""
    values = [1e-3]

    def measure(duel: dict[str, Any]) -> dict[str, Any]:
        value = values.pop(0) if len(values) > 1 else values[0]
        rows = []
        for name in duel["contenders"]:
            algorithm, _, place = name.partition("/")
            ok = math.isfinite(value)
            rows.append(
                {
                    "duel": duel["id"],
                    "problem": duel["problem"],
                    "algorithm": algorithm,
                    "namespace": place.partition("@")[0],
                    "device": place.partition("@")[2],
                    "family": "direct",
                    "arithmetic": "ieee",
                    "image_data": "normal",
                    "kernel_data": "normal",
                    "seed": 0,
                    "regime": duel["regime"],
                    "status": "ok" if ok else "wrong",
                    "reason": None if ok else "planted",
                    "median_s": value if ok else None,
                    "ci_low_s": 0.99 * value if ok else None,
                    "ci_high_s": 1.02 * value if ok else None,
                    "started_at": "2026-01-01T00:00:00+00:00",
                }
            )
        return {"records": rows, "seconds": {}, "neighbours": {"others": 0.3, "stolen": 0.0}}

    monkeypatch.setattr(cross_check, "measure", measure)
    return values


def compared(
    cases: Sequence[Case], *stands: Any, budget: float = 60.0, rounds: int = 3
) -> tuple[list[cross_check.Row], list[str]]:
    lines: list[str] = []
    groups = [list(group) for _, group in itertools.groupby(cases, lambda case: case.problem)]
    rows = cross_check.compare(
        groups, stands, limits=FAST, budget=budget, tell=lines.append, rounds=rounds
    )
    return rows, lines


# ---- the table, with stand-ins ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "within"), [(1.0, True), (1.019, True), (0.982, True), (1.03, False), (0.97, False)]
)
def test_a_peer_is_within_its_limit_or_not(factor: float, within: bool, ours: list[float]) -> None:
    [row], _ = compared([DIRECT], Stand((factor,)))
    assert row.within is within
    assert row.ratio == pytest.approx(1 / factor)
    assert (row.ours_s, row.ci_low_s, row.ci_high_s) == pytest.approx((1e-3, 0.99e-3, 1.02e-3))
    assert (row.case, row.regime, row.peer) == ("direct/numpy 16×16 3×3", "warm", "stand-in")
    assert (row.rounds, row.limit, row.reason) == (3, 0.02, None)


def test_the_quietest_turn_of_each_side_counts(ours: list[float]) -> None:
    ours[:] = [2e-3, 1e-3, 5e-3]
    [row], _ = compared([DIRECT], Stand((1.0, 3.0, 0.2)))  # 2, 3 and 1 ms
    assert (row.ours_s, row.peer_s, row.within) == (1e-3, pytest.approx(1e-3), True)


def test_ours_and_the_peers_take_turns(ours: list[float]) -> None:
    one, two = Stand(), Stand(name="another")
    rows, lines = compared([DIRECT, FFT, WORK], one, two, rounds=2)
    assert [(row.case, row.peer) for row in rows] == [
        (case.name, peer.name) for case in (DIRECT, FFT, WORK) for peer in (one, two)
    ]
    assert one.turns == two.turns == [2, 1, 2, 1]  # the cases of a problem together
    assert sum(line.endswith(": ours") for line in lines) == 4
    assert lines[-1] == "other processes took 30% of the cores while ours was timed"


def test_what_a_peer_refuses_is_not_compared(ours: list[float]) -> None:
    refusing = Stand((9.0,), refused="direct")
    rows, _ = compared([DIRECT, FFT], refusing)
    assert [(row.within, row.reason) for row in rows] == [(None, "not such"), (False, None)]
    assert refusing.turns == [1, 1, 1]
    assert rows[0].ours_s is not None
    assert cross_check.verdict(rows[:1]) == "nothing was compared"
    assert cross_check.verdict(rows) == "1 of 1 comparisons are outside their limits, or failed"


def test_a_peer_that_fails_costs_its_rows_and_no_others(ours: list[float]) -> None:
    class Fails(Stand):
        def medians(self, cases: Any, expected: Any) -> Any:
            self.turns.append(len(cases))
            raise OSError("planted\nmore")

    fails, sound = Fails(name="fails"), Stand()
    rows, lines = compared([DIRECT], fails, sound)
    assert [(row.within, row.reason) for row in rows] == [
        (False, "OSError: planted"),
        (True, None),
    ]
    assert fails.turns == [1]  # it is not asked again
    assert "round 1 of 3: fails: OSError: planted" in lines


def test_ours_that_fails_is_no_agreement(ours: list[float]) -> None:
    ours[:] = [math.nan, 1e-3]
    [row], _ = compared([DIRECT], Stand())
    assert (row.within, row.reason) == (False, "ours: planted")


def test_no_turn_begins_after_the_budget(ours: list[float]) -> None:
    stand = Stand()
    [row], lines = compared([DIRECT], stand, budget=-1.0)
    assert (stand.turns, lines) == ([], [])
    assert (row.within, row.rounds) == (None, 0)
    assert "time was spent" in (row.reason or "")


def test_turns_that_only_ours_had_do_not_count(ours: list[float]) -> None:
    case, stand = DIRECT, Stand()
    row = cross_check._row(case, stand, [(2e-3,) * 3, (1e-3,) * 3], [2e-3], None, None)
    assert (row.ours_s, row.ratio, row.rounds) == (2e-3, 1.0, 1)


def test_our_time_is_that_of_a_verified_duel() -> None:
    rows, _ = compared([DIRECT, WORK], Stand(), rounds=1)
    assert [row.within for row in rows] == [True, True]
    assert all(0 < (row.ours_s or 0) < 1 for row in rows)


# ---- the command -----------------------------------------------------------------------------


def doctor(*options: str) -> int:
    """The exit status of ``convcross doctor --cross-check`` with these options."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["convcross", "doctor", "--cross-check", *options])
        return cli._main()


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch, ours: list[float]) -> Any:
    """``table(peers…)``: they are the peers on the CPU, and there are two cases."""
    monkeypatch.setattr(cross_check, "groups", lambda device: [[DIRECT], [WORK]])
    return lambda *stands: monkeypatch.setattr(cross_check, "CPU_PEERS", stands)


NOT_HERE = Stand(name="nobody", package="nobody-at-all>=1", modules=("nobody_at_all",))


def test_a_missing_peer_is_named_with_its_command(
    table: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    table(NOT_HERE)
    assert doctor("--device", "cpu") == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"nobody is not installed: {pip('nobody-at-all>=1')}",
        "nothing was compared",
    ]


def test_the_printed_table(table: Any, capsys: pytest.CaptureFixture[str]) -> None:
    table(Stand((1.05,)), NOT_HERE, Stand(name="sound", refused="fixed"))
    assert doctor("--device", "cpu") == 1
    said = capsys.readouterr().out
    assert "round 1 of 4: direct/numpy 16×16 3×3: stand-in" in said
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines()]
    ours = ["1,000.0 µs", "-1.0% +2.0%"]
    assert ["direct/numpy 16×16 3×3", "warm", *ours, "stand-in"] in [line[:5] for line in lines]
    ends = [line[4:] for line in lines if len(line) == 9]
    assert ends == [
        ["stand-in", "1,050.0 µs", "0.952", "NO (2%)", "4"],
        ["sound", "1,000.0 µs", "1.000", "yes (2%)", "4"],
        ["stand-in", "1,050.0 µs", "0.952", "NO (2%)", "4"],
        ["sound", "–", "–", "–", "0"],
    ]
    assert "fixed-work/numpy 8×8 1×1, warm, sound: not such" in said
    assert said.splitlines()[-1] == "2 of 3 comparisons are outside their limits, or failed"


def test_json(table: Any, capsys: pytest.CaptureFixture[str]) -> None:
    table(Stand(), NOT_HERE)
    assert doctor("--device", "cpu", "--json") == 0
    printed = capsys.readouterr()
    said = json.loads(printed.out)
    assert "round 1 of 4" in printed.err
    assert said["verdict"] == "all 2 comparisons are within their limits"
    assert said["missing"] == {"nobody": pip("nobody-at-all>=1")}
    assert [row["within"] for row in said["rows"]] == [True, True]
    fields = [field.name for field in dataclasses.fields(cross_check.Row)]
    assert list(said["rows"][0]) == fields


# ---- the cases -------------------------------------------------------------------------------


def test_cases_of_a_cpu() -> None:
    found = list(itertools.chain.from_iterable(cross_check.groups("cpu")))
    assert len(found) >= 6
    assert {case.regime for case in found} == {"warm"}
    assert any(case.contender.startswith("fixed-work/") for case in found)
    for case in found:
        assert Case.from_json(case.to_json()) == case


def test_cases_of_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Algorithm, "missing", lambda self, namespace: None)
    [found] = cross_check.groups("cuda:1")
    for regime in ("flushed", "warm"):
        part = [case for case in found if case.regime == regime]
        assert len([case for case in part if "spin" not in case.contender]) >= 12
        assert all(case.contender.endswith("@cuda:1") for case in part)
    assert {case.contender.partition("/")[2] for case in found} == {"torch@cuda:1", "cupy@cuda:1"}


# ---- the peers of a CPU, as they are ---------------------------------------------------------


@pytest.mark.parametrize("peer", cross_check.CPU_PEERS, ids=lambda peer: peer.name)
def test_a_peer_times_the_same_function(peer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if peer.name in cross_check.missing([peer]):
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


def test_do_bench_flushes_and_its_graphs_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    testing = SimpleNamespace(
        do_bench=lambda run, **options: run() is not None and 2.0,
        do_bench_cudagraph=lambda run, **options: run() is not None and 3.0,
    )
    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace(testing=testing))
    monkeypatch.setitem(sys.modules, "triton.testing", testing)
    warm, flushed = DIRECT, dataclasses.replace(DIRECT, regime="flushed")
    peer = peers.DoBench()
    assert peer.medians([warm, flushed], {warm: 1e-3, flushed: 1e-3}) == {
        warm: 3e-3,
        flushed: 2e-3,
    }
    assert peer.refuses(Case("fft/cupy@cuda:0", SMALL, "flushed")) is None
    assert peer.refuses(Case("fft/torch@cuda:0", SMALL, "warm")) is None
    assert "torch's stream" in (peer.refuses(Case("fft/cupy@cuda:0", SMALL, "warm")) or "")


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


@pytest.mark.parametrize("compiler", ahead.COMPILERS)
def test_spin_compiles_for_sm_90(compiler: str) -> None:
    if reason := ahead.missing(compiler):
        pytest.skip(reason)
    found = ahead.resources(cuda_clock.source("spin"), compiler)
    assert found.spilled_bytes == found.stack_bytes == 0


@pytest.mark.skipif(emulator.compiler() is None, reason="no C++ compiler: $CXX, g++")
def test_spin_computes_and_waits() -> None:
    clock = """
    static unsigned long long ns = 7;
    static inline unsigned long long globaltimer() { return ns += 10; }
    extern "C" unsigned long long reading() { return ns; }
    """
    kernel = cuda_clock.source("spin")
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
    [found] = cross_check.groups("cuda:0")
    spins = [case for case in found if "spin" in case.contender]
    rows, _ = compared(spins, peers.KnownLength(), rounds=1)
    assert [row.within for row in rows] == [True] * len(rows), rows
