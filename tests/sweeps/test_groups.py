"""Groups of contenders: who belongs to one, and what a pattern may ask of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from convcross.errors import BadInput
from convcross.sweeps import spec, user_files
from convcross.sweeps.contenders import Contender, available, matching
from convcross.sweeps.groups import GROUPS, groups_of
from convcross.sweeps.shipped import shipped
from convkernels.discovery import algorithms
from convkernels.namespaces import NAMES
from support.planted import forgotten

MINE = """
from convkernels import algorithm

@algorithm(name={name!r}, family={family!r}, namespaces=["numpy"], arithmetic="ieee", source="here")
def mine(x, w, problem):
    return x
"""
THERE = [
    Contender(f"{name}@cpu")
    for name in (
        "direct/numpy",
        "direct/torch",
        "im2col-gemm/numpy",
        "fft/numpy",
        "fft/torch",
        "fft-ducc/numpy",
        "opencv-filter2d/numpy",
        "scipy-convolve2d/numpy",
        "numba-direct/numpy",
        "numba-separable/numpy",
    )
]


@pytest.fixture(autouse=True)
def registry_as_it_was() -> Iterator[None]:
    with forgotten():
        yield


def test_no_algorithm_has_the_name_of_a_group() -> None:
    assert not GROUPS.keys() & algorithms().keys()


def test_every_algorithm_is_in_all_and_in_at_most_one_other() -> None:
    for name in algorithms():
        *others, last = groups_of(name)
        assert last == "all"
        assert len(others) <= 1, name


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("direct", "textbook"),
        ("im2col-gemm", "textbook"),
        ("fft", "textbook"),
        ("numba-overlap-save", "strong"),  # whether it is registered or not
        ("cuda-direct", "strong"),
        ("scipy-convolve2d", "libraries"),  # of family direct, in the room libraries/
        ("opencv-filter2d", "libraries"),
        ("torch-conv2d", "libraries"),
        ("fft-fftw", "libraries"),
    ],
)
def test_who_belongs(name: str, group: str) -> None:
    assert groups_of(name) == [group, "all"]


def test_a_users_algorithm_of_family_library_is_one(tmp_path: Path) -> None:
    assert groups_of("mine") == ["all"]
    (tmp_path / "mine.py").write_text(MINE.format(name="mine", family="library"))
    user_files.register(str(tmp_path / "mine.py"))
    assert groups_of("mine") == ["libraries", "all"]


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_a_users_algorithm_cannot_take_its_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE.format(name=name, family="direct"))
    with pytest.raises(BadInput, match=f"an algorithm is named '{name}'; allowed: what is no"):
        user_files.register(str(tmp_path / "mine.py"))


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["textbook"], ["direct/*", "im2col-gemm/*", "fft/*"]),
        (["textbook/torch"], ["direct/torch", "fft/torch"]),
        (["textbook/torch@cpu"], ["direct/torch", "fft/torch"]),
        (["strong"], ["numba-*"]),  # as far as they are there
        (["libraries"], ["fft-ducc", "opencv-*", "scipy-*"]),
        (["all"], ["*"]),
        (["strong", "fft-ducc/*", " fft/torch "], ["numba-*", "fft-ducc", "fft/torch"]),
        (["strong/torch", "fft/torch"], ["fft/torch"]),  # of which none is there: passed over
    ],
)
def test_a_group_is_its_members_that_are_there(patterns: list[str], names: list[str]) -> None:
    assert matching(patterns, THERE) == matching(names, THERE)


@pytest.mark.parametrize(
    ("patterns", "told"),
    [
        (["strong"], "'strong' matches nothing here; "),
        (["strong", "strong/numpy"], "'strong' matches nothing here; "),
        (["textbook/jax"], "'textbook/jax' matches nothing here; available: direct/numpy, "),
        (["textbook", "fftt"], "'fftt' matches nothing here; available: direct/numpy, "),
        (["text*"], "'text*' matches nothing here; "),  # no pattern over groups
    ],
)
def test_what_matches_nothing_is_refused(patterns: list[str], told: str) -> None:
    without = [contender for contender in THERE if not contender.startswith("numba")]
    with pytest.raises(BadInput) as raised:
        matching(patterns, without)
    assert str(raised.value).startswith(f"contenders: {told}")


def test_an_absent_group_tells_what_its_members_miss() -> None:
    with pytest.raises(BadInput, match="nothing here; cuda-direct on cupy: "):
        matching(["strong/cupy"], [one for one in available(["cpu"]) if "cuda" not in one])


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_sweep_finds_contenders_on_any_machine(name: str) -> None:
    """Those that NumPy alone has: written on the array API, for every array library."""
    plain = [
        contender
        for contender in available(["cpu"])
        if contender.namespace == "numpy" and set(contender.found.namespaces) == set(NAMES)
    ]
    textbook = {f"{algorithm}/numpy@cpu" for algorithm in ("direct", "fft", "im2col-gemm")}
    assert set(matching(spec.load(name).contenders, plain)) >= textbook
