"""What is said of networks that have learned both ways, and of files that hold nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from convcross.analysis.claims import learning
from convcross.analysis.claims.claims import claims
from convcross.analysis.crossover.crossover import crossovers
from convcross.analysis.load import Results, load
from convcross.errors import BadInput
from convcross.results.schema import Learned
from support import networks, synthetic
from support.networks import planted


def judged(found: list[Learned]) -> Any:
    (finding,) = learning.judge(Results("here", [], None, [], [], found))  # type: ignore[arg-type]
    return finding


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "holds"),
        ({"accuracy": [0.5, 0.8]}, "false"),
        ({"apart": [0.0, 0.0, 1e-3]}, "holds only if"),
    ],
)
def test_verdicts(changed: dict[str, Any], verdict: str) -> None:
    finding = judged(planted(**changed))
    assert finding.verdict == verdict
    json.dumps(finding.values, allow_nan=False)


@pytest.mark.parametrize("missing", [("network", "fft"), ("dtype", "float64")])
def test_what_has_not_learned_both_ways_is_not_measured(missing: tuple[str, str]) -> None:
    finding = judged([one for one in planted() if getattr(one, missing[0]) != missing[1]])
    assert finding.verdict == "not measured here"
    assert finding.command == "convcross demo --learning"


def test_of_a_file_of_networks_alone_the_other_claims_are_not_measured(tmp_path: Path) -> None:
    path = networks.write(tmp_path / "a.jsonl", planted())
    *others, own = claims(load([path], learned=True))
    for claim in others:
        (finding,) = claim.findings
        assert finding.verdict == "not measured here"
        assert finding.command.startswith("convcross run ")
    assert [finding.verdict for finding in own.findings] == ["holds"]


def test_beside_duels_all_are_judged(tmp_path: Path) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9)}
    paths = [synthetic.write(tmp_path / "duels.jsonl", synthetic.duels(contenders))]
    alone = claims(load(paths))
    paths.append(networks.write(tmp_path / "networks.jsonl", planted()))
    assert claims(load(paths))[:-1] == alone[:-1]
    assert claims(load(paths))[-1].findings[0].verdict == "holds"


def test_where_duels_are_asked_for_a_file_without_any_is_refused(tmp_path: Path) -> None:
    path = networks.write(tmp_path / "a.jsonl", planted())
    with pytest.raises(BadInput, match="no finished duel of 'Test Machine'"):
        crossovers([path])


def test_a_file_of_nothing_is_refused(tmp_path: Path) -> None:
    path = networks.write(tmp_path / "a.jsonl", [])
    with pytest.raises(BadInput, match="no finished duel of 'Test Machine'"):
        load([path], learned=True)
