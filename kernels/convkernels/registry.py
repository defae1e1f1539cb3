"""The registry: what an algorithm is, how one file adds it, and where files are looked for."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import pkgutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from convkernels import bounds
from convkernels import namespaces as array_libraries
from convkernels.problem import ITEMSIZE, Problem, UnsupportedProblem, one_of

FAMILIES = ("direct", "im2col", "fft", "winograd", "separable", "library")
ENTRY_POINTS = "convcross.algorithms"
LONGEST = 100  # characters of a name

_algorithms: dict[str, Algorithm] = {}


class DuplicateAlgorithm(ValueError):
    """One name from two files."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """What an algorithm itself needs for one run: FLOP, bytes moved, bytes of workspace."""

    flops: float
    bytes: float
    workspace: float = 0.0


class Defaults:
    """What a registered class need not say. Operands and results: see ``Problem.shapes``."""

    problem: Problem
    b: Any

    @staticmethod
    def missing(namespace: str) -> str | None:
        """Why this machine cannot run it on this namespace (a library to install), or None."""
        return None

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        """Why this problem is refused, or None; sees no values."""
        return forward_only(problem)

    @staticmethod
    def cost(problem: Problem) -> Cost:
        return Cost(problem.flops, problem.min_bytes)

    @staticmethod
    def error_bound(problem: Problem) -> float:
        """The relative L2 error it promises."""
        return bounds.summation(problem)

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        """Once a shape: padded sizes, FFT plans, compilation."""
        self.problem = problem

    def load(self, b: Any) -> None:
        """Once a filter: flip, transform. May raise UnsupportedProblem."""
        self.b = b

    def run(self, a: Any) -> Any:
        """Once an image: the steady state. Returns the result."""
        raise NotImplementedError

    def provenance(self) -> dict[str, Any]:
        """What a record should say of how this instance computes: padded sizes, engines; JSON."""
        return {}


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """A registered way to compute a problem."""

    name: str
    family: str
    namespaces: tuple[str, ...]
    arithmetic: str
    source: str
    implementation: type[Defaults]
    path: str

    def missing(self, namespace: str) -> str | None:
        """Why it cannot run on this namespace here, with the command that helps, or None."""
        if namespace not in self.namespaces:
            return f"{self.name} runs on {', '.join(self.namespaces)}"
        return array_libraries.missing(namespace) or self.implementation.missing(namespace)

    def refuses(self, problem: Problem, namespace: str, device: str) -> str | None:
        """Why it refuses this problem there, or None."""
        reason = array_libraries.refuses_dtype(namespace, problem.dtype)
        return reason or self.implementation.refuses(problem, namespace, device)

    def prepare(self, problem: Problem, namespace: str, device: str) -> Defaults:
        """A planned instance, ready for ``load`` and ``run``.

        Raises
        ------
        UnsupportedProblem
            With the reason for which it refuses.
        """
        reason = self.refuses(problem, namespace, device)
        if reason is not None:
            raise UnsupportedProblem(f"{self.name} on {namespace}: {reason}")
        instance = self.implementation()
        instance.plan(problem, array_libraries.namespace(namespace), device)
        return instance


def forward_only(problem: Problem) -> str | None:
    """The refusal of an algorithm that has no gradients."""
    return None if problem.direction == "forward" else f"no direction {problem.direction}"


Definition = TypeVar("Definition", bound=Callable[..., Any])


def algorithm(
    *,
    name: str,
    family: str,
    namespaces: Iterable[str],
    arithmetic: str,
    source: str,
) -> Callable[[Definition], Definition]:
    """Register a class (see ``Defaults`` for its methods) or a function ``(x, w, problem)``.

    Parameters
    ----------
    name : str
        What sweeps and plots call it; one name belongs to one file.
    family : "direct", "im2col", "fft", "winograd", "separable" or "library"
    namespaces : the array libraries it runs on: "numpy", "torch", "cupy"
    arithmetic : "ieee", "tf32", …
        What the arithmetic is, where the storage type does not say it.
    source : str
        Paper, section, or library call.

    Raises
    ------
    ValueError
        On an unknown family or namespace, a name that is long or cannot be printed, and
        (``DuplicateAlgorithm``) one that another file has taken.
    """
    if not (0 < len(name) <= LONGEST and name.isprintable() and name == " ".join(name.split())):
        raise ValueError(
            f"name is {name!r}; allowed: 1 to {LONGEST} printable characters, single spaces"
        )
    one_of("family", family, FAMILIES)
    names = (namespaces,) if isinstance(namespaces, str) else tuple(namespaces)
    for namespace in names:
        one_of("namespace", namespace, array_libraries.NAMES)

    def register(definition: Definition) -> Definition:
        path = _file(definition)
        other = _algorithms.get(name)
        if other is not None and other.path != path:
            raise DuplicateAlgorithm(f"algorithm {name!r} is in two files: {other.path}, {path}")
        _algorithms[name] = Algorithm(
            name, family, names, arithmetic, source, _implementation(definition), path
        )
        return definition

    return register


def _file(definition: Callable[..., Any]) -> str:
    """The file that defines it; for a shell or a notebook, which have none, the module's name."""
    module = definition.__module__
    file = getattr(sys.modules.get(module), "__file__", None)
    return os.path.realpath(file) if file else f"<{module}>"


def _implementation(definition: Callable[..., Any]) -> type[Defaults]:
    if inspect.isclass(definition):
        if not callable(getattr(definition, "run", None)):
            raise TypeError(f"class {definition.__name__} has no method run(self, a)")
        return type(definition.__name__, (definition, Defaults), {})

    def run(self: Defaults, a: Any) -> Any:
        return definition(a, self.b, self.problem)

    return type(definition.__name__, (Defaults,), {"run": run})


# ---- discovery -------------------------------------------------------------------------------


@functools.cache
def _discover() -> None:
    package = importlib.import_module("convkernels")
    for room in pkgutil.iter_modules(package.__path__, "convkernels."):
        if room.ispkg:
            for module in pkgutil.iter_modules(
                importlib.import_module(room.name).__path__, room.name + "."
            ):
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
    return dict(sorted(_algorithms.items()))


def find(name: str) -> Algorithm:
    """Raises ValueError, naming what there is, where no algorithm has this name."""
    known = algorithms()
    one_of("algorithm", name, tuple(known))
    return known[name]


def workspace_bytes(problem: Problem, elements: float) -> float:
    """Bytes of so many elements of the type that the arithmetic of this problem is done in."""
    return elements * max(4, ITEMSIZE[problem.dtype])
