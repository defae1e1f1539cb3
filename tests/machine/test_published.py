"""The published peaks: what the file may hold, and figures that follow from others."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from convcross.errors import BadInput
from convcross.machine import published

ROW = """
[x]
title = "X"
float32 = 2e12
float64 = 1e12
bandwidth = 1e11
cache = 1024
tile_memory = 512
[x.source]
flops = "a datasheet, 2024"
bandwidth = "a datasheet, 2024"
cache = "a datasheet, 2024"
tile_memory = "a guide, 2023"
"""


def test_a_row_becomes_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    found = published.parse(ROW)
    monkeypatch.setattr(published, "cards", lambda: found)
    machine = published.machine("x", "float64")
    assert (machine.name, machine.dtype, machine.peak) == ("X", "float64", 1e12)
    assert (machine.bandwidth, machine.cache, machine.tile_memory) == (1e11, 1024, 512)
    assert machine.source == (
        "peak, bandwidth, cache: a datasheet, 2024; tile memory: a guide, 2023"
    )
    assert published.machine("x", "float32").peak == 2e12


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('title = "X"', 'title = "X"\ncores = 3'),
        ("float64 = 1e12", ""),
        ("2e12", '"2e12"'),
        ("2e12", "-2e12"),
        ("2e12", "inf"),
        ("cache = 1024", "cache = 1.5"),
        ('cache = "a datasheet, 2024"', ""),
        ('cache = "a datasheet, 2024"', 'cache = "a datasheet"'),
    ],
)
def test_a_damaged_row_is_refused(old: str, new: str) -> None:
    assert old in ROW
    with pytest.raises(ValidationError):
        published.parse(ROW.replace(old, new))


def test_an_unknown_name_is_told_what_is_allowed() -> None:
    with pytest.raises(BadInput, match=r"card is 'h2000'; allowed: h200, h100-sxm, .*epyc-9354$"):
        published.machine("h2000", "float32")


@pytest.mark.parametrize(
    ("name", "units", "gigahertz", "double"),
    [
        # FLOP a cycle: 2 for each float32 lane
        ("h200", 132 * 256, 1.98, 1 / 2),
        ("h100-sxm", 132 * 256, 1.98, 1 / 2),
        ("h100-pcie", 114 * 256, 1.755, 1 / 2),
        ("a100-80gb-sxm", 108 * 128, 1.41, 1 / 2),
        ("l40s", 142 * 256, 2.52, 1 / 64),
        ("l4", 58 * 256, 2.04, 1 / 64),
        ("rtx-4090", 128 * 256, 2.52, 1 / 64),
        ("v100-sxm2", 80 * 128, 1.53, 1 / 2),
        ("mi300x", 304 * 256, 2.1, 1 / 2),
        ("epyc-9654", 96 * 32, 3.7, 1 / 2),
        ("epyc-9354", 32 * 32, 3.8, 1 / 2),
    ],
)
def test_peaks_are_lanes_times_clock(
    name: str, units: int, gigahertz: float, double: float
) -> None:
    card = published.cards()[name]
    assert card.float32 == pytest.approx(units * gigahertz * 1e9, rel=0.01)
    assert card.float64 == pytest.approx(double * card.float32, rel=0.025)


def test_every_card_is_counted_by_its_lanes() -> None:
    [mark] = test_peaks_are_lanes_times_clock.pytestmark  # type: ignore[attr-defined]
    assert [row[0] for row in mark.args[1]] == list(published.cards())
