"""Who is compared: pairs of families or contenders, and who stands for a family."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from convcross.errors import BadInput
from convcross.stats.bootstrap import Samples, join, levels

Pair = tuple[str, str]
FAMILIES: Pair = ("direct", "fft")


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


def default(rows: pd.DataFrame) -> list[Pair]:
    """The best of family direct against the best of family fft; then each contender of family
    direct against it, on CUDA against cuFFT where that was measured.

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
    pairs = [FAMILIES]
    direct = sorted(set(rows.loc[rows["family"] == "direct", "contender"]))
    cuda = rows["device"].str.startswith("cuda")
    rival = "fft/cupy" if (cuda & (rows["contender"] == "fft/cupy")).any() else "fft"
    if rival == "fft/cupy" or len(direct) > 1:
        pairs += [(name, rival) for name in direct]
    return pairs


def representative(times: dict[str, Samples]) -> tuple[dict[int, str], Samples]:
    """Who stands for a family in a cell: the fastest of one half of the rounds, timed on the other.

    Both halves choose and both are timed, each by the other's choice, so that no round is lost
    and none is timed by the choice that it made.

    Parameters
    ----------
    times : samples of each contender of the family

    Returns
    -------
    chosen : half of the rounds (0 even, 1 odd) → the contender timed there
    samples : those of the chosen; where the halves disagree, with the fastest on all rounds beside
    """
    whole = list(times.values())
    names = list(times)
    if len(names) == 1:
        return {0: names[0], 1: names[0]}, whole[0]
    together, *halves = levels(whole)
    fastest = int(np.argmin(together))
    if len(halves) < 2:
        return {0: names[fastest], 1: names[fastest]}, whole[fastest]
    chosen = {odd: int(np.argmin(halves[1 - odd])) for odd in (0, 1)}
    by_half = {odd: names[place] for odd, place in chosen.items()}
    if chosen[0] == chosen[1]:
        return by_half, whole[chosen[0]]
    joined = join([whole[chosen[odd]].half(odd) for odd in (0, 1)])
    return by_half, replace(joined, fastest=whole[fastest])
