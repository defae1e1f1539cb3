"""The claims of algebra hold under their condition, and a contender that breaks one is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convcross.analysis.claims import algebra
from convcross.analysis.claims.algebra import Relation, Relations
from convcross.analysis.claims.claims import claims
from convcross.analysis.claims.finding import Finding
from convcross.analysis.load import load
from convcross.measure.algebra import algebra as measured
from convcross.results.schema import Distances
from support import synthetic

JUDGES = [algebra.judge_flipping, algebra.judge_order, algebra.judge_theorem]
CONTENDERS = ("direct/numpy", "im2col-gemm/numpy", "fft/torch")


def relations(folder: Path, **changed: dict[str, dict[str, Distances]]) -> Relations:
    """Of records whose contenders were tried, some of them with other relations."""
    duels = synthetic.duels(dict.fromkeys(CONTENDERS, synthetic.direct()), kernels=[3, 5])
    for record in duels[0]:
        found = measured(record.algorithm, record.namespace, "cpu")
        record.algebra = found | changed.get(record.algorithm.partition("-")[0], {})
    return Relations(load([synthetic.write(folder / "a.jsonl", duels)]))


@pytest.mark.torch
@pytest.mark.parametrize("judge", JUDGES)
def test_algebra_holds_under_its_condition(
    tmp_path: Path, judge: Callable[[Relations], Finding]
) -> None:
    one = judge(relations(tmp_path))
    assert one.verdict == "holds only if"
    assert one.where == "Test Machine: 3 contenders, on small problems"
    json.dumps(one.values, allow_nan=False)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("judge", "relation"), list(zip(JUDGES, ["flipped", "commutes", "padded"], strict=True))
)
def test_a_contender_that_breaks_the_algebra_is_named(
    tmp_path: Path, judge: Callable[[Relations], Finding], relation: str
) -> None:
    broken = Distances(largest=1e-4, least=0.0, identical=0, count=5)
    one = judge(relations(tmp_path, im2col={relation: {"float32": broken}}))
    assert (one.verdict, one.condition) == ("false", "im2col-gemm/numpy@cpu breaks it")


@pytest.mark.torch
def test_correlation_that_commutes_is_told(tmp_path: Path) -> None:
    close = {"float64": Distances(largest=1e-15, least=0.0, identical=1, count=2)}
    found: dict[str, Any] = {"correlation_commutes": close}
    one = algebra.judge_order(relations(tmp_path, fft=found))
    assert (one.verdict, one.condition) == ("false", "correlation does too")


def test_distances_of_nothing_say_nothing() -> None:
    none = Relation()
    assert not none.equal
    assert not none.different


def test_records_without_algebra_are_told_so(tmp_path: Path) -> None:
    duels = synthetic.duels(dict.fromkeys(CONTENDERS, synthetic.direct()), kernels=[3, 5])
    found = claims(load([synthetic.write(tmp_path / "a.jsonl", duels)]))
    for claim in found[4:7]:
        (finding,) = claim.findings
        assert finding.verdict == "not measured here"
        assert "no record has the algebra of its contender" in finding.condition
        assert finding.command == "convcross run quick"
