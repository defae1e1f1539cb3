"""Shared libraries that wheels install beside Python's modules, found by what pip wrote of them."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path


def shared_library(wheel: str, name: str) -> Path | None:
    """The file ``name``.so or ``name``.so.VERSION of an installed wheel; None without either."""
    try:
        files = importlib.metadata.files(wheel) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name == f"{name}.so" or file.name.startswith(f"{name}.so."):
            return Path(str(file.locate())).resolve()
    return None
