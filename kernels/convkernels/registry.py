"""The registry: what an algorithm is, and how one file adds it."""

from __future__ import annotations

import dataclasses
import inspect
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from convkernels import compiling
from convkernels import namespaces as array_libraries
from convkernels.problem import ITEMSIZE, Problem, UnsupportedProblem, one_of
from convkernels.toolbox import bounds

FAMILIES = ("direct", "im2col", "fft", "winograd", "separable", "library")
LONGEST = 100  # characters of a name

registered: dict[str, Algorithm] = {}
revision = 0  # counts what was registered: a choice among fewer is then old


class DuplicateAlgorithm(ValueError):
    """One name from two files."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """What an algorithm itself needs for one run: FLOP, bytes moved, bytes of workspace (what
    ``load`` keeps included); and once, before it: FLOP and bytes of ``plan`` and ``load``.

    ``serial`` where what computes and what moves are passes of their own, one after the other, so
    that their times add; else the shorter one may hide behind the longer.
    """

    flops: float
    bytes: float
    workspace: float = 0.0
    once_flops: float = 0.0
    once_bytes: float = 0.0
    serial: bool = False


class Implementation:
    """What an algorithm is: every method but ``run`` has a default that a class may leave.

    A registered class that does not inherit it is given it. Operands and results: see
    ``Problem.shapes``.
    """

    problem: Problem
    b: Any
    gradients: bool = True  # torch's autograd sees through ``load`` and ``run``
    spreads: bool = False  # a pixel that is not finite reaches further than in its family's sums
    devices: tuple[str, ...] = ("cpu", "cuda")  # the kinds that it runs on
    settled: bool = True  # what ``refuses`` takes, ``plan`` takes: no library is asked there
    compiles: bool = False  # in ``plan`` or the first run, and nobody can tell whether it must
    compile_seconds: float = 0.0  # that compiling its code took, here or in an earlier process
    threads: int | None = None  # that its runs take, where the plan chose fewer than it may have

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


Defaults = Implementation  # its earlier name, which users' files import


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """A registered way to compute a problem."""

    name: str
    family: str
    namespaces: tuple[str, ...]
    arithmetic: str
    source: str
    implementation: type[Implementation]
    path: str

    def missing(self, namespace: str) -> str | None:
        """Why it cannot run on this namespace here, with the command that helps, or None."""
        if namespace not in self.namespaces:
            return f"{self.name} runs on {', '.join(self.namespaces)}"
        reason = array_libraries.missing(namespace)
        if not (reason or self.runs_on("cpu") or array_libraries.cuda_devices()):
            reason = f"no CUDA driver or device ({self.name} needs an NVIDIA GPU)"
        return reason or self.implementation.missing(namespace)

    def runs_on(self, device: str) -> bool:
        """Whether it runs on devices of this kind ("cpu", "cuda:0")."""
        return device.partition(":")[0] in self.implementation.devices

    def refuses(self, problem: Problem, namespace: str, device: str) -> str | None:
        """Why it refuses this problem there, or None."""
        if not self.runs_on(device):
            return f"runs on {' and '.join(self.implementation.devices)} alone, not on {device}"
        reason = array_libraries.refuses_dtype(namespace, problem.dtype)
        return reason or self.implementation.refuses(problem, namespace, device)

    def prepare(self, problem: Problem, namespace: str, device: str) -> Implementation:
        """A planned instance, ready for ``load`` and ``run``.

        Raises
        ------
        UnsupportedProblem
            With the reason for which it refuses; NotCompiled inside ``compiling.kept_alone``.
        """
        reason = self.refuses(problem, namespace, device)
        if reason is not None:
            raise UnsupportedProblem(f"{self.name} on {namespace}: {reason}")
        if self.implementation.compiles:
            compiling.begin(self.name)
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
    """Register a class (see ``Implementation`` for its methods) or a function ``(x, w, problem)``.

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
        global revision
        path = _file(definition)
        other = registered.get(name)
        if other is not None and other.path != path:
            raise DuplicateAlgorithm(f"algorithm {name!r} is in two files: {other.path}, {path}")
        registered[name] = Algorithm(
            name, family, names, arithmetic, source, _implementation(definition), path
        )
        revision += 1
        return definition

    return register


def _file(definition: Callable[..., Any]) -> str:
    """The file that defines it; for a shell or a notebook, which have none, the module's name."""
    module = definition.__module__
    file = getattr(sys.modules.get(module), "__file__", None)
    return os.path.realpath(file) if file else f"<{module}>"


def _implementation(definition: Callable[..., Any]) -> type[Implementation]:
    if inspect.isclass(definition):
        if not callable(getattr(definition, "run", None)):
            raise TypeError(f"class {definition.__name__} has no method run(self, a)")
        if issubclass(definition, Implementation):
            return definition
        return type(definition.__name__, (definition, Implementation), {})

    def run(self: Implementation, a: Any) -> Any:
        return definition(a, self.b, self.problem)

    return type(definition.__name__, (Implementation,), {"run": run})


def workspace_bytes(problem: Problem, elements: float) -> float:
    """Bytes of so many elements of the type that the arithmetic of this problem is done in."""
    return elements * max(4, ITEMSIZE[problem.dtype])
