"""Who is measured where, and what a problem's times are."""

from __future__ import annotations

import dataclasses
import itertools
import random
import time

import pytest

from convcross.advice import design, race, trials
from convcross.advice.race import Race
from convcross.advice.trials import Operands, Times, measure
from convcross.sweeps.contenders import Contender
from convkernels import Problem
from convkernels.problem import DIRECTIONS
from convkernels.toolbox.directions import GRADIENTS, exchange

DIRECT, FFT = Contender("direct/numpy@cpu"), Contender("fft/numpy@cpu")
SAVE = Contender("overlap-save/numpy@cpu")


def gradient_of(problem: Problem, direction: str) -> Problem:
    return dataclasses.replace(problem, direction=direction)


def run(field: Race, seconds: dict[Contender, float], count: int) -> list[list[Contender]]:
    """Who was measured on each of so many problems, small ones first; seconds are of a pixel."""
    found = []
    problems = itertools.islice(design.problems(0, [design.image], ["float32"]), count)
    for problem in sorted(problems, key=lambda problem: problem.flops):
        chosen = field.hopeful(problem)
        pixels = problem.image[0] ** 2
        field.add(problem, {one: Times(0.0, 0.0, seconds[one] * pixels) for one in chosen})
        found.append(chosen)
    return found


def test_all_run_at_first_and_the_slow_no_more() -> None:
    field = Race([DIRECT, FFT, SAVE], lambda *_: 0.0)
    chosen = run(field, {DIRECT: 1e-9, FFT: 1.1e-9, SAVE: 20e-9}, 30)
    assert chosen[0] == [DIRECT, FFT, SAVE]
    assert all({DIRECT, FFT} <= set(one) for one in chosen)
    assert not any(SAVE in one for one in chosen[10:])
    assert field.entries[SAVE].nearest == pytest.approx(20)


def test_a_floor_above_the_fastest_is_never_tried() -> None:
    field = Race(
        [DIRECT, FFT], lambda one, problem: 1e-6 * problem.image[0] ** 2 if one == FFT else 0.0
    )
    chosen = run(field, {DIRECT: 1e-9, FFT: 1e-6}, 12)
    assert sum(FFT in one for one in chosen) <= 3  # while no model tells what the fastest takes


def test_what_is_slow_on_small_problems_has_a_chance_on_large_ones() -> None:
    """Of few samples, all alike, nothing follows for what is unlike them."""
    field = Race([DIRECT, FFT], lambda *_: 0.0)
    for side in (64, 72, 80, 88, 96):
        problem = Problem((side, side), (3, 3), mode="same")
        work = side * side * 1e-9
        field.add(problem, {DIRECT: Times(0.0, 0.0, work), FFT: Times(0.0, 0.0, 12 * work)})
    assert field.hopeful(Problem((90, 90), (3, 3), mode="same")) == [DIRECT]
    assert FFT in field.hopeful(Problem((512, 512), (63, 63), mode="same"))


def test_larger_problems_come_step_by_step() -> None:
    """A call cannot be stopped: a slow rate keeps a contender from what is far larger."""
    field = Race([DIRECT], lambda *_: 0.0)
    huge = Problem((1024, 1024), (101, 101), mode="same")
    assert field.hopeful(huge) == []
    small = Problem((64, 64), (3, 3), mode="same")
    field.add(small, {DIRECT: Times(0.0, 0.0, 1e-4)})
    assert field.hopeful(huge) == []
    middle = Problem((256, 256), (51, 51), mode="same")
    field.add(middle, {DIRECT: Times(0.0, 0.0, 4e-3)})  # a rate of some 10^11 FLOP a second
    assert field.hopeful(huge) == [DIRECT]


def settled(seconds: dict[Contender, list[float]]) -> list[Contender]:
    """Who goes on after so many seconds on problems."""
    field = Race(list(seconds), lambda *_: 0.0)
    for row in zip(*seconds.values(), strict=True):
        side = 64 + field.entries[DIRECT].count
        times = {one: Times(0.0, 0.0, value) for one, value in zip(seconds, row, strict=True)}
        for _ in range(race.SCOUTED):
            field.add(Problem((side, side), (3, 3), mode="same"), times)
    field.settle()
    return [one for one, entry in field.entries.items() if not entry.spare]


def test_those_go_on_who_together_are_as_fast_as_all() -> None:
    assert settled({DIRECT: [1.0, 9.0], FFT: [9.0, 1.0], SAVE: [0.999, 0.999]}) == [SAVE]
    assert settled({DIRECT: [1.0, 9.0], FFT: [9.0, 1.0], SAVE: [1.1, 1.1]}) == [DIRECT, FFT]
    assert settled({DIRECT: [1.0, 1.0], FFT: [1.0, 1.2], SAVE: [3.0, 3.0]}) == [DIRECT]


def test_who_alone_was_measured_goes_on() -> None:
    field = Race([DIRECT, FFT], lambda *_: 0.0)
    for _ in range(race.SCOUTED):
        field.add(Problem((64, 64), (3, 3), mode="same"), {DIRECT: Times(0.0, 0.0, 1.0)})
        field.add(Problem((65, 65), (3, 3), mode="same"), {FFT: Times(0.0, 0.0, 1.0)})
    field.settle()
    assert not any(entry.spare for entry in field.entries.values())


