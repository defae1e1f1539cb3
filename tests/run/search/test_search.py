"""The search for crossovers: planted curves with known answers, and the looks they are given."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcross.errors import BadInput
from convcross.results.schema import Record
from convcross.run.search import line as lines
from convcross.run.search.search import Search, dense
from convcross.run.search.strategy import LEAST, MOST, Answer, strategy
from convcross.sweeps.contenders import available
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits, Sweep
from proofs.search import SCENARIOS, Clock, Scenario, double, missed, single, steps, tried
from support.synthetic import record

KERNELS = range(3, 128, 2)
SIZES = np.array(KERNELS, dtype=float)
EXPECTED = 2 * np.log(SIZES / 20)  # crosses at 20
TIE = 0.02


def searched(ratios: np.ndarray, expected: np.ndarray = EXPECTED) -> list[tuple[int, bool]]:
    """The looks that a search takes at exact ratios; of a NaN it is told that none can be had."""
    asked: list[tuple[int, bool]] = []
    steps = strategy(list(KERNELS)[: len(ratios)], expected[: len(ratios)])
    with_answer = None
    while True:
        try:
            place, closely = steps.send(with_answer)
        except StopIteration:
            return asked
        asked.append((place, closely))
        ratio = ratios[place]
        sign = int(np.sign(ratio)) if abs(ratio) >= TIE else 0
        with_answer = None if np.isnan(ratio) else Answer(float(ratio), sign)


def crossings(ratios: np.ndarray) -> list[int]:
    """The last place before each change of sign."""
    return np.flatnonzero(np.sign(ratios[:-1]) != np.sign(ratios[1:])).tolist()


@given(crossing=st.floats(4, 120), flat=st.floats(0, 60), slope=st.floats(0, 0.3))
def test_one_crossing_is_bracketed_by_neighbours_looked_at_closely(
    crossing: float, flat: float, slope: float
) -> None:
    ratios = np.log((flat + SIZES**2) / (flat + crossing**2)) - slope * np.log(SIZES / crossing)
    asked = searched(ratios)
    (before,) = crossings(np.where(ratios > 0, 1, -1))
    assert {(before, True), (before + 1, True)} <= set(asked)
    assert len(asked) <= 14
    assert {place for place, _ in asked} >= {0, len(SIZES) - 1}


@given(
    crossing=st.floats(8, 60),
    jumps=st.lists(st.tuples(st.floats(0.8, 1.5), st.floats(1.1, 1.6)), max_size=2),
)
def test_every_crossing_of_a_curve_that_jumps_is_found(
    crossing: float, jumps: list[tuple[float, float]]
) -> None:
    """Where it is 4 % or more from zero on both sides: a tie is no crossing."""
    ratios = 2 * np.log(SIZES / crossing)
    for place, factor in jumps:
        ratios -= np.log(factor) * (place * crossing < SIZES)
    asked = {place for place, _ in searched(ratios)}
    last = crossings(ratios)[-1:]
    if all(min(abs(ratios[one]), abs(ratios[one + 1])) > 0.04 for one in last):
        assert {place for one in last for place in (one, one + 1)} <= asked


@pytest.mark.parametrize("jump", [1.3, 1.4, 1.6])
def test_a_step_beside_the_crossing_is_looked_for(jump: float) -> None:
    """B overtakes at 47.3, falls back at 52 and overtakes again: 47 and 49 alone do not tell."""
    ratios = 2 * np.log(SIZES / 47.3) - np.log(jump) * (SIZES > 52)
    found = crossings(ratios)
    asked = {place for place, _ in searched(ratios)}
    assert {place for one in found for place in (one, one + 1)} <= asked
    assert len(found) == 3


@settings(max_examples=200)
@given(
    ratios=st.lists(
        st.one_of(st.floats(-2, 2), st.just(float("nan"))), min_size=1, max_size=len(SIZES)
    )
)
def test_any_curve_ends_and_no_look_is_repeated(ratios: list[float]) -> None:
    asked = searched(np.array(ratios))
    assert len(set(asked)) == len(asked)
    assert all(0 <= place < len(ratios) for place, _ in asked)
    assert len(asked) <= max(LEAST, MOST * len(ratios), 2 * 9)  # the scan and its second looks


def test_ties_end_with_the_scan() -> None:
    asked = searched(np.zeros(len(SIZES)))
    assert len(asked) <= 2 * 9
    assert len({place for place, closely in asked if closely}) == len({place for place, _ in asked})


def test_one_clear_cell_among_ties_is_not_searched_around() -> None:
    ratios = np.zeros(len(SIZES))
    ratios[-1] = 0.5
    asked = searched(ratios)
    assert len(asked) == len(searched(ratios * 0)) - 1


@pytest.mark.parametrize(("ratio", "again"), [(0.05, True), (0.5, False)])
def test_a_first_look_near_zero_is_not_trusted(ratio: float, again: bool) -> None:
    asked = searched(ratio + np.log(SIZES / 3))
    assert asked[0] == (0, False)
    assert ((0, True) in asked) == again


@pytest.mark.parametrize("offset", [0.5, -4.5])
def test_where_one_side_is_always_faster_the_scan_is_enough(offset: float) -> None:
    asked = searched(offset + np.log(SIZES / 3))
    assert sum(closely for _, closely in asked) <= 1
    steps = np.diff(np.log(SIZES[[place for place, _ in asked]]))
    assert max(steps) <= np.log(2)
    assert len(asked) <= 9


def test_a_right_expectation_saves_looks() -> None:
    ratios = np.log((30 + SIZES**2) / (30 + 57.9**2))
    assert len(searched(ratios, ratios)) < len(searched(ratios))


@pytest.mark.parametrize(
    ("scenario", "trials"), [(one, 4) for one in SCENARIOS if one.curves in (single, steps, double)]
)
def test_it_agrees_with_the_whole_grid(scenario: Scenario, trials: int) -> None:
    assert not missed(scenario, tried(scenario, trials))


# ---- duels -----------------------------------------------------------------------------------


def sweep(**keys: Any) -> Sweep:
    small = {
        "name": "planted",
        "sizes": [256, 512],
        "kernels": list(KERNELS),
        "contenders": ["direct/numpy", "scipy-convolve2d", "fft/numpy", "scipy-fftconvolve"],
        "launches": 1,
        "limits": Limits(seconds=0.3),
    }
    return Sweep.model_validate({**small, **keys})


def run(search: Search, clock: Clock) -> Iterator[tuple[Duel, list[Record]]]:
    while (duel := search.next()) is not None:
        records, seconds = clock.measure(duel)
        search.record_result(duel.id, records, seconds)
        yield duel, records


def clock(crossing: float = 31.0) -> Clock:
    return Clock((np.log(9 + SIZES**2), np.full(len(SIZES), 2 * np.log(crossing))), 0)


def test_first_looks_are_short_and_close_ones_are_not() -> None:
    search = Search(sweep(sizes=[256]), available(["cpu"]), ("direct", "fft"))
    samples = {duel.problem.kernel[0]: duel.limits.samples for duel, _ in run(search, clock())}
    assert samples[3] == samples[127] == lines.FIRST_LOOK == 8
    assert samples[31] == samples[29] == Limits().samples


def test_what_is_clearly_slower_on_both_sides_is_left_out_between() -> None:
    search = Search(sweep(sizes=[256]), available(["cpu"]), ("direct", "fft"))
    done = [(duel.problem.kernel[0], set(duel.contenders)) for duel, _ in run(search, clock())]
    everyone = set(search.cells[0].contenders)
    scanned = list(itertools.takewhile(lambda one: one[1] == everyone, done))
    assert scanned[-1][0] == 127
    rest = done[len(scanned) :]
    # three times slower is left out, 20 % slower is not
    assert rest
    assert {frozenset(names) for _, names in rest} == {
        frozenset(everyone - {"scipy-convolve2d/numpy@cpu"})
    }


def cell(seconds: dict[str, float | None]) -> list[Record]:
    """Records of eight samples without noise; None is a timeout."""
    problem = Search(sweep(sizes=[256]), available(["cpu"]), ("direct", "fft")).cells[0]

    of = problem.problem
    return [
        record(name, of, status="timeout", reason="too slow")
        if one is None
        else record(name, of, phase_seconds={"run": [one] * 8}, rounds=list(range(8)))
        for name, one in seconds.items()
    ]


@pytest.mark.parametrize(
    ("a", "b", "sign"),
    [(2.0, 1.0, 1), (1.0, 2.0, -1), (1.01, 1.0, 0), (None, 1.0, 1), (1.0, None, -1)],
)
def test_a_cell_is_told_by_its_best_and_by_its_timeouts(
    a: float | None, b: float | None, sign: int
) -> None:
    search = Search(sweep(sizes=[256]), available(["cpu"]), ("direct", "fft"))
    sides = (["direct/numpy@cpu", "scipy-convolve2d/numpy@cpu"], ["fft/numpy@cpu"])
    records = cell({"direct/numpy": a, "scipy-convolve2d/numpy": a and 9 * a, "fft/numpy": b})
    answer = lines.compare(records, sides, search.cells[0], 63)
    assert answer is not None
    assert answer.sign == sign
    slow = {"scipy-convolve2d/numpy@cpu"} if a else set()
    late = {one.contender for one in records if one.status == "timeout"}
    assert lines.beaten(records, sides) == slow | late


def test_sides_that_both_failed_tell_nothing() -> None:
    search = Search(sweep(sizes=[256]), available(["cpu"]), ("direct", "fft"))
    sides = (["direct/numpy@cpu"], ["fft/numpy@cpu"])
    both = cell({"direct/numpy": None, "fft/numpy": None})
    assert lines.compare(both, sides, search.cells[0], 63) is None
    flagged = cell({"direct/numpy": 1.0, "fft/numpy": 2.0})
    flagged[0].flags.append("impossible")
    assert lines.compare(flagged, sides, search.cells[0], 63) is None


def test_a_line_starts_from_the_one_before() -> None:
    """The declared FLOP cross at some n < 15; what was measured at N = 256 corrects that."""
    search = Search(sweep(), available(["cpu"]), ("direct", "fft"))
    done = [duel for duel, _ in run(search, clock(61.0)) if duel.problem.image[0] == 512]
    small, large = search.lines
    assert np.interp(0.0, large.declared, SIZES) < 15
    assert abs(np.interp(0.0, large.expected(small), SIZES) - 61) < 4
    close = next(duel for duel in done if duel.limits == search.cells[0].limits)
    assert abs(close.problem.kernel[0] - 61) <= 4
    assert search.left() == 0


def test_the_same_records_lead_to_the_same_duels() -> None:
    first = Search(sweep(), available(["cpu"]), ("direct", "fft"))
    done = list(run(first, clock(64.0)))
    again = Search(sweep(), available(["cpu"]), ("direct", "fft"))
    for before, records in done:
        assert again.next() == before
        again.record_result(before.id, records, 1.0)
    assert again.next() is None
    names = [duel.id for duel, _ in done]
    assert any(name.endswith("+2") for name in names)  # measured anew
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("against", "kernels"),
    [
        (31.0, {17, 29, 33, 65}),  # crosses at 31: places looked at
        (np.sqrt(9 + SIZES**2), {3, 127}),  # ties from end to end
        (1.0, {3, 127}),  # one side always wins
    ],
)
def test_later_launches_measure_around_the_answer(against: Any, kernels: set[int]) -> None:
    search = Search(
        sweep(sizes=[256], launches=3), available(["cpu"]), ("direct/numpy", "fft/numpy")
    )
    planted = Clock((np.log(9 + SIZES**2), 2 * np.log(against * np.ones(len(SIZES)))), 0)
    later: dict[int, set[int]] = {2: set(), 3: set()}
    for duel, _ in run(search, planted):
        if duel.launch > 1:
            later[duel.launch].add(duel.problem.kernel[0])
    assert later[2] == later[3] == kernels


def test_more_image_sizes_than_kernels_are_searched_along_the_sizes() -> None:
    search = Search(
        sweep(sizes="64:1024:64", kernels=[5, 9]), available(["cpu"]), ("direct", "fft")
    )
    assert search.along == "N"
    assert [line.fixed for line in search.lines] == [5, 9]
    assert search.lines[0].sizes == list(range(64, 1025, 64))


def test_the_default_kernels() -> None:
    assert dense(sweep(kernels=[3, 5])).kernels == list(range(3, 512, 2))
    assert dense(sweep(sizes=[32, 64], kernels=[3, 5])).kernels == list(range(3, 64, 2))
    many = sweep(kernels="2:80:2")
    assert dense(many) == many
    along = sweep(sizes="64:1024:64", kernels=[5])
    assert dense(along) == along
    small = Search(sweep(sizes=[32, 64], modes=["valid"]), available(["cpu"]), ("direct", "fft"))
    assert [line.sizes[-1] for line in small.lines] == [31, 63]


LAYER = {"name": "one", "image": [8, 8], "kernel": [3, 3]}


@pytest.mark.parametrize(
    ("keys", "pair", "told"),
    [
        ({}, ("direct", "winograd"), "pair names 'winograd', to which no contender of the sweep"),
        ({}, ("direct", "fft@cuda:0"), "pair names 'fft@cuda:0', to which no contender"),
        ({}, ("fft", "fft"), "pair is fft,fft: both sides are fft/numpy@cpu and scipy-fft"),
        (
            {"contenders": ["direct/numpy", "fft/numpy"]},
            ("direct", "direct/numpy"),
            "both sides are direct/numpy@cpu; allowed: two different sides",
        ),
        ({"sizes": [], "kernels": [], "layers": [LAYER]}, ("direct", "fft"), "layers only"),
    ],
)
def test_what_cannot_be_searched_for(keys: Any, pair: tuple[str, str], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        Search(sweep(**keys), available(["cpu"]), pair)
