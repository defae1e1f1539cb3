"""From sweeps to duels: who meets on what, under which name, and in which order."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcross.errors import BadInput
from convcross.sweeps import duels as dueling
from convcross.sweeps.contenders import available
from convcross.sweeps.duels import duels
from convcross.sweeps.spec import Sweep
from convkernels import Problem


def sweep(**keys: Any) -> Sweep:
    grid = {"name": "test", "sizes": [16], "kernels": [3], "contenders": ["fft/numpy"]}
    return Sweep.model_validate({**grid, **keys})


def test_ids_are_unique_and_the_same_wherever_they_are_made() -> None:
    wide = sweep(
        sizes=[16, 32],
        kernels=[3, 5],
        ops=["convolution", "correlation"],
        modes=["full", "same", "valid"],
        dtypes=["float64", "float32"],
        image_data=["normal", "photo"],
        kernel_data=["normal", "box"],
    )
    ids = [duel.id for duel in duels(wide, available(["cpu"]))]
    assert len(set(ids)) == len(ids) == 2 * 2 * 2 * 3 * 2 * 2 * 2
    assert ids == [duel.id for duel in duels(wide, available(["cpu"]))]
    other = sweep(name="other", kernels=[3, 5, 7], seed=1, limits={"seconds": 2.0})
    assert duels(sweep(), available(["cpu"]))[0].id in {
        duel.id for duel in duels(other, available(["cpu"]))
    }
    assert (
        duels(sweep(), available(["cpu"]))[0].id == "16x16-3x3-6aa43ff8"
    )  # as results files hold it


def test_a_duel_holds_all_that_measuring_needs() -> None:
    full = sweep(
        regime="wall",
        threads=1,
        seed=7,
        error_seeds=5,
        launches=1,
        limits={"seconds": 0.5},
        image_data=["photo"],
    )
    [duel] = duels(full, available(["cpu"]), ["/some/file.py"])
    assert duel.contenders == ["fft/numpy@cpu"]
    assert duel.problem == Problem((16, 16), (3, 3), mode="same")
    assert (duel.regime, duel.threads, duel.seed) == ("wall", 1, 7)
    assert duel.error_seeds == 5
    assert (duel.limits.seconds, duel.image_data) == (0.5, "photo")
    assert duel.algorithm_paths == ["/some/file.py"]
    assert dueling.Duel.model_validate_json(duel.model_dump_json()) == duel


def test_a_pattern_that_matches_nothing_is_told_with_its_sweep() -> None:
    with pytest.raises(BadInput, match="sweep 'test': contenders: 'fftt' matches nothing here; "):
        duels(sweep(contenders=["fftt"]), available(["cpu"]))


def test_a_sweep_cut_short_is_a_coarser_sweep() -> None:
    """Each prefix has every N at a kernel before any N at a finer one."""
    sizes, kernels = [16, 32, 64], [7, 21, 3, 5, 9, 11, 15, 31]
    found = duels(sweep(sizes=sizes, kernels=kernels), available(["cpu"]))
    pairs = [(duel.problem.image[0], duel.problem.kernel[0]) for duel in found]
    inside = [(size, kernel) for size in sizes for kernel in sorted(kernels) if kernel <= size]
    assert sorted(pairs) == inside
    assert set(pairs[:8]) == {(N, n) for N in sizes for n in (3, 9, 31) if n <= N}
    levels = {kernel: level for level, kernel in dueling._bisection(kernels)}
    order = [levels[kernel] for _, kernel in pairs]
    assert order == sorted(order)


@pytest.mark.parametrize("sizes", [[64, 512], [512, 64]])
def test_the_closest_race_comes_first_within_a_level(sizes: list[int]) -> None:
    found = duels(sweep(sizes=sizes, kernels=[3, 127]), available(["cpu"]))
    assert found[-1].problem.kernel == (127, 127)  # far from any crossover
    assert found[-1].problem.image == (512, 512)


def test_duels_are_a_sequence_whose_places_can_be_asked_for_in_any_order() -> None:
    wide = sweep(sizes=[16, 32], kernels=[3, 5, 7, 9, 11], image_data=["normal", "photo"])
    whole = list(duels(wide, available(["cpu"])))
    for ask in (slice(None), slice(-3, None), slice(9, 2, -3)):
        assert duels(wide, available(["cpu"]))[ask] == whole[ask]
    found = duels(wide, available(["cpu"]))
    assert len(found) == len(whole) == 20
    assert [found[-1], found[0], found[7]] == [whole[-1], whole[0], whole[7]]
    for place in (20, -21):
        with pytest.raises(IndexError):
            found[place]
    assert found.contenders == whole[0].contenders


def test_what_is_done_is_left_out_and_the_order_stays() -> None:
    found = duels(sweep(sizes=[16, 32], kernels=[3, 5, 7, 9, 11]), available(["cpu"]))
    whole = list(found)
    left = found.without({duel.id for duel in whole[::3]} | {"another"})
    assert list(left) == [duel for place, duel in enumerate(whole) if place % 3]
    assert (len(left), len(found)) == (6, 10)
    assert list(left.without([])) == list(left)
    assert list(found.without({duel.id for duel in whole})) == []


@given(st.lists(st.integers(1, 200), unique=True, max_size=40))
def test_bisection(kernels: list[int]) -> None:
    """Every kernel once; a level's kernels halve the gaps that the level before left."""
    found = dueling._bisection(kernels)
    assert [kernel for _, kernel in found] == sorted(kernels)
    ordered = [level for level, _ in found]
    if kernels:
        assert ordered[0] == ordered[-1] == 0
    for level in range(max(ordered, default=0)):
        kept = [index for index, one in enumerate(ordered) if one <= level]
        gaps = [b - a for a, b in itertools.pairwise(kept)]
        assert max(gaps) <= -(-(len(kernels) - 1) // 2 ** (level + 1)) + 1