def test_who_refuses_or_is_lost_is_not_asked() -> None:
    field = Race([DIRECT, Contender("winograd-4x4-3x3/numpy@cpu")], lambda *_: 0.0)
    assert field.hopeful(Problem((64, 64), (5, 5), mode="same")) == [DIRECT]
    field.entries[DIRECT].lost = "it raised"
    assert field.hopeful(Problem((64, 64), (5, 5), mode="same")) == []
    field.entries[DIRECT].lost, field.entries[DIRECT].spare = None, {"forward"}
    assert field.hopeful(Problem((64, 64), (5, 5), mode="same")) == []


LAYER = Problem((12, 12), (3, 3), in_channels=4, out_channels=8, batch=2, mode="same")


def test_a_gradient_is_a_sample_of_the_code_that_computes_it() -> None:
    field = Race([DIRECT, FFT], lambda *_: 0.0)
    for direction in DIRECTIONS:
        field.add(gradient_of(LAYER, direction), dict.fromkeys((DIRECT, FFT), Times(0.0, 0.0, 1.0)))
    assert {name: len(one.times) for name, one in field.entries[FFT].passes.items()} == {
        "forward": 3
    }
    direct = field.entries[DIRECT].passes
    assert {name: len(one.times) for name, one in direct.items()} == {
        "forward": 2,
        "grad_weight": 1,
    }
    assert direct["forward"].problems[1] == exchange(gradient_of(LAYER, "grad_input")).solved


def test_who_is_spare_is_so_in_one_direction() -> None:
    field = Race([DIRECT, FFT], lambda *_: 0.0)
    for direction, faster in (("forward", DIRECT), ("grad_weight", FFT)):
        times = {one: Times(0.0, 0.0, 1e-3 if one == faster else 2e-3) for one in (DIRECT, FFT)}
        for _ in range(race.SCOUTED):
            field.add(gradient_of(LAYER, direction), times)
    few = dict.fromkeys((DIRECT, FFT), Times(0.0, 0.0, 1e-3))
    field.add(gradient_of(LAYER, "grad_input"), few)
    field.settle()
    assert field.entries[DIRECT].spare == {"grad_weight"}
    assert field.entries[FFT].spare == {"forward"}
    assert field.takers(LAYER) == [DIRECT]
    assert field.takers(gradient_of(LAYER, "grad_weight")) == [FFT]


@pytest.mark.parametrize("direction", GRADIENTS)
def test_gradients_are_measured(direction: str) -> None:
    times, failed = measure(
        gradient_of(LAYER, direction), [DIRECT, FFT, SAVE], Operands(0), random.Random(0)
    )
    assert failed == {}
    assert list(times) == [DIRECT, FFT, SAVE]


def test_what_takes_long_is_left_to_the_model() -> None:
    field = Race([DIRECT], lambda *_: 0.0)
    run(field, {DIRECT: 1e-9}, 8)
    small, huge = (Problem((N, N), (3, 3), mode="same") for N in (128, 1 << 15))
    assert field.hopeful(small) == [DIRECT]
    assert field.hopeful(huge) == []
    assert race.LONGEST < (1 << 30) * 1e-9


def test_times_are_of_each_phase() -> None:
    problem = Problem((64, 64), (5, 5), mode="same")
    times, failed = measure(problem, [DIRECT, FFT, SAVE], Operands(0), random.Random(0))
    assert failed == {}
    assert list(times) == [DIRECT, FFT, SAVE]
    for found in times.values():
        assert 0 < found.run < found.warm < found.first
        assert found.plan > 0


def test_what_takes_long_is_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    implementation, calls = SAVE.found.implementation, []
    right = implementation.run

    def slow(self: object, a: object) -> object:
        calls.append(a)
        time.sleep(trials.LONG)
        return right(self, a)

    monkeypatch.setattr(implementation, "run", slow)
    problem = Problem((64, 64), (5, 5), mode="same")
    times, _ = measure(problem, [DIRECT, SAVE], Operands(0), random.Random(0))
    assert len(calls) == 1
    assert times[SAVE].run >= trials.LONG


def test_who_is_wrong_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    implementation = SAVE.found.implementation
    right = implementation.run
    monkeypatch.setattr(implementation, "run", lambda self, a: right(self, a) * 1.001)
    problem = Problem((64, 64), (5, 5), mode="same")
    times, failed = measure(problem, [DIRECT, FFT, SAVE], Operands(0), random.Random(0))
    assert list(times) == [DIRECT, FFT]
    assert failed[SAVE].startswith("its result differs from the others' by 1.0e-03")


def test_who_raises_or_refuses_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, a: object) -> None:
        raise RuntimeError("not\ntoday")

    monkeypatch.setattr(SAVE.found.implementation, "run", broken)
    winograd = Contender("winograd-4x4-3x3/numpy@cpu")
    problem = Problem((64, 64), (5, 5), mode="same")
    times, failed = measure(problem, [FFT, SAVE, winograd], Operands(0), random.Random(0))
    assert list(times) == [FFT]
    assert failed[SAVE] == "RuntimeError: not today"
    assert "3×3" in failed[winograd]
