"""Samples that waited for a core are in no median; launches in which most did, in no interval."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convcross.analysis.load import load
from convcross.results.schema import Record
from convcross.run.search.line import times
from support import synthetic


def duels(change: Any) -> list[list[Record]]:
    """Three launches of one cell, 20 samples each, of ``direct/numpy``; records changed."""
    found = synthetic.launched(
        {"direct/numpy": lambda N, n: 1e-3},
        [1.0, 1.01, 0.99],
        sizes=[64],
        kernels=[3],
        noise=0.001,
    )
    return [[change(record) for record in records] for records in found]


def late(record: Record) -> Record:
    """Every fourth run and load took 9 ms, and waited."""
    seconds = {
        phase: [9e-3 if place % 4 == 0 else one for place, one in enumerate(samples)]
        for phase, samples in record.phase_seconds.items()
    }
    waited = [number for place, number in enumerate(record.rounds) if place % 4 == 0]
    changes = {"phase_seconds": seconds, "preempted": waited, "fresh_preempted": waited}
    return record.model_copy(update=changes)


def row(path: Path, change: Any) -> dict[str, Any]:
    found = load([synthetic.write(path, duels(change), synthetic.header(launches=3))])
    (only,) = found.frame.to_dict("records")
    return {str(key): value for key, value in only.items()}


def test_what_waited_is_in_no_median(tmp_path: Path) -> None:
    plain, found = row(tmp_path / "a.jsonl", lambda one: one), row(tmp_path / "b.jsonl", late)
    assert (len(plain["run"]), len(found["run"]), len(found["fresh"])) == (60, 45, 45)
    assert found["run"].max() < 2e-3
    assert found["seconds"] == pytest.approx(plain["seconds"], rel=0.05)
    assert (plain["waited"], found["waited"]) == (0.0, pytest.approx(0.25))
    assert set(found["rounds"]) < set(plain["rounds"])
    assert found["usable"]


def test_the_95th_percentile_is_that_of_all_launches(tmp_path: Path) -> None:
    found = row(tmp_path / "a.jsonl", late)
    assert found["p95"] == np.sort(found["run"])[42]
    few = row(
        tmp_path / "b.jsonl",
        lambda one: late(late(one)).model_copy(update={"preempted": one.rounds[:16]}),
    )
    assert len(few["run"]) == 12
    assert math.isnan(few["p95"])


def flagged(launches: set[int]) -> Any:
    """Of these launches, all samples waited and took 9 ms."""

    def change(record: Record) -> Record:
        if record.launch not in launches:
            return record
        run = {"run": [9e-3] * 20}
        return record.model_copy(
            update={
                "flags": ["preempted"],
                "preempted": record.rounds,
                "phase_seconds": record.phase_seconds | run,
            }
        )

    return change


def test_a_launch_that_waited_is_left_out(tmp_path: Path) -> None:
    found = row(tmp_path / "a.jsonl", flagged({2}))
    assert (sorted(set(found["run_launches"])), found["flags"], found["usable"]) == ([1, 3], (), 1)
    assert found["high"] < 2e-3


def test_a_cell_that_always_waited_is_flagged(tmp_path: Path) -> None:
    found = row(tmp_path / "a.jsonl", flagged({1, 2, 3}))
    assert (found["flags"], found["usable"]) == (("preempted",), False)
    assert found["seconds"] == pytest.approx(9e-3)


def test_a_search_leaves_out_what_waited() -> None:
    (records, *_) = duels(late)
    (samples,) = times(records).values()
    assert len(samples) == 15
    assert math.exp(samples.parts[0].max()) < 2e-3
    (records, *_) = duels(flagged({1}))
    assert times(records) == {}


def test_rounds_that_waited_without_a_sample_are_no_trouble(tmp_path: Path) -> None:
    nothing = {"phase_seconds": {}, "rounds": [], "fresh_rounds": []}
    told = {"preempted": [3], "fresh_preempted": [4]}
    found = row(tmp_path / "a.jsonl", lambda one: one.model_copy(update=nothing | told))
    assert len(found["run"]) == 0
    assert not found["usable"]
