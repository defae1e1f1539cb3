"""What no measurement gives is refused, or is no time: in one line that names where it stands."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from convcross.analysis.crossover.crossover import of_results
from convcross.analysis.load import load
from convcross.errors import BadInput
from convcross.text import one_line
from convkernels import algorithm
from convkernels.registry import LONGEST
from support import hostile


def changed(folder: Path, number: int, at: tuple[Any, ...], value: Any) -> Path:
    """A sound results file, but for the value at a place of a line."""
    lines = copy.deepcopy(hostile.lines())
    hostile.put(lines[number], at, value)
    path = folder / "a.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


RUN = ("phase_seconds", "run")


@pytest.mark.parametrize(
    ("at", "value", "told"),
    [
        ((*RUN, 0), float("nan"), "phase_seconds.run.0: Input should be"),
        ((*RUN, 0), float("inf"), "phase_seconds.run.0: Input should be"),
        ((*RUN, 0), 1e300, "phase_seconds.run.0: Input should be less than or equal to 1000000000"),
        ((*RUN, 0), -1e-3, "phase_seconds.run.0: Input should be greater than or equal to 0"),
        (("rounds", 0), 2**63, "rounds.0: Input should be"),
        (("rounds", 0), -1, "rounds.0: Input should be greater than or equal to 0"),
        (("seed",), 2**63, "seed: Input should be less than"),
        (("threads",), 0, "threads: Input should be greater than or equal to 1"),
        (("median_s",), float("inf"), "median_s: Input should be"),
        (("error", "rel_l2"), float("nan"), "error.rel_l2: Input should be a finite number"),
        (("error_seeds",), [1e-7, float("inf")], "error_seeds.1: Input should be a finite number"),
        (("workspace_bytes",), -1, "workspace_bytes: Input should be greater"),
        (("telemetry",), {"energy": "much"}, "telemetry.energy: Input should be a valid dict"),
        (("telemetry",), {"energy": {"j_per_run": [[1]]}}, "telemetry.energy.j_per_run.0: "),
        (("telemetry",), {"pacer_ratio": "x"}, "telemetry.pacer_ratio: Input should be a valid"),
        (("telemetry",), {"pacer_ratio": 1e300}, "telemetry.pacer_ratio: Input should be less"),
        (("telemetry",), {"group": [1]}, "telemetry.group: Input should be a valid integer"),
        (("algorithm",), "a\x1b[2J", r"algorithm: name is 'a\x1b[2J'; allowed: printable text on"),
        (("device",), "cpu\ncpu", r"device: name is 'cpu\ncpu'; allowed: printable text on one"),
        (("family",), "f" * 101, "family: String should have at most 100 characters"),
        (("namespace",), "", "namespace: String should have at least 1 character"),
        (("problem", "image"), [10**30] * 2, "size is 1000000000000000000000000000000; allowed"),
        (("problem", "batch"), 2**17 + 1, "problem: size is 131073; allowed: up to 131072"),
        (("problem", "stride"), [1, 10**9], "problem: size is 1000000000; allowed: up to 131072"),
    ],
)
def test_records_are_refused(tmp_path: Path, at: tuple[Any, ...], value: Any, told: str) -> None:
    with pytest.raises(BadInput) as refused:
        load([changed(tmp_path, 1, at, value)])
    assert told in str(refused.value)
    assert "a.jsonl" in str(refused.value)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"flops": 3}, "ceilings: flops: Input should be a valid dict"),
        ({"flops": {"float32": 0}}, "ceilings: flops.float32: Input should be greater"),
        ({"bytes": [[1]]}, "ceilings: bytes.0.1: missing"),
        ({"device": 1}, "ceilings: device: Input should be a valid string"),
    ],
)
def test_ceilings_are_refused(tmp_path: Path, value: Any, told: str) -> None:
    with pytest.raises(BadInput) as refused:
        load([changed(tmp_path, 0, ("ceilings",), value)])
    assert told in str(refused.value)


@pytest.mark.parametrize("seconds", [0.0, 1e-300])
def test_less_than_a_clock_can_tell_is_no_time(tmp_path: Path, seconds: float) -> None:
    frame = load([changed(tmp_path, 1, (*RUN, 0), seconds)]).frame
    assert not frame["usable"][0]
    assert frame["status"][0] == "ok"


@pytest.mark.parametrize("phase", ["fresh", "plan"])
def test_a_phase_without_time_is_in_no_crossover_of_it(tmp_path: Path, phase: str) -> None:
    path = changed(tmp_path, 1, ("phase_seconds", phase, 0), 0.0)
    whole = of_results(load([path]), pairs=[("direct", "fft")])
    assert of_results(load([path]), pairs=[("direct", "fft")], phase="first") != whole


@pytest.mark.parametrize("padded", ["wide", [0, 5], [1e300, 2], [[1], 2], {"a": 1}, 7, [3]])
def test_what_a_contender_says_of_itself_may_be_anything(tmp_path: Path, padded: Any) -> None:
    from convcross.analysis.claims.claims import claims

    lines = copy.deepcopy(hostile.lines())
    for line in lines:
        hostile.put(line, ("provenance",), {"padded": padded})
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert len(claims(load([path]))) == 11


def test_a_machines_name_is_shortened_and_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = changed(tmp_path, 0, ("machine", "name"), "m\x1b[2J" + "x" * 5000)
    name = load([path]).machine
    assert len(name) == LONGEST
    assert name.startswith("m?[2Jxxx")


def test_notes_are_one_line_each(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load([changed(tmp_path, 1, ("flags",), ["\x1b[2J\nconvcross: done"])])
    assert any("convcross: done" in note for note in caplog.messages)
    assert all(note == one_line(note) for note in caplog.messages)


@pytest.mark.parametrize("name", ["", "a\x1b[2J", "a\nb", " a", "a  b", "a" * 101])
def test_a_name_that_a_record_refuses_is_not_registered(name: str) -> None:
    with pytest.raises(ValueError, match="allowed: 1 to 100 printable characters"):
        algorithm(name=name, family="direct", namespaces="numpy", arithmetic="ieee", source="me")
