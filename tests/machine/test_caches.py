"""Caches as Linux describes them."""

from __future__ import annotations

from pathlib import Path

from convcross.machine import caches


def test_caches_are_read_in_bytes(tmp_path: Path) -> None:
    for index, (level, kind, size) in enumerate(
        [("1", "Data", "32K"), ("1", "Instruction", "48K"), ("3", "Unified", "32768K")]
    ):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        for file, text in (("level", level), ("type", kind), ("size", size)):
            (folder / file).write_text(f"{text}\n")
    assert caches.caches(tmp_path) == {"L1d": 32 << 10, "L1i": 48 << 10, "L3": 32 << 20}
    assert caches.caches(tmp_path / "absent") == {}
