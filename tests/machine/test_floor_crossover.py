"""Crossovers of floors: the table worked out by hand for an H200, a CPU whose caches hold all."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from convcross.machine import published
from convcross.machine.floor_crossover import (
    DTYPES,
    FFTS,
    PAIRED,
    UNPAIRED,
    Machine,
    best_tile,
    direct,
    fused,
    measured,
    n_star,
    pipeline,
    tile_sizes,
    tiles,
)

# The reference machine: nominal peak, measured bandwidth.
H200 = Machine("h200", "float32", 67e12, 4.3e12, 60 << 20, 227 << 10, "a test")
IN_CACHE = Machine("cpu", "float32", 236e9, math.inf, 1 << 40, 1 << 20, "a test")


def seconds(floor: Any, n: float, machine: Machine, *share: float, size: int = 4096) -> float:
    return float(floor(size, np.asarray(float(n)), machine, *share))


# ---- an H200, N = 4096: microseconds ---------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "by_sum", "whole", "three"),
    [
        (3, 31, 236, 110),
        (7, 31, 236, 110),
        (11, 61, 236, 110),
        (15, 113, 236, 110),
        (21, 221, 236, 110),
        (31, 481, 236, 110),
        (65, 2116, 245, 113),
        (129, 8334, 245, 113),
    ],
)
def test_direct_and_whole_image_on_the_reference_machine(
    n: int, by_sum: float, whole: float, three: float
) -> None:
    assert seconds(direct, n, H200) == pytest.approx(by_sum * 1e-6, rel=0.01)
    # By hand M was rounded up to a size that cuFFT likes.
    assert seconds(pipeline, n, H200) == pytest.approx(whole * 1e-6, rel=0.035)
    assert seconds(fused, n, H200) == pytest.approx(three * 1e-6, rel=0.035)


@pytest.mark.parametrize(
    ("n", "microseconds"), [(3, 31), (7, 38), (11, 43), (15, 46), (21, 49), (31, 54), (65, 80)]
)
def test_tiles_on_the_reference_machine(n: int, microseconds: float) -> None:
    """By hand no FFT FLOP was paired."""
    assert seconds(tiles, n, H200, UNPAIRED) == pytest.approx(microseconds * 1e-6, rel=0.05)


def test_tiles_grow_with_the_kernel() -> None:
    assert [best_tile(4096, n, H200) for n in (3, 7, 11, 31)] == [16, 64, 96, 240]


def test_crossings_on_the_reference_machine() -> None:
    found = n_star(4096, H200, UNPAIRED)
    assert found == pytest.approx({"pipeline": 22, "fused": 15, "tiles": 9}, rel=0.02)
    least = n_star(4096, H200)
    # Passes through memory hide the arithmetic; tiles tie with the sum until its FLOP bind.
    assert (least["pipeline"], least["fused"]) == (found["pipeline"], found["fused"])
    assert least["tiles"] == pytest.approx(math.sqrt(4 * 67 / 4.3), rel=1e-6)


def test_flop_by_hand() -> None:
    """Two real transforms of 16 × 16 numbers and 128 complex products between."""
    flops = 2 * 2.5 * 256 * 8 + 6 * 128
    for floor in (pipeline, fused):
        assert seconds(floor, 2, IN_CACHE, size=15) == pytest.approx(flops / 236e9)
    small = dataclasses.replace(IN_CACHE, tile_memory=16 * 18 * 4)
    assert tile_sizes(small) == [16]
    assert seconds(tiles, 5, small, size=48) == pytest.approx(flops * 4**2 / 236e9)
    assert seconds(tiles, 5, small, size=9) == pytest.approx(flops / 236e9)  # a tile is a tile


# ---- a CPU whose caches hold all -------------------------------------------------------------


@pytest.mark.parametrize(("size", "crossing"), [(256, 6.4), (4096, 7.8)])
def test_whole_image_in_cache(size: int, crossing: float) -> None:
    found = n_star(size, IN_CACHE)
    assert found["pipeline"] == found["fused"] == pytest.approx(crossing, rel=0.025)


def test_tiles_of_64_in_cache() -> None:
    small = dataclasses.replace(IN_CACHE, tile_memory=64 * 66 * 4)
    assert tile_sizes(small) == [16, 32, 48, 64]
    assert tile_sizes(dataclasses.replace(small, tile_memory=64 * 66 * 4 - 1)) == [16, 32, 48]
    assert n_star(4096, small)["tiles"] == pytest.approx(6.0, rel=0.02)


def test_a_cache_spares_the_passes_and_not_the_image() -> None:
    slow = dataclasses.replace(H200, bandwidth=1e9)
    held = dataclasses.replace(slow, cache=2 * 4 * 4100**2)
    moved = 2 * 4 * 4096**2 / 1e9
    for floor in (pipeline, fused):
        assert seconds(floor, 3, slow) > 3 * moved
        assert seconds(floor, 3, held) == seconds(direct, 3, held) == pytest.approx(moved)
        assert seconds(floor, 9, held) > 3 * moved  # 2 M² numbers no longer fit


# ---- crossings -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", published.cards())
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("share", [PAIRED, UNPAIRED])
def test_the_sum_leads_below_a_crossing_and_the_fft_above(
    name: str, dtype: str, share: float
) -> None:
    machine = published.machine(name, dtype)
    for size in (64, 1000, 8192):
        for fft, crossing in n_star(size, machine, share).items():
            assert crossing is not None
            below, above = 0.999 * crossing, 1.001 * crossing
            lead = seconds(direct, below, machine, size=size)
            assert lead <= seconds(FFTS[fft], below, machine, share, size=size)
            lost = seconds(direct, above, machine, size=size)
            assert lost > seconds(FFTS[fft], above, machine, share, size=size)


def test_where_the_kernel_outgrows_its_tiles_the_sum_leads_again() -> None:
    small = dataclasses.replace(IN_CACHE, tile_memory=32 * 34 * 4)
    assert seconds(direct, 31, small) < seconds(tiles, 31, small)
    assert seconds(tiles, 33, small) == math.inf
    assert n_star(4096, small)["tiles"] == pytest.approx(6.1, abs=0.1)


def test_of_several_crossings_the_last() -> None:
    """The FFT leads from n = 7.9, leaves the cache at 9, and leads again when its passes pay."""
    leaving = Machine("cpu", "float32", 207e9, 39e9, int(8 * 4100.5**2), 1 << 20, "a test")
    assert seconds(pipeline, 8.5, leaving) < seconds(direct, 8.5, leaving)
    assert seconds(pipeline, 10, leaving) > seconds(direct, 10, leaving)
    assert n_star(4096, leaving)["pipeline"] == pytest.approx(12.6, abs=0.1)


def test_without_a_crossing() -> None:
    bare = dataclasses.replace(IN_CACHE, tile_memory=512)
    assert (tile_sizes(bare), best_tile(4096, 3, bare)) == ([], None)
    assert n_star(4096, bare)["tiles"] is None
    assert n_star(4, IN_CACHE) == {"pipeline": None, "fused": None, "tiles": None}
    assert best_tile(4096, 1000, IN_CACHE) is None


def test_half_the_share_of_the_peak_is_twice_the_arithmetic() -> None:
    for floor in FFTS.values():
        paired = seconds(floor, 9, IN_CACHE)
        assert seconds(floor, 9, IN_CACHE, UNPAIRED) == pytest.approx(2 * paired)


# ---- a measured machine ----------------------------------------------------------------------

CEILINGS: dict[str, Any] = {
    "machine": "a-machine",
    "device": "cpu",
    "threads": 2,
    "measured_at": "2026-11-22T16:00:00+00:00",
    "flops": {"float64": 1e11, "float32": 2e11, "float16": 3e9},
    "bytes": [[16384, 4e11], [134217728, 5e10]],
    "neighbours": {"others": 0.1, "stolen": 0.0},
}
DESCRIBED: dict[str, Any] = {
    "cpu": {"cache_bytes": {"L1d": 32768, "L2": 1 << 20, "L3": 32 << 20}},
    "gpus": [
        {"device": "cuda:0", "l2_bytes": 40 << 20, "shared_bytes": 163 << 10},
        {"device": "cuda:1", "l2_bytes": 60 << 20},
    ],
}


def test_a_processor_from_its_ceilings() -> None:
    source = "ceilings measured 2026-11-22, 2 threads"
    expected = Machine("a-machine", "float32", 2e11, 5e10, 32 << 20, 1 << 20, source)
    assert measured(CEILINGS, DESCRIBED, "float32") == expected
    assert measured(CEILINGS, DESCRIBED, "float64").peak == 1e11
    untold = measured(CEILINGS, {"cpu": {"cache_bytes": {}}}, "float32")
    assert (untold.cache, untold.tile_memory) == (32 << 20, 256 << 10)
    busy = CEILINGS | {"neighbours": {"others": 0.2, "stolen": 0.2}}
    assert measured(busy, DESCRIBED, "float32").source.endswith("others took 40% of the cores")


@pytest.mark.parametrize(
    ("device", "cache", "tile"), [("cuda:0", 40, 163 << 10), ("cuda:1", 60, 48 << 10)]
)
def test_a_card_from_its_ceilings(device: str, cache: int, tile: int) -> None:
    ceilings = CEILINGS | {"device": device, "threads": None, "neighbours": {}}
    found = measured(ceilings, DESCRIBED, "float32")
    assert (found.cache, found.tile_memory) == (cache << 20, tile)
    assert found.source == "ceilings measured 2026-11-22"
