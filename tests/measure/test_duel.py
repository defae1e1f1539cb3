"""One duel: whoever fails has a record that says how, and everybody else is timed."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convcross.measure import duel as measuring
from convcross.measure import phases
from convcross.measure.duel import measure, measure_on
from convcross.measure.timing import choose, host
from convcross.measure.timing.sampling import LEAST
from convcross.results.schema import PHASES, DuelResult, Record
from convcross.stats.median import median_interval
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits
from convkernels import Problem, namespaces
from convkernels.discovery import find, load_path
from support.planted import FAILURES, SOURCE, forgotten, images_of, plant, slow

SMALL = Problem((16, 16), (3, 3), mode="same")
PLACE = "numpy" if namespaces.missing("torch") else "torch"  # of an array library of its own
SOUND = ["direct/numpy@cpu", f"fft/{PLACE}@cpu", "planted-right/numpy@cpu"]


@pytest.fixture(autouse=True)
def registry_as_it_was() -> Iterator[None]:
    with forgotten():
        yield


def duel(
    contenders: list[str],
    *,
    problem: Problem = SMALL,
    paths: tuple[str, ...] = (),
    seconds: float = 0.001,
    run_seconds: float = 60.0,
    regime: str | None = None,
) -> Duel:
    return Duel(
        id="a-duel",
        problem=problem,
        contenders=contenders,
        image_data="normal",
        kernel_data="normal",
        seed=0,
        regime=regime,
        threads=1,
        limits=Limits(seconds=seconds, samples=12, run_seconds=run_seconds),
        algorithm_paths=list(paths),
    )


def measured(*arguments: Any, **options: Any) -> dict[str, Record]:
    result = measure(duel(*arguments, **options))
    assert DuelResult.model_validate_json(result.model_dump_json()) == result  # through a pipe
    return {row.algorithm: row for row in result.records}


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """The records of one duel between all that are planted and some that are sound."""
    with forgotten():
        path = plant(tmp_path_factory.mktemp("planted"))
        names = [f"{name}/numpy@cpu" for name in FAILURES]
        return measured([SOUND[0], *names, *SOUND[1:]], paths=(path,))


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_has_its_status_and_reason(name: str, met: dict[str, Record]) -> None:
    status, words = FAILURES[name]
    record = met[name]
    assert (record.status, words in (record.reason or "")) == (status, True), record.reason
    assert "\n" not in (record.reason or "")


def test_every_contender_has_a_record_in_order(met: dict[str, Record]) -> None:
    assert list(met) == ["direct", *FAILURES, "fft", "planted-right"]


@pytest.mark.parametrize("name", [name.partition("/")[0] for name in SOUND])
def test_the_others_are_timed_in_all_phases(name: str, met: dict[str, Record]) -> None:
    record = met[name]
    assert (record.status, record.reason) == ("ok", None)
    seconds = record.phase_seconds
    assert set(seconds) == set(PHASES)
    assert len(seconds["plan"]) >= 1
    assert len(seconds["run"]) >= LEAST
    assert len(seconds["fresh"]) >= LEAST
    assert len(seconds["load"]) == len(seconds["fresh"]) == len(record.fresh_rounds)
    assert len(seconds["run"]) == len(record.rounds)
    for fresh, load in zip(seconds["fresh"], seconds["load"], strict=True):
        assert 0 < load < fresh
    assert all(0 < sample < math.inf for phase in seconds.values() for sample in phase)
    for rounds in (record.rounds, record.fresh_rounds):
        assert all(one < following for one, following in itertools.pairwise(rounds))
    assert (record.median_s, record.ci_low_s, record.ci_high_s) == median_interval(seconds["run"])


def test_records_are_complete(met: dict[str, Record]) -> None:
    record = met["fft"]
    assert record.duel == "a-duel"
    assert record.problem == SMALL
    assert (record.algorithm, record.namespace, record.device) == ("fft", PLACE, "cpu")
    assert (record.family, record.arithmetic) == ("fft", find("fft").arithmetic)
    assert (record.image_data, record.kernel_data, record.seed) == ("normal", "normal", 0)
    assert (record.regime, record.threads) == ("warm", 1)
    assert record.error is not None
    assert 0 < record.error.rel_l2 < 1e-6
    assert record.settled is not None
    assert record.workspace_bytes is not None
    assert record.workspace_bytes > 0
    assert record.provenance.batch >= 1
    assert record.provenance.first_plan_s > 0
    assert record.provenance.reference.points == 16
    assert record.started_at.startswith("20")
    for name in FAILURES:  # also of those that failed
        assert met[name].duel == "a-duel"
        assert met[name].family == "direct"
        assert met[name].started_at


def test_rounds_are_shared(met: dict[str, Record]) -> None:
    """Whoever is still in has a sample of each round from the first."""
    for name in ("direct", "fft", "planted-right"):
        assert met[name].rounds == list(range(len(met[name].rounds)))


def test_where_the_time_went() -> None:
    result = measure(duel(SOUND[:2]))
    assert set(result.seconds) == {
        "measured",
        "warmup",
        "verification",
        "preparation",
        "rest",
    }
    assert all(seconds >= 0 for seconds in result.seconds.values())
    assert result.seconds["measured"] > 0


class Fixed(host.HostStopwatch):
    """A stopwatch by which each step takes so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__("numpy", "cpu")
        self.seconds = seconds

    def time(self, steps: Any, *, flush: bool) -> list[float]:
        for step in steps:
            step()
        return [self.seconds] * len(steps)


