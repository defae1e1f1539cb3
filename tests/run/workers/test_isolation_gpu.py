"""What a contender can do to a card costs its own cell, planted on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from convcross.run.workers.isolation import Isolated
from convcross.run.workers.local import VISIBLE
from convcross.sweeps.duels import Duel
from convcross.sweeps.spec import Limits
from convkernels import Problem
from convkernels.discovery import load_path
from support.planted import forgotten, plant

pytestmark = pytest.mark.gpu

SOURCE = """
import cupy
from convkernels import algorithm, convolve

ABOUT = dict(family="direct", namespaces=["cupy"], arithmetic="ieee", source="a test")
ASTRAY = 'extern "C" __global__ void astray(int* p) { *p = 1; }'
ENDLESS = 'extern "C" __global__ void endless(volatile int* p) { while (*p == 0) {} }'


def planted(name, act):
    def run(x, w, problem):
        act()
        return convolve(x, w, mode=problem.mode, algorithm="direct")

    algorithm(name=name, **ABOUT)(run)


def astray():
    cupy.RawKernel(ASTRAY, "astray")((1,), (1,), (cupy.uint64(8),))


def endless():
    cupy.RawKernel(ENDLESS, "endless")((1,), (1,), (cupy.zeros(1, cupy.int32),))


planted("sound", lambda: None)
planted("astray", astray)
planted("endless", endless)
planted("hoards", lambda: cupy.empty(1 << 44, cupy.uint8))
"""


@pytest.fixture(autouse=True)
def registry_as_it_was() -> Iterator[None]:
    with forgotten():
        yield


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("astray", "error", "the card was lost to the process"),
        ("endless", "timeout", "did not return within 20 s"),
        ("hoards", "oom", "OutOfMemory"),
    ],
)
def test_an_illegal_address_a_hang_and_a_full_card(
    name: str, status: str, words: str, tmp_path: Path
) -> None:
    """The worker sees one card, as with cuda:all; the others are measured there all the same."""
    path = plant(tmp_path, SOURCE)
    load_path(path)
    names = ["sound/cupy", f"{name}/cupy", "fft/cupy"]
    duel = Duel(
        id="a-duel",
        problem=Problem((256, 256), (3, 3), mode="same"),
        contenders=[f"{one}@cuda:0" for one in names],
        image_data="normal",
        kernel_data="normal",
        seed=0,
        regime=None,
        threads=1,
        limits=Limits(seconds=0.01, samples=8, cell_seconds=20.0),
        algorithm_paths=[path],
    )
    isolated = Isolated({VISIBLE: "0"})
    try:
        records = isolated.measure(duel).records
    finally:
        isolated.close()
    told = [(record.status, record.reason) for record in records]
    assert [status for status, _ in told] == ["ok", status, "ok"], told
    assert words in told[1][1]
