"""A rule grown on a planted calibration, and what it prints."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from convcross.advice import rule as rules
from convcross.advice.export import FORMATS
from convcross.advice.rule import Leaf, Rule, Split
from convcross.advice.weights import PHASE_WEIGHTS
from convcross.errors import BadInput
from convkernels import Problem
from convkernels.calibration import Calibration
from support.calibrated import planted


@pytest.fixture(scope="module")
def known() -> Calibration:
    return planted()


@pytest.fixture(scope="module")
def rule(known: Calibration) -> Rule:
    return rules.grow(known, sorted(known.contenders), PHASE_WEIGHTS["steady"])


def test_the_crossover_is_its_first_question(rule: Rule) -> None:
    assert isinstance(rule.tree, Split)
    assert rule.tree.feature == "n"
    assert rule.tree.bound == pytest.approx(9, abs=1)
    assert rules.take(rule.tree, Problem((512, 512), (3, 3), mode="same")) == "direct/numpy"
    assert rules.take(rule.tree, Problem((512, 512), (31, 31), mode="same")) == "fft/numpy"


def test_its_loss_is_of_the_problems_held_out(known: Calibration, rule: Rule) -> None:
    assert rule.loss.untold == 0
    assert len(rule.loss.losses) == len(known.held_out)
    assert 1 <= rule.loss.mean <= 1.02


def test_a_rule_of_a_gradient_asks_of_that_alone(known: Calibration) -> None:
    """The input's is solved as a forward problem: its rule is grown on layers."""
    grown = rules.grow(known, sorted(known.contenders), PHASE_WEIGHTS["steady"], "grad_input")
    assert grown.direction == "grad_input"
    assert grown.loss.losses == ()
    assert "Fastest of direct/numpy, fft/numpy in grad_input on" in FORMATS["python"](
        grown, known
    ).replace("\n# ", " ")
    with pytest.raises(BadInput, match="allowed: those that it has of grad_weight"):
        rules.grow(known, [], PHASE_WEIGHTS["steady"], "grad_weight")


def test_one_contender_needs_no_question(known: Calibration) -> None:
    alone = rules.grow(known, ["fft/numpy"], PHASE_WEIGHTS["steady"])
    assert alone.tree == Leaf("fft/numpy")


def test_none_is_refused(known: Calibration) -> None:
    with pytest.raises(BadInput, match="no contender of the calibration is chosen"):
        rules.grow(known, [], PHASE_WEIGHTS["steady"])


def test_the_python_runs(known: Calibration, rule: Rule) -> None:
    text = FORMATS["python"](rule, known)
    space: dict[str, object] = {}
    exec(text, space)
    assert space["fastest"](512, 3) == "direct/numpy"  # type: ignore[operator]
    assert space["fastest"](512, 31) == "fft/numpy"  # type: ignore[operator]
    assert "geometric mean" in text.replace("\n# ", " ")
    assert len([line for line in text.splitlines() if not line.startswith("#")]) <= 10


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_c_runs(known: Calibration, rule: Rule, tmp_path: Path) -> None:
    source = tmp_path / "rule.c"
    source.write_text(
        FORMATS["c"](rule, known)
        + "\n#include <stdio.h>\nint main(void) { puts(fastest(512, 3, 1, 1, 1, 1)); "
        "puts(fastest(512, 31, 1, 1, 1, 1)); return 0; }\n"
    )
    subprocess.run(["cc", "-Wall", "-Werror", source, "-o", tmp_path / "rule"], check=True)
    told = subprocess.run([tmp_path / "rule"], check=True, capture_output=True, text=True).stdout
    assert told.split() == ["direct/numpy", "fft/numpy"]


def test_the_table_has_a_row_a_leaf(known: Calibration, rule: Rule) -> None:
    lines = FORMATS["markdown"](rule, known).splitlines()
    assert lines[:2] == ["| where | fastest |", "|---|---|"]
    rows = [line for line in lines[2:] if line.startswith("|")]
    assert rows[0] == "| n < 10 | `direct/numpy` |"
    assert {row.split("`")[1] for row in rows} == {"direct/numpy", "fft/numpy"}
    assert len(rows) <= rules.LEAVES


def test_bounds_have_few_digits_and_part_what_they_part() -> None:
    for low, high in ((7, 9), (8.9, 9.1), (0.123, 0.124), (127, 129)):
        bound = rules._round(low, high)
        assert low < bound <= high
        assert len(f"{bound:g}") <= 6