@pytest.mark.parametrize(
    ("seconds", "regime", "batch"),
    [
        (4.1e-6, "warm", 49),
        (2.4e-5, None, 9),
        (5e-5, "warm", 1),
        (1.0, "warm", 1),
        (1e-6, "flushed", 1),
        (1e-6, "wall", 1),
    ],
)
def test_short_runs_are_timed_in_batches(
    seconds: float,
    regime: str | None,
    batch: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choose, "stopwatch", lambda *place: Fixed(seconds))
    path = plant(tmp_path, slow("1.0", 0.0))
    record = measured(["slow/numpy@cpu"], paths=(path,), regime=regime)["slow"]
    assert record.provenance.batch == batch
    count = len(record.phase_seconds["run"])
    assert record.phase_seconds["run"] == pytest.approx([seconds / batch] * count)
    fresh = len(record.phase_seconds["fresh"])
    assert len(images_of(path)) >= 1 + batch * count + fresh + 1
    assert record.regime == (regime or "warm")


def test_graphs_are_refused_on_a_cpu() -> None:
    for record in measured(SOUND[:2], regime="graph").values():
        assert record.status == "unsupported"
        assert record.reason == "graph: CUDA graphs need a CUDA device"
        assert record.regime == "graph"


class BackThen:
    """A clock that goes back once, by a second."""

    def __init__(self, after: int) -> None:
        self.calls, self.after = 0, after

    def perf_counter_ns(self) -> int:
        self.calls += 1
        return time.perf_counter_ns() - 10**9 * (self.calls > self.after)


def test_a_clock_that_goes_back_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "time", BackThen(after=9))
    record = measured(SOUND[:1])["direct"]
    assert record.status == "error"
    assert "the clock went back by" in (record.reason or "")


def test_who_runs_at_a_lower_clock_than_a_rival_is_power_limited() -> None:
    asked = duel(SOUND[:2])
    trials = [measuring._trial(asked, SMALL, contender) for contender in asked.contenders]
    for clocks, flagged in (((1.98e9, 1.95e9), 0), ((1.98e9, 1.9e9), 1), ((None, 1.9e9), 0)):
        for trial, clock in zip(trials, clocks, strict=True):
            trial.record.flags = []
            trial.record.telemetry.sm_hz = clock
        phases._flag_power_limited(trials)
        flags = [trial.record.flags for trial in trials]
        assert flags == [[], ["power-limited"] * flagged]


def test_a_problem_larger_than_memory_is_oom_for_all_and_never_allocated() -> None:
    huge = Problem((131072, 131072), (3, 3), mode="same")
    found = measured(["direct/numpy@cpu", f"fft/{PLACE}@cpu"], problem=huge)
    for record in found.values():
        assert record.status == "oom"
        assert "the reference needs" in (record.reason or "")


