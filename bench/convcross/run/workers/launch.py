"""What differs by chance from one process to the next, made to differ on purpose.

The size of the environment moves the stack, the hash seed the layout of dictionaries, a block of
memory taken first all that is allocated after it: each has been seen to move times by more than the
rest of an experiment (Mytkowicz, Diwan, Hauswirth & Sweeney, ASPLOS 2009; Curtsinger & Berger,
ASPLOS 2013). Left alone they are the same in every process of one machine, and a result holds for
that layout only.
"""

from __future__ import annotations

import os
import random

PADDING = "CONVCROSS_PADDING"  # so long that the stack begins elsewhere
MOST = 4096  # bytes, a page

_block = bytearray()


def chance(seed: int, launch: int) -> dict[str, str]:
    """What the environment of a launch's processes has beside what all have; the same each time."""
    drawn = random.Random(f"{seed} launch {launch}")
    return {
        "PYTHONHASHSEED": str(drawn.randrange(1, 1 << 32)),
        PADDING: "x" * drawn.randrange(MOST),
    }


def take_block() -> None:
    """Allocate, in a process that was started so, a block that moves what is allocated after it."""
    global _block
    _block = bytearray(len(os.environ.get(PADDING, "")))
