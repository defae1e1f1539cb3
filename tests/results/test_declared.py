"""What a run writes is what the schema declares: no key of a record travels undeclared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest

from convcross.machine import telemetry
from convcross.measure.duel import measure
from convcross.results.reader import read
from convcross.results.schema import DuelResult, Energy, Provenance, Reading, Record, Telemetry
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits
from convkernels import Problem
from convkernels.discovery import algorithms

RESULTS = sorted((Path(__file__).parents[2] / "results").rglob("*.jsonl.gz"))


@pytest.fixture(scope="module")
def measured() -> DuelResult:
    """A duel of which all is asked: kernels, stages, energy, errors on several seeds."""
    names = [
        f"{name}/{namespace}@cpu"
        for name, algorithm in algorithms().items()
        for namespace in algorithm.namespaces
        if namespace != "cupy" and algorithm.missing(namespace) is None
    ]
    duel = Duel(
        id="all",
        problem=Problem((16, 16), (3, 3), mode="same"),
        contenders=names,
        image_data="normal",
        kernel_data="normal",
        seed=0,
        regime=None,
        threads=None,
        limits=Limits(seconds=0.001, samples=5),
        profiled=True,
        energy=True,
        error_seeds=2,
    )
    return measure(duel)


def undeclared(model: pydantic.BaseModel, where: str = "") -> Iterator[str]:
    """Keys of a model, and of those in it, that no class declares."""
    yield from (f"{where}{key}" for key in model.model_extra or {})
    for key, value in model:
        if isinstance(value, pydantic.BaseModel):
            yield from undeclared(value, f"{where}{key}.")


def test_a_run_writes_what_is_declared(measured: DuelResult) -> None:
    for record in measured.records:
        own = set(record.provenance.model_extra or {})
        contender = algorithms()[record.algorithm]
        if record.status != "ok":  # of a kernel that it refuses, by its size or its rank
            assert record.status == "unsupported", record.reason
            continue
        instance = contender.prepare(record.problem, record.namespace, "cpu")
        assert own <= set(instance.provenance())  # its own words on how it computes
        assert set(undeclared(record)) == {f"provenance.{key}" for key in own}


def test_it_is_read_as_it_was_written(measured: DuelResult) -> None:
    for record in measured.records:
        assert Record.model_validate_json(record.model_dump_json()) == record


def test_the_readings_of_a_card_are_declared() -> None:
    assert set(telemetry.READINGS) <= set(Reading.model_fields)


def test_what_is_not_known_is_not_written() -> None:
    assert Telemetry().model_dump(mode="json") == {}
    assert Provenance(batch=3).model_dump(mode="json") == {"batch": 3}
    some: dict[str, Any] = {"energy": {"not_measured": "no RAPL"}, "rounds_again": 0}
    assert json.loads(Telemetry.model_validate(some).model_dump_json()) == some
    assert Telemetry.model_validate(some).energy == Energy(not_measured="no RAPL")


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.name)
def test_results_of_before_are_read(path: Path) -> None:
    results = read(path)
    found = results.records
    assert found or results.learned
    # An earlier version recorded the load average, which nothing reads.
    extra = {key for record in found for key in undeclared(record.telemetry)}
    assert extra <= {"load_average"}
    assert {type(record.problem) for record in found} <= {Problem}
