"""A budget bounds what is begun: duels, and contenders within a duel."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from convcross.analysis.load import load
from convcross.measure import prepare
from convcross.measure.trial import Ledger, LeftOut
from convcross.results.reader import read
from convcross.sweeps.spec import Limits, Sweep
from convkernels import Problem
from convkernels.discovery import load_path
from support import synthetic
from support.planted import forgotten
from support.runs import run

SLOW = """
import time
from convkernels import Cost, algorithm
from scipy import signal

@algorithm(name="{name}", family="direct", namespaces=["numpy"], arithmetic="ieee", source="a test")
class Slow:
    @staticmethod
    def cost(problem):
        return Cost({seconds} * 2e8, problem.min_bytes)

    def run(self, a):
        time.sleep({seconds})
        return signal.convolve2d(a, self.b, mode="same")
"""


def slow_sweep(folder: Path, **contenders: float) -> tuple[Sweep, list[str]]:
    paths = []
    for name, seconds in contenders.items():
        path = folder / f"{name}.py"
        path.write_text(SLOW.format(name=name, seconds=seconds))
        paths.append(str(path))
        load_path(path)
    sweep = Sweep(
        name="slow",
        sizes=[12],
        kernels=[3],
        launches=1,
        contenders=["direct/numpy", *(f"{name}/numpy" for name in contenders)],
        limits=Limits(seconds=0.01, samples=5, run_seconds=60.0),
    )
    return sweep, paths


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    prepare._slowest.clear()


def test_what_does_not_fit_is_left_out_and_measured_when_gone_on(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with forgotten():
        sweep, paths = slow_sweep(tmp_path, quick=0.01, slow=2.0)
        begin = time.perf_counter()
        outcome = run(path, sweep, algorithm_paths=paths, budget=6.0)
        assert time.perf_counter() - begin < 8  # one call of 2 s more, at most
        assert (outcome.done, outcome.cut, outcome.failed) == (1, 1, False)
        states = {record.algorithm: record.status for record in read(path).records}
        assert states == {"direct": "ok", "quick": "ok", "slow": "left-out"}
        (left,) = [r.reason for r in read(path).records if r.status == "left-out"]
        assert left is not None
        assert "the budget has" in left
        outcome = run(path, sweep, algorithm_paths=paths, resume=True)
        assert (outcome.before, outcome.done, outcome.cut) == (0, 1, 0)
        frame = load([path]).frame
        assert dict(zip(frame["contender"], frame["status"], strict=True)) == {
            "direct/numpy": "ok",
            "quick/numpy": "ok",
            "slow/numpy": "ok",
        }


def test_without_time_everything_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with forgotten():
        sweep, paths = slow_sweep(tmp_path, quick=0.01)
        run(path, sweep, algorithm_paths=paths, budget=1e-9)
        states = Counter(record.status for record in read(path).records)
    assert set(states) <= {"left-out"}


def test_a_launch_that_was_left_out_costs_that_launch(tmp_path: Path) -> None:
    curves = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.0)}
    duels = synthetic.launched(curves, [1.0, 1.01, 0.99], sizes=[256])
    for record in (record for records in duels for record in records if record.launch == 3):
        record.status, record.reason = "left-out", "no time"
        record.phase_seconds, record.rounds, record.fresh_rounds = {}, [], []
    path = synthetic.write(tmp_path / "a.jsonl", duels)
    results = load([path])
    assert results.frame["usable"].all()
    assert {len(set(levels)) for levels in results.frame["run_launches"]} == {2}


def test_a_ledger_without_a_budget_never_ends() -> None:
    Ledger().require(1e9)
    with pytest.raises(LeftOut, match=r"about 5 s, and the budget has 1 s left"):
        Ledger(1.0).require(5.0)


def test_what_is_promised_is_kept_for_who_is_prepared() -> None:
    ledger = Ledger(10.0)
    ledger.require(8.0)
    ledger.promise(4.0)
    with pytest.raises(LeftOut, match=r"about 8 s, and the budget has 6 s left"):
        ledger.require(8.0)
    ledger.require(5.0)
    ledger.promise(100.0)
    ledger.require()  # who is prepared goes on


def test_layers_are_scaled_to_a_cpu_and_said_so() -> None:
    from convcross.sweeps.spec import load as load_sweep

    sweep = load_sweep("cnn")
    assert {layer.batch for layer in sweep.layers} == {128}
    scaled = sweep.scaled_to(["cpu"])
    assert {layer.batch for layer in scaled.layers} == {8}
    assert sweep.scaled_to(["cuda:0"]) is sweep
    problems = [problem for problem, *_ in scaled.cells()]
    assert {scaled.said_of(problem) for problem in problems} == {
        "batch 8; in the sweep's layer 128"
    }
    assert scaled.said_of(Problem((64, 64), (3, 3))) is None
    again = Sweep.model_validate(scaled.model_dump(mode="json"))
    assert again.scaled_to(["cpu"]) == scaled
