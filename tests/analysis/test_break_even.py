"""Break-even numbers keep their definition, and the table compares whom it says."""

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from convcross.analysis.break_even import Bill, Parts, break_even, comparisons
from convcross.analysis.load import load
from support import synthetic

seconds = st.floats(0, 1e4, allow_subnormal=False)
lines = st.builds(Bill, fixed=seconds, each=seconds)


def cheaper(b: Bill, a: Bill, k: int) -> bool:
    """Whether k pieces cost less with b, without rounding."""
    cost_a, cost_b = (Fraction(one.fixed) + k * Fraction(one.each) for one in (a, b))
    return cost_b < cost_a


@given(lines, lines)
def test_b_is_cheaper_from_the_break_even_on_and_not_before(a: Bill, b: Bill) -> None:
    k = break_even(a, b)
    assume(k is not None)
    assert k is not None
    assert all(cheaper(b, a, k + more) for more in (0, 1, 7, 10**9))
    assert k == 0 or not cheaper(b, a, k - 1)


@given(lines, lines)
def test_never_is_never_for_good(a: Bill, b: Bill) -> None:
    assume(break_even(a, b) is None)
    ahead = abs(Fraction(b.fixed) - Fraction(a.fixed))
    gap = Fraction(b.each) - Fraction(a.each)
    assert gap >= 0
    assert not cheaper(b, a, int(ahead / gap) + 1 if gap else 10**9)


@given(lines, lines)
def test_only_one_of_two_is_cheaper_in_the_end(a: Bill, b: Bill) -> None:
    ends = [break_even(a, b), break_even(b, a)]
    assert ends.count(None) == (2 if a == b else 1)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (Bill(0, 2), Bill(10, 1), 11),  # at 10 they cost the same
        (Bill(0, 2), Bill(9.5, 1), 10),
        (Bill(5, 2), Bill(1, 1), 0),
        (Bill(1, 1), Bill(1, 1), None),
        (Bill(1, 1), Bill(0, 1), 0),
        (Bill(0, 1), Bill(1, 1), None),
        (Bill(9, 1), Bill(0, 2), None),  # cheaper up to 8, then not
    ],
)
def test_known_break_evens(a: Bill, b: Bill, expected: int | None) -> None:
    assert break_even(a, b) == expected


def test_what_images_and_filters_cost() -> None:
    parts = Parts("fft/numpy", "fft", plan=8, load=4, run=2)
    assert parts.images == (12, 2)
    assert parts.filters == (8, 6)


def test_the_table_compares_the_best_of_each_family_and_the_two_fastest(tmp_path: Path) -> None:
    contenders = {
        "direct/numpy": synthetic.direct(),
        "scipy-convolve2d/numpy": synthetic.direct(1.5),
        "fft/numpy": synthetic.fft(9.4),
        "im2col-gemm/numpy": synthetic.direct(0.5),
    }
    duels = synthetic.duels(contenders, sizes=[256])
    for duel in duels:
        duel[2].phase_seconds |= {"plan": [1.0, 2.0, 9.0], "load": [0.25]}
        duel[0].phase_seconds["load"] = [0.0]
    grid = load([synthetic.write(tmp_path / "a.jsonl", duels)]).grid
    found = list(comparisons(grid, {256: 9.4}))
    assert [(one.N, one.n) for one in found] == [(256, n) for n in (3, 9, 31) for _ in range(2)]
    for families, ranks in zip(found[::2], found[1::2], strict=True):
        assert (families.a.contender, families.b.contender) == ("direct/numpy", "fft/numpy")
        assert (families.b.plan, families.b.load, families.a.load) == (2.0, 0.25, 0.0)
        assert ranks.b.run < ranks.a.run
        assert ranks.b.run == min(families.b.run, ranks.b.run)
    assert [one.images for one in found[:4:2]] == [None, None]  # direct is faster at 3 and 9
    paid = found[4]
    prepared = paid.b.plan + paid.b.load - paid.a.plan - paid.a.load
    assert paid.images == int(prepared / (paid.a.run - paid.b.run)) + 1


def test_a_contender_whose_load_was_not_timed_is_not_compared(tmp_path: Path) -> None:
    contenders = {"direct/numpy": synthetic.direct(), "fft/numpy": synthetic.fft(9.4)}
    duels = synthetic.duels(contenders, sizes=[256], kernels=[3, 15])
    del duels[0][1].phase_seconds["load"]
    grid = load([synthetic.write(tmp_path / "a.jsonl", duels)]).grid
    assert {one.n for one in comparisons(grid, {})} == {15}
