"""The registry: what an algorithm is, and how one file adds it."""

from __future__ import annotations

import dataclasses
import inspect
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from convkernels import compiling, exchanged
from convkernels import namespaces as array_libraries
from convkernels.implementation import Cost, Implementation, forward_only, workspace_bytes
from convkernels.problem import DIRECTIONS, STEP, Problem, UnsupportedProblem, one_of

__all__ = ["Cost", "Implementation", "algorithm", "forward_only", "workspace_bytes"]

FAMILIES = ("direct", "im2col", "fft", "winograd", "separable", "library")
LONGEST = 100  # characters of a name

registered: dict[str, Algorithm] = {}
revision = 0  # counts what was registered: a choice among fewer is then old


class DuplicateAlgorithm(ValueError):
    """One name from two files."""


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
    directions: tuple[str, ...] = ("forward",)

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
        if problem.direction not in self.directions:
            return f"no direction {problem.direction}"
        reason = array_libraries.refuses_dtype(namespace, problem.dtype)
        return reason or exchanged.refuses(self.implementation, problem, namespace, device)

    def own_direction(self, direction: str) -> str:
        """The direction in which its own code computes this one: itself, or "forward"."""
        return exchanged.own_direction(self.implementation, direction)

    def solved(self, problem: Problem) -> Problem:
        """What its own code computes of this problem: itself, or the problem that solves it
        (``exchanged.ways``)."""
        return exchanged.solved(self.implementation, problem)

    def cost(self, problem: Problem) -> Cost:
        """What a run of this problem needs, in its direction."""
        return exchanged.cost(self.implementation, problem)

    def error_bound(self, problem: Problem) -> float:
        """The relative L2 error that is promised, in its direction."""
        return exchanged.error_bound(self.implementation, problem)

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
        instance = exchanged.instance(self.implementation, problem)
        instance.plan(problem, array_libraries.namespace(namespace), device)
        return instance


Definition = TypeVar("Definition", bound=Callable[..., Any])


def algorithm(
    *,
    name: str,
    family: str,
    namespaces: Iterable[str],
    arithmetic: str,
    source: str,
    directions: Iterable[str] = ("forward",),
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
    directions : "forward", "grad_input" (gy, w → gx), "grad_weight" (gy, x → gw), "step"
        Those that it computes. A gradient comes to it as a forward problem with the roles of the
        operands exchanged (``toolbox/directions.py``), unless its class names it in ``native`` or
        ``apart``; so it must a step, which is all three passes at once.
        Gradients named in ``phases`` come without strides (``toolbox/phases.py``).

    Raises
    ------
    ValueError
        On an unknown family, namespace or direction, a name that is long or cannot be printed, and
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
    ways = (directions,) if isinstance(directions, str) else tuple(directions)
    for direction in ways:
        one_of("direction", direction, (*DIRECTIONS, STEP))

    def register(definition: Definition) -> Definition:
        global revision
        path = _file(definition)
        other = registered.get(name)
        if other is not None and other.path != path:
            raise DuplicateAlgorithm(f"algorithm {name!r} is in two files: {other.path}, {path}")
        registered[name] = Algorithm(
            name, family, names, arithmetic, source, _implementation(definition), path, ways
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
