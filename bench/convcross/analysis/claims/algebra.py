"""Claims of algebra, judged on what contenders' results are apart: flipping, order, the theorem.

Distances max|y − z| / max|z| of small problems, which ``measure.algebra`` has put into the records
of profiled duels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from convcross.analysis.claims.finding import Finding, Word
from convcross.analysis.load import Results
from convcross.results.schema import Distances

EXACT = {"float64": 1e-13, "float32": 3e-5}  # a distance up to this is rounding
FAR = 1e-2  # from this on it is none
COMMAND = "convcross run quick"


@dataclass
class Relation:
    """Distances that should be rounding, or should not, over contenders, dtypes and modes.

    Attributes
    ----------
    largest, least : dtype → of all distances
    identical, count : comparisons equal to the last bit, and all
    where : the contender of the largest distance, where that is no rounding
    contenders : all that were compared
    """

    largest: dict[str, float] = field(default_factory=dict)
    least: dict[str, float] = field(default_factory=dict)
    identical: int = 0
    count: int = 0
    where: str = ""
    contenders: set[str] = field(default_factory=set)

    def add(self, who: str, dtype: str, found: Distances) -> None:
        if found.largest > max(self.largest.get(dtype, 0.0), EXACT[dtype]):
            self.where = who
        self.largest[dtype] = max(found.largest, self.largest.get(dtype, found.largest))
        self.least[dtype] = min(found.least, self.least.get(dtype, found.least))
        self.identical += found.identical
        self.count += found.count
        self.contenders.add(who)

    @property
    def equal(self) -> bool:
        """All of them rounding."""
        return self.count > 0 and all(self.largest[dtype] <= EXACT[dtype] for dtype in self.largest)

    @property
    def different(self) -> bool:
        """None of them rounding."""
        return self.count > 0 and all(least >= FAR for least in self.least.values())

    def words(self) -> str:
        if not self.count:
            return "no contender takes it"
        parts = [f"{value:.2g} in {dtype}" for dtype, value in self.largest.items()]
        bits = f"; {self.identical} of {self.count} equal to the last bit" if self.identical else ""
        return f"largest distance {', '.join(parts)}{bits}"


class Relations:
    """Every relation over all contenders of some records, by its name (see ``measure.algebra``)."""

    def __init__(self, results: Results) -> None:
        self.machine = results.machine
        self._found: dict[str, Relation] = {}
        frame = results.frame
        known: pd.DataFrame = frame[frame["algebra"].astype(bool)]
        newest = dict(
            zip(known["contender"] + "@" + known["device"], known["algebra"], strict=True)
        )
        for who, algebra in sorted(newest.items()):
            for name, by_dtype in algebra.items():
                for dtype, distances in by_dtype.items():
                    if dtype in EXACT:
                        self[name].add(who, dtype, distances)

    def __bool__(self) -> bool:
        return bool(self._found)

    def __getitem__(self, name: str) -> Relation:
        return self._found.setdefault(name, Relation())

    def where(self) -> str:
        contenders = {who for relation in self._found.values() for who in relation.contenders}
        count = len(contenders)
        return f"{self.machine}: {count} contender{'s' if count > 1 else ''}, on small problems"

    def values(self, *names: str) -> dict[str, Any]:
        return {
            name: {
                "largest": self[name].largest,
                "least": self[name].least,
                "where": self[name].where,
            }
            for name in names
        }


FLIPPING = ("flipped", "even", "symmetric", "transposed")
ORDER = ("commutes", "associates", "cropped", "correlation_commutes", "correlation_associates")
THEOREM = ("circular", "unpadded", "padded")


def _broken(*distances: Relation) -> str:
    """The contenders that break what should hold."""
    return ", ".join(sorted({distance.where for distance in distances if not distance.equal}))


def judge_flipping(found: Relations) -> Finding:
    where, values = found.where(), found.values(*FLIPPING)
    numbers = [
        f"Convolution with w against correlation with w flipped: {found['flipped'].words()}.",
        "A kernel that equals its half turn, convolved and correlated: "
        f"{found['symmetric'].words()}.",
        f"An even kernel in mode same: {found['even'].words()}; the two centre it on either side.",
        f"A kernel that only equals its transpose: {found['transposed'].words()}.",
    ]
    if not (found["flipped"].equal and found["symmetric"].equal):
        broken = _broken(found["flipped"], found["symmetric"])
        return Finding(where, "false", f"{broken} breaks it", numbers, values=values)
    condition = (
        "symmetric means equal to its half turn, and in mode same the kernel has odd sides"
        if found["even"].different and found["transposed"].different
        else ""
    )
    word: Word = "holds only if" if condition else "holds"
    return Finding(where, word, condition, numbers, values=values)


def judge_order(found: Relations) -> Finding:
    where, values = found.where(), found.values(*ORDER)
    numbers = [
        f"x * w against w * x: {found['commutes'].words()}.",
        f"(x * v) * w against x * (v * w): {found['associates'].words()}.",
        f"The same in mode same, which crops: {found['cropped'].words()}.",
        f"Correlation, operands exchanged: {found['correlation_commutes'].words()}.",
        "Correlation, one by one against kernels first: "
        f"{found['correlation_associates'].words()}.",
    ]
    if not (found["commutes"].equal and found["associates"].equal):
        broken = _broken(found["commutes"], found["associates"])
        return Finding(where, "false", f"{broken} breaks it", numbers, values=values)
    if not (found["correlation_commutes"].different and found["correlation_associates"].different):
        return Finding(where, "false", "correlation does too", numbers, values=values)
    condition = "nothing is cropped (mode full), and but for rounding"
    word: Word = "holds only if" if found["cropped"].different else "holds"
    return Finding(where, word, condition, numbers, values=values)


def judge_theorem(found: Relations) -> Finding:
    where, values = found.where(), found.values(*THEOREM)
    numbers = [
        f"Circular boundary, nothing padded or cropped: {found['circular'].words()}.",
        f"Zeros outside, transforms of N + n − 1 points: {found['padded'].words()}.",
        f"Zeros outside, transforms of N points: {found['unpadded'].words()}; it wraps around.",
    ]
    if not (found["circular"].equal and found["padded"].equal):
        broken = _broken(found["circular"], found["padded"])
        return Finding(where, "false", f"{broken} breaks it", numbers, values=values)
    condition = "the boundary is circular, or both are first padded with zeros to N + n − 1"
    word: Word = "holds only if" if found["unpadded"].different else "holds"
    return Finding(where, word, condition, numbers, values=values)
