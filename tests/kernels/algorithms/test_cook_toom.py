"""The transforms of minimal filtering: exact, and of the points whose errors grow least."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convkernels.algorithms.winograd import _cook_toom
from convkernels.algorithms.winograd._cook_toom import POINTS, Matrix, Transforms, transforms

SIZES = [(m, r) for m in range(1, 9) for r in range(1, 9) if m + r - 2 <= len(POINTS)]
OURS = [(2, 3), (4, 3), (6, 3), (2, 5)]
rationals = st.fractions(min_value=-9, max_value=9, max_denominator=9)


def applied(matrix: Matrix, vector: list[Fraction]) -> list[Fraction]:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


@pytest.mark.parametrize(("m", "r"), SIZES)
def test_the_bilinear_map_is_the_correlation(m: int, r: int) -> None:
    """By its coefficients, which determine it: Σ_i A[i, o]·G[i, k]·B[i, t] = 1 where t = o + k."""
    found = transforms(m, r)
    alpha = m + r - 1
    for o, k, t in itertools.product(range(m), range(r), range(alpha)):
        coefficient = sum(found.at[o][i] * found.g[i][k] * found.bt[i][t] for i in range(alpha))
        assert coefficient == (t == o + k), (o, k, t)


@given(st.sampled_from(SIZES), st.data())
def test_filters_exactly(size: tuple[int, int], data: st.DataObject) -> None:
    m, r = size
    g, d = (data.draw(st.lists(rationals, min_size=n, max_size=n)) for n in (r, m + r - 1))
    found = transforms(m, r)
    pairs = zip(applied(found.g, g), applied(found.bt, d), strict=True)
    y = applied(found.at, [filtered * image for filtered, image in pairs])
    assert y == [sum(g[k] * d[i + k] for k in range(r)) for i in range(m)]


@pytest.mark.parametrize(("m", "r"), SIZES)
def test_shapes_and_whole_numbers(m: int, r: int) -> None:
    found, alpha = transforms(m, r), m + r - 1
    assert {len(row) for row in found.at} == {alpha}
    assert {len(row) for row in found.g} == {r}
    assert {len(row) for row in found.bt} == {alpha}
    assert (len(found.at), len(found.g), len(found.bt)) == (m, alpha, alpha)
    assert all(value.denominator == 1 for row in found.bt for value in row)


def test_the_published_f_2_3() -> None:
    """Lavin & Gray 2016, equation 6, up to the signs that G and Bᵀ share."""
    half = Fraction(1, 2)
    found = transforms(2, 3)
    assert found.at == ((1, 1, 1, 0), (0, 1, -1, 1))
    published = {
        (-1, 0, 0): (-1, 0, 1, 0),
        (half, half, half): (0, 1, 1, 0),
        (half, -half, half): (0, -1, 1, 0),
        (0, 0, 1): (0, -1, 0, 1),
    }
    assert dict(zip(found.g, found.bt, strict=True)) == published


@pytest.mark.parametrize(("m", "r"), OURS)
def test_no_other_points_of_the_field_grow_less(
    m: int, r: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    least = transforms(m, r).growth
    for chosen in itertools.combinations(POINTS, m + r - 2):
        monkeypatch.setattr(_cook_toom, "POINTS", chosen)
        assert transforms.__wrapped__(m, r).growth >= least * (1 - 1e-12), chosen


@given(st.sampled_from(OURS), st.data())
def test_growth_does_not_depend_on_where_factors_are(
    size: tuple[int, int], data: st.DataObject
) -> None:
    found = transforms(*size)
    factors = data.draw(
        st.lists(
            st.fractions(min_value=Fraction(1, 64), max_value=64, max_denominator=64),
            min_size=len(found.bt),
            max_size=len(found.bt),
        )
    )
    moved = Transforms(
        found.at,
        tuple(tuple(f * v for v in row) for f, row in zip(factors, found.g, strict=True)),
        tuple(tuple(v / f for v in row) for f, row in zip(factors, found.bt, strict=True)),
    )
    assert moved.growth == pytest.approx(found.growth, rel=1e-9)


@pytest.mark.parametrize(("m", "r"), [(0, 3), (3, 0), (7, 3), (2, 8)])
def test_sizes_without_points_are_refused(m: int, r: int) -> None:
    with pytest.raises(ValueError, match=rf"F\({m}, {r}\) .*; allowed: .*up to 7"):
        transforms(m, r)
