"""Where algorithms are looked for: the rooms of ``algorithms/``, entry points, and users' files."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import pkgutil
import sys
from pathlib import Path

from convkernels import algorithms as rooms
from convkernels.problem import one_of
from convkernels.registry import Algorithm, registered

ENTRY_POINTS = "convcross.algorithms"


@functools.cache
def _discover() -> None:
    for module in pkgutil.walk_packages(rooms.__path__, f"{rooms.__name__}."):
        if not module.name.rpartition(".")[2].startswith("_"):
            importlib.import_module(module.name)
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        entry.load()


def load_path(path: str | Path) -> None:
    """Run a file, or each ``*.py`` of a folder, that registers algorithms. Twice is harmless.

    The file is code and runs with your rights. Raises ValueError where there is none.
    """
    place = Path(path).resolve()
    files = sorted(place.glob("*.py")) if place.is_dir() else [place]
    if not files or not all(file.is_file() and file.suffix == ".py" for file in files):
        raise ValueError(
            f"algorithms path is {str(path)!r}; allowed: a .py file or a folder of them"
        )
    _discover()
    for file in files:
        name = f"convkernels_user_{file.stem}_{hashlib.sha1(str(file).encode()).hexdigest()[:8]}"
        if name in sys.modules:
            continue
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise


def algorithms() -> dict[str, Algorithm]:
    """Every registered algorithm by name: the rooms, entry points and loaded paths."""
    _discover()
    return dict(sorted(registered.items()))


def find(name: str) -> Algorithm:
    """Raises ValueError, naming what there is, where no algorithm has this name."""
    _discover()
    if name not in registered:
        one_of("algorithm", name, tuple(algorithms()))
    return registered[name]
