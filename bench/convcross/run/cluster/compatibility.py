"""Whether the workers of a cluster can measure together: each is held against what asked for it,
and against the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from convcross.machine import describe
from convcross.run.cluster.scheduler import reason_of
from convcross.run.workers.description import Description, digest
from convkernels.discovery import algorithms


class Requirements:
    """What this run asks of each worker: the code that runs here, and the algorithm files here.

    Attributes
    ----------
    code : version and commit
    """

    def __init__(self, algorithm_paths: Sequence[str]) -> None:
        self.code = describe.versions()["convcross"], describe.commit()
        self._files = {path: digest(path) for path in algorithm_paths}

    def unmet(self, answer: Any) -> str | None:
        """Why a worker that answered this (``remote.describe``, or an exception) cannot measure."""
        version, commit = self.code
        required = f"allowed: convcross {version}, commit {commit}, on every worker"
        if isinstance(answer, Exception):  # Dask may have made text of what it was
            if "No module named 'convcross'" in str(answer):
                return f"has no convcross; {required}"
            return f"cannot tell what it is ({reason_of(answer)}); {required}"
        codes = [tuple(answer["version"])]
        if "description" in answer:
            software = answer["description"]["software"]
            codes.append((software["versions"]["convcross"], software["commit"]))
        for code in codes:
            if code != self.code:
                return (
                    f"has convcross {code[0]}, commit {code[1]}; {required}, and workers that were "
                    "started with it"
                )
        if "refused" in answer:
            return f"cannot measure: {answer['refused']}"
        found = Description.model_validate(answer["description"])
        for path, its in found.algorithms.items():
            if its != self._files[path]:
                return f"has another {path}; allowed: the same file here and on every worker"
        for contender in found.contenders:
            if contender.algorithm not in algorithms():
                return (
                    f"has {contender}, which is not here; allowed: the same packages here and there"
                )
        return None


def mismatch(found: Description, others: Iterable[tuple[str, Description]]) -> str | None:
    """Why a worker cannot measure beside others, by their addresses."""
    for address, other in others:
        if other.devices != found.devices:
            return (
                f"would measure on {','.join(found.devices)}, {address} on "
                f"{','.join(other.devices)}; allowed: a card on each worker, or --device cpu"
            )
        if other.name != found.name:
            continue
        for what, its, theirs in _differences(found, other):
            return (
                f"has {what} {its!r}, {address} {theirs!r}, and both are {found.name}; "
                "allowed: the same on all machines of one kind"
            )
    return None


def _differences(description: Description, other: Description) -> Iterator[tuple[str, Any, Any]]:
    """What may not differ where records share a file."""
    its, theirs = _conditions(description), _conditions(other)
    for what in sorted(its.keys() | theirs.keys()):
        if its.get(what) != theirs.get(what):
            yield what, its.get(what), theirs.get(what)


def _conditions(description: Description) -> Mapping[str, Any]:
    conditions: dict[str, Any] = {
        "os": description.machine["os"],
        "Python": description.software["python"],
    }
    for kind in ("versions", "cuda"):
        libraries = description.software[kind] or {}
        conditions |= {f"version of {name}": version for name, version in libraries.items()}
    if "cpu" in description.devices:
        conditions["usable cores"] = description.machine["cpu"]["usable_cores"]
    return conditions | dict.fromkeys(description.contenders, "available")
