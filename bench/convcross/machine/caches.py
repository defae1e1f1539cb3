"""The processor's data caches, as Linux describes them."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path("/sys/devices/system/cpu/cpu0/cache")
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
LETTERS = {"Data": "d", "Instruction": "i", "Unified": ""}
UNTOLD = 32 << 20  # bytes of a last level that the system does not name


def caches(folder: Path = FOLDER) -> dict[str, int]:
    """Bytes of each cache that core 0 uses: {"L1d": 32768, …}; {} where the system tells none."""
    found = {}
    for cache in sorted(folder.glob("index*")):
        size = re.fullmatch(r"(\d+)([KMG])", (cache / "size").read_text().strip())
        if size:
            kind = LETTERS[(cache / "type").read_text().strip()]
            level = (cache / "level").read_text().strip()
            found[f"L{level}{kind}"] = int(size[1]) * UNITS[size[2]]
    return found


def last_level_cache() -> int:
    """Bytes of the largest cache that the system names; 32 MiB where it names none."""
    return max(caches().values(), default=UNTOLD)
