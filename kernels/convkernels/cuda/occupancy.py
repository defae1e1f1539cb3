"""How many blocks a multiprocessor holds at a time, by the rules of CUDA's occupancy calculator."""

from __future__ import annotations

import dataclasses

WARP = 32


@dataclasses.dataclass(frozen=True)
class Multiprocessor:
    """What one has to give.

    Attributes
    ----------
    warps, blocks : resident at most
    registers : of 32 bits, in four partitions
    register_unit : registers of a warp are a multiple of
    shared_bytes : of all blocks
    shared_unit : a block's are a multiple of
    reserved_bytes : of shared memory, that each block takes beside its own
    """

    warps: int
    blocks: int
    registers: int
    register_unit: int
    shared_bytes: int
    shared_unit: int
    reserved_bytes: int


# CUDA C++ Programming Guide 13, compute capability 9.0 (H100, H200); units: CUDA's occupancy API.
SM_90 = Multiprocessor(64, 32, 65536, 256, 228 << 10, 128, 1 << 10)
PARTITIONS = 4


def blocks(
    threads: int, registers: int, shared_bytes: int, processor: Multiprocessor = SM_90
) -> int:
    """Blocks that a multiprocessor holds at a time; 0 where not even one fits.

    Parameters
    ----------
    threads : of a block
    registers : of a thread
    shared_bytes : of a block, static and dynamic
    """

    def up(value: int, unit: int) -> int:
        return -(-value // unit) * unit

    warps = -(-threads // WARP)
    of_warp = up(registers * WARP, processor.register_unit)
    warps_by_registers = processor.registers // PARTITIONS // of_warp * PARTITIONS
    of_block = up(shared_bytes + processor.reserved_bytes, processor.shared_unit)
    return min(
        processor.blocks,
        processor.warps // warps,
        warps_by_registers // warps,
        processor.shared_bytes // of_block,
    )
