"""Contenders: an algorithm on an array library on a device, found here and chosen by patterns."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Sequence
from typing import Any

from convcross.errors import BadInput
from convcross.sweeps.groups import GROUPS
from convkernels import Problem, namespaces
from convkernels.discovery import algorithms, find
from convkernels.registry import Algorithm


class Contender(str):
    """An algorithm on an array library on a device: its name "fft/torch@cuda:0", with its parts.

    A field of a pydantic model; in JSON it is the name.
    """

    __slots__ = ()

    @classmethod
    def of(cls, algorithm: str, namespace: str, device: str) -> Contender:
        """The contender of these three."""
        return cls(f"{algorithm}/{namespace}@{device}")

    @property
    def algorithm(self) -> str:
        return self.partition("@")[0].partition("/")[0]

    @property
    def namespace(self) -> str:
        return self.partition("@")[0].partition("/")[2]

    @property
    def device(self) -> str:
        return self.partition("@")[2]

    @property
    def short(self) -> str:
        """Without the device."""
        return self.partition("@")[0]

    @property
    def found(self) -> Algorithm:
        """The registered algorithm. Raises ValueError where there is none of this name."""
        return find(self.algorithm)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema())


def available(devices: Sequence[str]) -> list[Contender]:
    """Every contender that can run on these devices."""
    return [
        Contender.of(algorithm.name, namespace, device)
        for algorithm in algorithms().values()
        for namespace in algorithm.namespaces
        if algorithm.missing(namespace) is None
        for device in namespaces.devices(namespace)
        if device in devices and algorithm.runs_on(device)
    ]


def typical_bound(algorithm: Algorithm) -> dict[str, float] | None:
    """The relative L2 error that it promises on one image of 512×512 in float32 (``rel_l2``), and
    the side of the kernel (``kernel``): 7, or the first of 3 and 5 where it takes no other. None
    where a user's algorithm does not say."""
    place = algorithm.namespaces[0], "cpu" if algorithm.runs_on("cpu") else "cuda:0"
    problems = {side: Problem((512, 512), (side, side), mode="same") for side in (7, 3, 5)}
    try:
        taken = (side for side in problems if algorithm.refuses(problems[side], *place) is None)
        side = next(taken, 7)
        bound = algorithm.error_bound(problems[side])
    except Exception:  # whatever it raises
        return None
    return {"kernel": side, "rel_l2": bound} if math.isfinite(bound) else None


def matching(patterns: Sequence[str], there: Sequence[Contender]) -> list[Contender]:
    """Contenders of those there that match a pattern or belong to a group (see ``GROUPS``):
    ``fft``, ``fft/*``, ``*/torch``, ``*@cuda:0``, ``textbook``, ``textbook/torch``.

    A group of which nothing is there is passed over, if anything else is chosen.

    Raises
    ------
    BadInput
        A pattern matches nothing; tells what there is, or why it is not available.
    """
    found = {
        pattern: [contender for contender in there if _matches(contender, pattern)]
        for pattern in map(str.strip, patterns)
    }
    for pattern, contenders in found.items():
        is_group = pattern.partition("/")[0] in GROUPS
        if not contenders and not (is_group and any(found.values())):
            raise BadInput(f"contenders: {pattern!r} matches nothing here; {_why(pattern, there)}")
    return sorted({contender for contenders in found.values() for contender in contenders})


def _matches(contender: Contender, pattern: str) -> bool:
    name, slash, rest = pattern.partition("/")
    if name in GROUPS:
        if not GROUPS[name].holds(contender.algorithm):
            return False
        pattern = f"*/{rest}" if slash else "*"
    return any(
        fnmatch.fnmatchcase(spelling, pattern)
        for spelling in (contender.algorithm, contender.short, contender)
    )


def _why(pattern: str, there: Iterable[Contender]) -> str:
    name, _, namespace = pattern.partition("@")[0].partition("/")
    for known in algorithms().values():
        named = name.strip("*") != "" and fnmatch.fnmatchcase(known.name, name)
        if not named and not (name in GROUPS and GROUPS[name].holds(known.name)):
            continue
        for candidate in known.namespaces:
            reason = known.missing(candidate)
            if reason and namespace in ("", "*", candidate):
                return f"{known.name} on {candidate}: {reason}"
    return "available: " + ", ".join(contender.short for contender in there)


def devices_named(text: str | None) -> list[list[str]]:
    """Groups of devices, each of which measures whole duels: one a card.

    Named as "cpu", "cuda:0", "cuda:all" or several with commas; None is the best device here, the
    first card or else the CPU.

    Raises
    ------
    BadInput
        An unknown device, a card that is not there, or the CPU beside several cards.
    """
    count = namespaces.cuda_devices()
    if text is None:
        return [["cuda:0" if count else "cpu"]]
    allowed = ["cpu", *(f"cuda:{index}" for index in range(count)), *(["cuda:all"] * bool(count))]
    cards: list[str] = []
    others: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        if part not in allowed:
            why = "" if count else " (no CUDA driver or device here)"
            raise BadInput(f"device is {part!r}; allowed: {', '.join(allowed)}{why}")
        if part == "cuda:all":
            cards += [f"cuda:{index}" for index in range(count)]
        else:
            (others if part == "cpu" else cards).append(part)
    cards, others = list(dict.fromkeys(cards)), list(dict.fromkeys(others))
    if len(cards) > 1 and others:
        raise BadInput(
            f"device is {text!r}: duels on several cards at once would share the CPU that they "
            "time; allowed: several cards, or one with cpu"
        )
    return [[card, *others] for card in cards] or [others]
