"""Where on a line of cells to look next, so that few cells tell where a log ratio crosses zero.

A line is a row of cells that differ in one size: the kernels of one image size, or the image sizes
of one kernel.

1. Scan. Both ends, and sizes a factor SCAN apart, counted from the expected crossing on. A first
   look takes few samples; where the ratio is not clear then, or near zero, a close look follows.
   Where the crossing is expected, the look is close at once.
2. Bracket. Between two clear cells of opposite signs, the two cells beside the foretold zero are
   looked at closely, until it lies between neighbours; the last bracket first, as n* is the last
   crossing. Foretold is the expected ratio, corrected by what was measured.
3. Doubt. Elsewhere the correction is assumed to lie between those of the next cells measured. Where
   that leaves the sign open (FFT times step up where the padded size jumps), a cell is looked at. A
   smooth curve leaves no doubt; where most cells are ties, no single cell would settle anything.

Not found is an excursion that begins and ends between two scanned sizes and leaves no trace there.

Interpolated guesses that fall back on the middle: Brent 1973, chapter 4. Looks where the level is
open: Bryan et al. 2005, NeurIPS 18.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

SCAN = 2.0  # of two scanned sizes, at most
MOST, LEAST = 1 / 3, 12  # looks at a line: of its cells, and where that is fewer
NEAR = 0.1  # of a log ratio: a first look that tells less is not trusted
MARGIN = 0.03  # of a foretold log ratio: nearer to zero its sign is open


@dataclass(frozen=True)
class Answer:
    """What a look told of a cell.

    Attributes
    ----------
    ratio : log(A/B), positive where B is faster
    sign : that of the ratio where it is clear (as ``verdict.judge`` has it), else 0
    """

    ratio: float
    sign: int


# Yields (place on the line, whether to look closely); is sent the answer, or None where the two
# sides cannot be compared.
Strategy = Generator[tuple[int, bool], Answer | None, None]


def strategy(sizes: Sequence[int], expected: Array) -> Strategy:
    """Search one line.

    Parameters
    ----------
    sizes : (K,) ascending
    expected : (K,) log(A/B) as it is expected
    """
    line = _Knowledge(sizes, expected)
    most = max(LEAST, int(MOST * len(sizes)))
    for place, closely in line.scan():
        yield from line.look(place, closely=closely)
    while line.taken < most:
        next_ = line.to_close()
        if next_ is None:
            next_ = line.in_doubt()
        if next_ is None:
            return
        yield from line.look(next_, closely=True)


class _Knowledge:
    """What is known of a line, and where to look next."""

    def __init__(self, sizes: Sequence[int], expected: Array) -> None:
        self.logs = np.log(np.asarray(sizes, dtype=np.float64))
        self.expected = expected
        self.taken = 0
        self._answers: dict[int, Answer] = {}
        self._seen: set[int] = set()
        self._close: set[int] = set()
        self._brackets: list[tuple[int, int]] = []

    def look(self, place: int, *, closely: bool) -> Strategy:
        """Look, and again closely where the answer is not clear, or near zero."""
        answer = yield place, closely
        self.taken += 1
        self._seen.add(place)
        if closely or answer is None:
            self._close.add(place)
        if answer is None:
            return
        self._answers[place] = answer
        if not closely and (answer.sign == 0 or abs(answer.ratio) < NEAR):
            yield from self.look(place, closely=True)

    def scan(self) -> list[tuple[int, bool]]:
        """Places in their order; close is the look where the crossing is expected."""
        last = len(self.logs) - 1
        start = _last_rise(self.expected)
        places = {0, last}
        for step in (-1, 1):
            place = start or 0
            while 0 <= place <= last:
                places.add(place)
                reach = [
                    other
                    for other in range(place + step, last + 1 if step > 0 else -1, step)
                    if abs(self.logs[other] - self.logs[place]) <= math.log(SCAN)
                ]
                place = reach[-1] if reach else place + step
        return [(place, place == start) for place in sorted(places)]

    def to_close(self) -> int | None:
        """The next place beside a foretold zero between two clear cells of opposite signs."""
        clear = [place for place in sorted(self._answers) if self._answers[place].sign]
        if not clear:
            return None
        ratios = self.expected + self._corrections()
        for low, high in reversed(list(itertools.pairwise(clear))):
            sign = self._answers[high].sign
            if self._answers[low].sign == sign:
                continue
            rise = _last_rise(sign * ratios[low : high + 1])
            assert rise is not None  # the ends have opposite signs
            open_ = [spot for spot in (low + rise, low + rise + 1) if spot not in self._close]
            if open_:
                return self._inside(low, high, open_, ratios)
        return None

    def _inside(self, low: int, high: int, open_: list[int], ratios: Array) -> int:
        """A new one of the open places, the nearest to zero; the middle where guesses crawl."""
        self._brackets.append((low, high))
        middle = (low + high) // 2
        if len(self._brackets) > 3 and middle not in self._seen:
            first, last = self._brackets[-4]
            if first <= low and high <= last and 2 * (high - low) > last - first:
                self._brackets.clear()
                return middle
        return min(open_, key=lambda place: (place in self._seen, abs(ratios[place])))

    def in_doubt(self) -> int | None:
        """The middle of the longest run of places between measured ones whose sign is open."""
        known = sorted(self._answers)
        if 2 * sum(self._answers[place].sign == 0 for place in known) > len(known):
            return None
        corrections = {place: self._answers[place].ratio - self.expected[place] for place in known}
        longest: list[int] = []
        for low, high in itertools.pairwise(known):
            signs = {self._answers[low].sign, self._answers[high].sign} - {0}
            if len(signs) != 1:
                continue  # ties, or a bracket
            sign = signs.pop()
            least = min(sign * corrections[low], sign * corrections[high]) - MARGIN
            run = [
                place
                for place in range(low + 1, high)
                if place not in self._seen and sign * self.expected[place] + least < 0
            ]
            longest = max(longest, run, key=len)
        return longest[len(longest) // 2] if longest else None

    def _corrections(self) -> Array:
        """(K,) of the expected ratios, interpolated over the logarithm of the size."""
        known = sorted(self._answers)
        errors = [self._answers[place].ratio - self.expected[place] for place in known]
        corrections: Array = np.interp(self.logs, self.logs[known], errors)
        return corrections


def _last_rise(ratios: Array) -> int | None:
    """The last place from which to the next the ratio rises through zero."""
    rises = np.flatnonzero((ratios[:-1] <= 0) & (ratios[1:] > 0))
    return int(rises[-1]) if len(rises) else None