def test_an_unsupported_cell_stays_so_where_the_reference_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*arguments: Any, **more: Any) -> None:
        raise MemoryError("planted")

    monkeypatch.setattr(measuring.accuracy, "truth", short)
    names = ["direct/numpy@cpu", "planted-refuses/numpy@cpu"]
    found = measured(names, paths=(plant(tmp_path),))
    assert found["direct"].status == "oom"
    assert found["planted-refuses"].status == "unsupported"


def test_contenders_that_do_not_fit_together_are_timed_in_groups_with_a_common_pacer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    groups: list[list[str]] = []
    compete = measuring._compete

    def watched(group: Any, *rest: Any) -> None:
        groups.append([trial.contender.algorithm for trial in group])
        compete(group, *rest)

    monkeypatch.setattr(measuring, "_compete", watched)
    names = [f"fft/{PLACE}@cpu", "direct/numpy@cpu", "im2col-gemm/numpy@cpu"]
    found = measured(names)
    assert {record.status for record in found.values()} == {"ok"}
    assert groups == [["direct", "fft", "im2col-gemm"]]
    assert all(record.telemetry.pacer_ratio is None for record in found.values())
    groups.clear()
    monkeypatch.setattr(namespaces, "free_bytes", lambda name, device: 1e9)
    monkeypatch.setattr(measuring, "MEMORY", 20e3 / 1e9)  # about what im2col-gemm takes alone
    found = measured(names)
    assert {record.status for record in found.values()} == {"ok"}
    assert groups == [["direct", "fft"], ["im2col-gemm", "direct"]]
    direct, fft, alone = (found[name.partition("/")[0]] for name in sorted(names))
    assert set(direct.rounds) & set(fft.rounds)
    assert not set(direct.rounds) & set(alone.rounds)
    assert alone.telemetry.pacer == "direct/numpy@cpu"
    assert alone.telemetry.group == 1
    assert 0.01 < alone.telemetry.pacer_ratio < 100
    assert fft.telemetry.pacer is None


def test_an_image_at_hand() -> None:
    x, w = np.zeros((16, 16)), np.ones((3, 3))
    x[8, 8] = 1.0
    result = measure_on(duel(SOUND[:2]), x, w)
    assert [row.status for row in result.records] == ["ok", "ok"]
    x[0, 0] = math.nan  # no answer to compare with: whoever computes it is not called right
    with np.errstate(all="ignore"):
        result = measure_on(duel(SOUND[:2]), x, w)
    assert all(row.status != "ok" for row in result.records)


def test_operands_are_each_contenders_own(tmp_path: Path) -> None:
    source = (
        SOURCE
        + """

@plant("spoils")
class Spoils(Right):
    def run(self, a):
        y = super().run(a)
        a[...] = 7
        self.b[...] = 7
        return y
"""
    )
    names = ["planted-spoils/numpy@cpu", "planted-right/numpy@cpu", "fft/numpy@cpu"]
    found = measured(names, paths=(plant(tmp_path, source),))
    assert [record.status for record in found.values()] == ["wrong", "ok", "ok"]


def test_threads_are_as_they_were_afterwards() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")

    before = torch.get_num_threads()
    measured(["fft/torch@cpu"])
    assert torch.get_num_threads() == before


def test_an_unknown_contender_is_the_duels_fault() -> None:
    with pytest.raises(ValueError, match="algorithm is 'nobody'; allowed: "):
        measured(["nobody/numpy@cpu"])


def test_a_file_loaded_before_is_not_run_again(tmp_path: Path) -> None:
    path = plant(tmp_path)
    load_path(path)
    assert measured(["planted-right/numpy@cpu"], paths=(path,))["planted-right"].status == "ok"


def test_where_nobody_is_left_no_reference_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a duel whose contenders were all given up, or refuse."""
    monkeypatch.setattr(measuring, "_truth", lambda *asked: pytest.fail("made"))
    names = ["direct/numpy@cpu", "fft/numpy@cpu"]
    given_up = dict.fromkeys(names, ("error", "suspended"))
    result = measure(duel(names).model_copy(update={"given_up": given_up}))
    records = result.records
    assert [(one.status, one.reason) for one in records] == [("error", "suspended")] * 2
