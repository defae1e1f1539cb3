"""From a sweep to duels: who meets on which problem, and which duel comes first."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import math
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, overload

from pydantic import BaseModel

from convcross.errors import BadInput
from convcross.sweeps.contenders import Contender, matching
from convcross.sweeps.spec import Cell, Limits, Sweep
from convkernels import Problem
from convkernels.discovery import find

LAUNCH = "~"  # in an id: before the number of a launch after the first
FEW = 4  # kernels of a sweep, of which each is profiled


class Duel(BaseModel):
    """One problem with all its contenders; its JSON is all that measuring it anywhere needs."""

    id: str
    problem: Problem
    contenders: list[Contender]
    image_data: str
    kernel_data: str
    seed: int
    regime: str | None
    threads: int | None
    limits: Limits
    algorithm_paths: list[str] = []
    ceilings: dict[str, dict[str, Any]] = {}  # of each device of which they are known
    profiled: bool = False  # which kernels ran is asked and recorded
    energy: bool = False  # of each contender's run, over windows of seconds
    error_seeds: int = 1  # draws of the data at which errors are measured
    launch: int = 1  # which of the sweep's launches; all but times is of the first
    launches: int = 1  # of the sweep, which share what a contender is measured at least
    thread_choice: dict[str, int] = {}  # contender → CPU threads that an earlier launch chose
    given_up: dict[str, tuple[str, str]] = {}  # contender → (status, reason): not run, recorded so
    budget: float | None = None  # seconds for all of it; what is not expected to fit is left out
    scaled: str | None = None  # how its problem differs from what the sweep names, in words

    def relaunched(self, launch: int) -> Duel:
        """The same of a launch after the first: what does not change is not asked again."""
        return self.model_copy(
            update={
                "id": f"{self.id}{LAUNCH}{launch}",
                "launch": launch,
                "profiled": False,
                "energy": False,
                "error_seeds": 1,
            }
        )


def duels(
    sweep: Sweep,
    there: Sequence[Contender],
    algorithm_paths: Sequence[str] = (),
    ceilings: Mapping[str, dict[str, Any]] | None = None,
) -> Duels:
    """All duels of a sweep between the contenders there, the most informative first.

    Raises BadInput where a pattern matches no contender.
    """
    try:
        contenders = matching(sweep.contenders, there)
    except BadInput as error:
        raise BadInput(f"sweep {sweep.name!r}: {error}") from None
    devices = {contender.device for contender in contenders}
    known = {device: rates for device, rates in (ceilings or {}).items() if device in devices}
    return Duels(sweep, contenders, list(algorithm_paths), known)


class Duels(Sequence[Duel]):
    """A coarse grid over everything first, then its gaps; near the expected crossover first.

    Kernels come in the order of a bisection: the ends, the middle, the quarters, … for every N, so
    that a sweep cut short is a coarser sweep and not a part of one. Within a level the duel comes
    first in which the cost models see direct and FFT closest.

    A level is sorted when it is reached and a duel made when it is asked for, so that 100,000 are
    there at once. Launches after the first have a random order each, so that what builds up in a
    process meets every duel alike.

    Attributes
    ----------
    contenders : of every duel
    """

    def __init__(
        self,
        sweep: Sweep,
        contenders: list[Contender],
        algorithm_paths: list[str],
        ceilings: dict[str, dict[str, Any]],
    ) -> None:
        self.contenders = contenders
        self._sweep, self._paths, self._ceilings = sweep, algorithm_paths, ceilings
        self._profiled = sorted(sweep.kernels)
        if len(self._profiled) > FEW:
            few = self._profiled
            self._profiled = [few[0], few[len(few) // 2], few[-1]]
        self._launch = 1
        self._cells = list(sweep.cells())
        self._ordered: list[Cell] = []
        self._rest = self._in_order()

    def in_launch(self, launch: int) -> Duels:
        """The same of another launch."""
        other = copy.copy(self)
        other._launch = launch
        other._ordered, other._rest = [], other._in_order()
        return other

    def _in_order(self) -> Iterator[Cell]:
        if self._launch == 1:
            return self._by_information()
        cells = list(self._cells)
        random.Random(f"{self._sweep.seed} {self._launch}").shuffle(cells)
        return iter(cells)

    def _by_information(self) -> Iterator[Cell]:
        of_kernel = {kernel: level for level, kernel in _bisection(self._sweep.kernels)}
        levels: dict[int, list[Cell]] = {}
        for cell in self._cells:
            levels.setdefault(of_kernel.get(cell[0].kernel[1], 0), []).append(cell)
        cost = find("fft").cost

        def distance(cell: Cell) -> float:
            spectral = sum(cost(one).flops for one in cell[0].passes)
            return abs(math.log(max(1, cell[0].flops) / spectral))

        for level in sorted(levels):
            yield from sorted(levels[level], key=distance)

    def __len__(self) -> int:
        return len(self._cells)

    @overload
    def __getitem__(self, place: int) -> Duel: ...
    @overload
    def __getitem__(self, place: slice) -> list[Duel]: ...
    def __getitem__(self, place: int | slice) -> Duel | list[Duel]:
        chosen = range(len(self))[place]
        if isinstance(chosen, range):
            return [self[index] for index in chosen]
        self._ordered += itertools.islice(self._rest, max(0, chosen + 1 - len(self._ordered)))
        return self._made(*self._ordered[chosen])

    def without(self, ids: Collection[str]) -> Duels:
        """Those that are left when these are done, in the same order."""
        left = copy.copy(self)
        if ids:
            again = f"{LAUNCH}{self._launch}" if self._launch > 1 else ""
            left._cells = [cell for cell in self._cells if _id(*cell) + again not in ids]
        left._ordered, left._rest = [], left._in_order()
        return left

    def _made(self, problem: Problem, image_data: str, kernel_data: str) -> Duel:
        """What ran is asked of the smallest, the middle and the largest kernel of each image size,
        of all where they are few, and of layers."""
        sweep = self._sweep
        on_grid = sweep.has(problem)
        made = Duel(
            id=_id(problem, image_data, kernel_data),
            problem=problem,
            contenders=self.contenders,
            image_data=image_data,
            kernel_data=kernel_data,
            seed=sweep.seed,
            regime=sweep.regime,
            threads=sweep.threads,
            limits=sweep.limits.shared(sweep.launches),
            launches=sweep.launches,
            algorithm_paths=self._paths,
            ceilings=self._ceilings,
            profiled=not on_grid or problem.kernel[1] in self._profiled,
            energy=sweep.energy,
            error_seeds=sweep.error_seeds,
            scaled=sweep.said_of(problem),
        )
        return made if self._launch == 1 else made.relaunched(self._launch)


def _id(problem: Problem, image_data: str, kernel_data: str) -> str:
    """Readable, and the same wherever the duel is made."""
    text = json.dumps([problem.to_json(), image_data, kernel_data], sort_keys=True)
    (height, width), (kh, kw) = problem.image, problem.kernel
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{height}x{width}-{kh}x{kw}-{digest}"


def of_first_launch(duel_id: str) -> str:
    """The id of the same duel in the first launch."""
    return duel_id.partition(LAUNCH)[0]


def _bisection(kernels: Sequence[int]) -> list[tuple[int, int]]:
    """(level, kernel): level 0 the ends and the middle, then the middles of what is left."""
    ordered = sorted(kernels)
    if not ordered:
        return []
    levels = {0: 0, len(ordered) - 1: 0}
    gaps, level = [(0, len(ordered) - 1)], 0
    while gaps:
        parts = []
        for low, high in gaps:
            middle = (low + high) // 2
            if middle not in levels:
                levels[middle] = level
                parts += [(low, middle), (middle, high)]
        gaps, level = parts, level + 1
    return [(levels[index], kernel) for index, kernel in enumerate(ordered)]
