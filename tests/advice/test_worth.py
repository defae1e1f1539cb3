"""What a choice is worth: losses on problems that were held out, and what intervals hold."""

from __future__ import annotations

import dataclasses
import math

import pytest

from convcross.advice import worth
from convcross.advice.weights import PHASE_WEIGHTS
from convcross.advice.worth import Loss, loss, predicted
from convkernels.calibration import Calibration, HeldOut
from support.calibrated import planted

STEADY = PHASE_WEIGHTS["steady"]


@pytest.fixture(scope="module")
def known() -> Calibration:
    return planted()


def test_the_fastest_loses_nothing_and_the_other_what_it_takes_more(known: Calibration) -> None:
    among = sorted(known.contenders)
    right = loss(predicted(known, STEADY), known.held_out, among, STEADY)
    assert right.untold == 0
    assert 1 <= right.mean < 1.01
    always = loss(lambda *_: "direct/numpy", known.held_out, among, STEADY)
    ratios = [
        seconds["direct/numpy"][2] / min(time[2] for time in seconds.values())
        for seconds in (held.seconds for held in known.held_out)
    ]
    assert always.losses == pytest.approx(ratios)
    assert always.mean == pytest.approx(math.exp(sum(map(math.log, ratios)) / len(ratios)))


def test_what_was_not_measured_is_untold(known: Calibration) -> None:
    half = [
        HeldOut(held.problem, {"fft/numpy": held.seconds["fft/numpy"]}) for held in known.held_out
    ]
    told = loss(lambda *_: "direct/numpy", half, ["direct/numpy", "fft/numpy"], STEADY)
    assert (told.losses, told.untold) == ((), len(half))
    assert told.words().startswith("not told")
    assert loss(lambda *_: None, half, ["direct/numpy"], STEADY) == Loss((), 0)


def test_a_loss_in_words() -> None:
    told = Loss((1.0, 1.04, 1.5), 2)
    assert told.share(worth.ALIKE) == pytest.approx(2 / 3)
    assert told.words() == (
        "1.160 in the geometric mean, within 5 % on 67%, max 1.50, on 3 held-out problems, and "
        "untold on 2 more"
    )


def test_intervals_hold_what_was_measured(known: Calibration) -> None:
    inside, count = worth.coverage(known)
    assert count == 2 * len(known.held_out)
    assert inside >= 0.9 * count
    slow = dataclasses.replace(
        known,
        held_out=tuple(
            HeldOut(held.problem, dict.fromkeys(held.seconds, (9.0, 9.0, 9.0)))
            for held in known.held_out
        ),
    )
    assert worth.coverage(slow) == (0, count)
    assert worth.words(slow)[0].endswith("0% lie in their 90 % intervals.")


def test_each_namespace_is_told_and_nothing_held_out_too(known: Calibration) -> None:
    first, *others = worth.words(known)
    assert "90 % intervals" in first
    assert [line.partition(":")[0] for line in others] == [
        "The loss of choosing on numpy, with its plan kept",
        "The loss of choosing on numpy, a first call",
    ]
    gradient = dataclasses.replace(known.held_out[0].problem, direction="grad_input")
    held = (*known.held_out, HeldOut(gradient, known.held_out[0].seconds))
    *_, last = worth.words(dataclasses.replace(known, held_out=held))
    assert last.startswith("The loss of choosing on numpy, grad_input with its plan kept: ")
    assert "on 1 held-out problems" in last
    (told,) = worth.words(dataclasses.replace(known, held_out=()))
    assert told.startswith("No problem was held out")
