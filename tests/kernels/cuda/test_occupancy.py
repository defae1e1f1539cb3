"""Blocks on a multiprocessor of compute capability 9.0, worked out by hand."""

from __future__ import annotations

import pytest

from convkernels.cuda.occupancy import blocks


@pytest.mark.parametrize(
    ("threads", "registers", "shared_bytes", "expected"),
    [
        (1024, 32, 0, 2),  # 64 warps are all
        (32, 32, 0, 32),  # 32 blocks are all
        (512, 32, 0, 4),  # 1024 registers a warp: 16 warps in each of four partitions
        (512, 40, 0, 3),  # 1280: 12 warps in each, 48 in all, three blocks of 16
        (512, 41, 0, 2),  # 1312 become 1536: 10 in each, 40 in all
        (512, 64, 0, 2),
        (512, 65, 0, 1),
        (128, 255, 0, 2),  # 8192: 2 in each, 8 in all
        (1024, 65, 0, 0),  # 28 warps at most: a block of 32 does not start
        (512, 32, 36864, 4),  # 37 KiB with what is reserved, of 228
        (512, 32, 48 << 10, 4),
        (512, 32, 57 << 10, 3),  # 58
        (128, 32, 227 << 10, 1),
        (128, 32, 228 << 10, 0),
        (128, 32, (75 << 10) + 1, 2),  # 76 KiB and a byte become 76.125
        (128, 32, 75 << 10, 3),
    ],
)
def test_blocks(threads: int, registers: int, shared_bytes: int, expected: int) -> None:
    assert blocks(threads, registers, shared_bytes) == expected
