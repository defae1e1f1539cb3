"""The cross-check's table with stand-ins; the peers of a CPU as they are, those of a card not."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from convcross.cli import app
from convcross.crosscheck import crosscheck
from convcross.crosscheck.peers import Case
from convcross.machine.doctor import pip
from convcross.results.schema import DuelResult
from convcross.sweeps.duels import Duel
from convkernels.registry import Algorithm
from support.cases import DIRECT, FFT, WORK, compared


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

    def measure(duel: Duel) -> DuelResult:
        value = values.pop(0) if len(values) > 1 else values[0]
        rows = []
        for name in duel.contenders:
            algorithm, _, place = name.partition("/")
            ok = math.isfinite(value)
            rows.append(
                {
                    "duel": duel.id,
                    "problem": duel.problem,
                    "algorithm": algorithm,
                    "namespace": place.partition("@")[0],
                    "device": place.partition("@")[2],
                    "family": "direct",
                    "arithmetic": "ieee",
                    "image_data": "normal",
                    "kernel_data": "normal",
                    "seed": 0,
                    "regime": duel.regime,
                    "status": "ok" if ok else "wrong",
                    "reason": None if ok else "planted",
                    "median_s": value if ok else None,
                    "ci_low_s": 0.99 * value if ok else None,
                    "ci_high_s": 1.02 * value if ok else None,
                    "started_at": "2026-01-01T00:00:00+00:00",
                }
            )
        return DuelResult.model_validate(
            {"records": rows, "seconds": {}, "neighbours": {"others": 0.3, "stolen": 0.0}}
        )

    monkeypatch.setattr(crosscheck, "measure", measure)
    return values


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
    assert crosscheck.verdict(rows[:1]) == "nothing was compared"
    assert crosscheck.verdict(rows) == "1 of 1 comparisons are outside their limits, or failed"


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
    row = crosscheck._row(case, stand, [(2e-3,) * 3, (1e-3,) * 3], [2e-3], None, None)
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
        return app._main()


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch, ours: list[float]) -> Any:
    """``table(peers…)``: they are the peers on the CPU, and there are two cases."""
    monkeypatch.setattr(crosscheck, "groups", lambda device: [[DIRECT], [WORK]])
    return lambda *stands: monkeypatch.setattr(crosscheck, "CPU_PEERS", stands)


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
    ours = ["1 ms", "-1.0% +2.0%"]
    assert ["direct/numpy 16×16 3×3", "warm", *ours, "stand-in"] in [line[:5] for line in lines]
    ends = [line[4:] for line in lines if len(line) == 9]
    assert ends == [
        ["stand-in", "1.05 ms", "0.952", "NO (2%)", "4"],
        ["sound", "1 ms", "1.000", "yes (2%)", "4"],
        ["stand-in", "1.05 ms", "0.952", "NO (2%)", "4"],
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
    fields = [field.name for field in dataclasses.fields(crosscheck.Row)]
    assert list(said["rows"][0]) == fields


# ---- the cases -------------------------------------------------------------------------------


@pytest.mark.torch
def test_cases_of_a_cpu() -> None:
    found = list(itertools.chain.from_iterable(crosscheck.groups("cpu")))
    assert len(found) >= 6
    assert {case.regime for case in found} == {"warm"}
    assert any(case.contender.startswith("fixed-work/") for case in found)
    for case in found:
        assert Case.from_json(case.to_json()) == case


def test_cases_of_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Algorithm, "missing", lambda self, namespace: None)
    [found] = crosscheck.groups("cuda:1")
    for regime in ("flushed", "warm", "graph"):
        part = [case for case in found if case.regime == regime]
        assert len([case for case in part if "spin" not in case.contender]) >= 12
        assert all(case.contender.endswith("@cuda:1") for case in part)
    assert {case.contender.partition("/")[2] for case in found} == {"torch@cuda:1", "cupy@cuda:1"}
