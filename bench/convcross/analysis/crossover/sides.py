"""Who is compared: pairs of families or contenders, and who stands for a family.

A crossover is worth as much as the weaker of its contenders, so there are several:
    best        the fastest of family direct against the fastest of family fft
    textbook    the definition against the whole-image transform, both of one array library
    library     one library's own direct sum against its own FFT, each pinned
    floor       by arithmetic alone, from the machine's ceilings
    pair        two sides that somebody named
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from convcross.errors import BadInput
from convcross.stats.bootstrap import Samples, join, levels
from convkernels.namespaces import NAMES

Pair = tuple[str, str]
FAMILIES: Pair = ("direct", "fft")
KINDS = ("best", "textbook", "library", "floor", "pair")
TEXTBOOK: Pair = ("direct", "fft")  # algorithms, on each array library that has both

# A library's direct sum and its FFT. Where its FFT transforms the kernel in each call, the two are
# compared as that is paid: load and run.
LIBRARIES: tuple[tuple[Pair, str], ...] = (
    (("ipp-direct", "ipp-fft"), "fresh"),
    (("mkl-vsl-direct", "mkl-vsl-fft"), "fresh"),
    (("opencv-direct", "opencv-dft"), "fresh"),
    (("scipy-convolve2d", "scipy-fftconvolve"), "fresh"),
)


@dataclass(frozen=True)
class Contest:
    """Two sides to be compared, as one of KINDS.

    Attributes
    ----------
    pair : (A, B): where B overtakes A
    phase : in which alone they are, or None for the phase that is asked for
    """

    kind: str
    pair: Pair
    phase: str | None = None


@dataclass(frozen=True)
class Side:
    """One side of a pair, as "fft", "fft/torch", or either with "@device".

    Attributes
    ----------
    name : as it was given
    who : the family or contender
    device : or None, for the device of each curve
    """

    name: str
    who: str
    device: str | None

    @classmethod
    def parse(cls, name: str) -> Side:
        who, _, device = name.partition("@")
        return cls(name, who, device or None)

    @property
    def column(self) -> str:
        """The column of the frame that ``who`` is a value of."""
        return "contender" if "/" in self.who else "family"


def check(pair: Pair, rows: pd.DataFrame) -> None:
    """Raises BadInput for a side that no usable record belongs to, or two equal sides."""
    if pair[0] == pair[1]:
        raise BadInput(f"pair is {pair[0]},{pair[1]}; allowed: two different sides")
    for side in map(Side.parse, pair):
        here = rows if side.device is None else rows[rows["device"] == side.device]
        if side.who in set(here[side.column]):
            continue
        families = sorted(set(rows["family"]))
        contenders = sorted(set(rows["contender"] + "@" + rows["device"]))
        raise BadInput(
            f"pair names {side.name!r}, of which there is no usable time; allowed: "
            f"{', '.join([*families, *contenders])}"
        )


def default(rows: pd.DataFrame) -> list[Contest]:
    """Best, textbook and library, of what was measured.

    Raises
    ------
    BadInput
        One of the two families is missing.
    """
    families = set(rows["family"])
    if not set(FAMILIES) <= families:
        missing = " and ".join(sorted(set(FAMILIES) - families))
        found = ", ".join(sorted(set(rows["contender"]))) or "none"
        raise BadInput(
            f"no usable time of family {missing}, so no crossover; measured contenders: {found} "
            "(name two of them with --pair A,B)"
        )
    contests = [Contest("best", FAMILIES)]
    for pair, kind, phase in (
        (TEXTBOOK, "textbook", None),
        *((pair, "library", phase) for pair, phase in LIBRARIES),
    ):
        for namespace in NAMES:
            a, b = (f"{algorithm}/{namespace}" for algorithm in pair)
            if {a, b} <= set(rows["contender"]):
                contests.append(Contest(kind, (a, b), phase))
    return contests


def representative(times: dict[str, Samples]) -> tuple[dict[int, str], Samples]:
    """Who stands for a family in a cell: in each launch the fastest of the other launches, timed
    in this one. Of one launch, the halves of its rounds stand for launches.

    So no round is lost, and none is timed by the choice that it made.

    Parameters
    ----------
    times : samples of each contender of the family

    Returns
    -------
    chosen : launch, or half of the rounds (0 even, 1 odd) → the contender timed there
    samples : those of the chosen; where they are not one, with the fastest on all rounds beside
    """
    whole = list(times.values())
    names = list(times)
    if len(names) == 1:
        return {0: names[0]}, whole[0]
    together, outside = levels(whole)
    fastest = int(np.argmin(together))
    if not outside:
        return {0: names[fastest]}, whole[fastest]
    chosen = {fold: int(np.argmin(level)) for fold, level in outside.items()}
    by_fold = {fold: names[place] for fold, place in chosen.items()}
    if len(set(chosen.values())) == 1:
        return by_fold, whole[next(iter(chosen.values()))]
    joined = join([whole[place].fold(fold) for fold, place in chosen.items()])
    return by_fold, replace(joined, fastest=whole[fastest])
