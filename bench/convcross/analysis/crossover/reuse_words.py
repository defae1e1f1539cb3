"""n* by output, batch and channels in words."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from convcross.analysis.crossover.costs import PHASES
from convcross.analysis.crossover.reuse import PAIR, Move, Star, Stars, moves, sense
from convcross.analysis.crossover.verdict import Verdict
from convcross.analysis.crossover.words import LINES, number, place
from convcross.text import one_line

AXES = {"channels": "{} channels", "batch": "batch {}"}
ENDS = {"channels": "From {} to {} channels", "batch": "From batch {} to {}"}


def heading(found: Stars) -> str:
    """Machine, device and conditions."""
    own = found.conditions
    parts = [own["dtype"], own["op"], own["mode"], f"{own['data']} data", f"regime {own['regime']}"]
    if own["dimensions"] == 1:
        parts.append(LINES)
    if own["direction"] != "forward":
        parts.append(f"direction {own['direction']}")
    parts.append(f"phase {found.phase} ({PHASES[found.phase].words})")
    return f"{found.machine} ({own['device']}): {', '.join(parts)}"


def interval(found: Verdict) -> str:
    """n* with its interval, or its bound: "9.4 [9, 10]", "≤ 3"; for a tie, "tie"."""
    text = place(found) or found.verdict
    if found.n_star is not None and found.low is not None and found.high is not None:
        text += f" [{number(found.low)}, {number(found.high)}]"
    return text


def sentences(found: Stars) -> list[str]:
    """Whether n* falls with channels, and with the batch; nothing where neither has two values."""
    told = [_sentence(found, axis) for axis in AXES]
    return [text for text in told if text]


def _sentence(found: Stars, axis: str) -> str:
    own = moves(found.stars, axis)
    if not own:
        return ""
    # The case that says most: no bounds, then the largest problem. Not the one that moves most.
    shown = max(own, key=lambda one: (_known(one), *_size(one.first)))
    other = "batch" if axis == "channels" else "channels"
    held = AXES[other].format(getattr(shown.first, other))
    case = (
        f"with outputs of {shown.first.output} and {held}, "
        f"n* {_moved(shown.first.measured, shown.last.measured)}"
    )
    for which, said in (("paced", "by arithmetic it"), ("alone", "of FLOP alone it")):
        first, last = (getattr(star, which) for star in (shown.first, shown.last))
        if first is not None and last is not None:
            case += f"; {said} {_moved(first, last)}"
    where = ENDS[axis].format(*(getattr(star, axis) for star in (shown.first, shown.last)))
    if len(own) == 1:
        return f"{where}, {case}."
    senses = [sense(one.first.measured, one.last.measured) for one in own]
    counted = (
        f"n* of FFT over all others falls in {senses.count(-1)} of {len(own)} cases (an output and "
        f"{other} each) and rises in {senses.count(1)}"
    )
    if unclear := senses.count(0):
        counted += f"; in {unclear}, intervals or bounds leave it open"
    arithmetic = [
        sense(one.first.paced, one.last.paced)
        for one in own
        if one.first.paced is not None and one.last.paced is not None
    ]
    if arithmetic:
        counted += f"; by arithmetic it falls in {arithmetic.count(-1)}"
        if rises := arithmetic.count(1):
            counted += f" and rises in {rises}"
    return f"{where}, {counted}. For one, {case}."


def _moved(first: Verdict, last: Verdict) -> str:
    """falls from 7.2 [6.8, 7.6] to 3.9 [3.5, 4.2]; is at or below 3 at both"""
    before, after = _said(first), _said(last)
    if before == after:
        return f"is {before} at both"
    verb = {-1: "falls", 0: "goes", 1: "rises"}[sense(first, last)]
    open_ = ", or stays" if verb == "goes" else ""
    return f"{verb} from {before} to {after}{open_}"


def _known(move: Move) -> int:
    return sum(star.measured.n_star is not None for star in (move.first, move.last))


def _size(star: Star) -> tuple[int, int, int]:
    return star.batch, star.channels, star.output


def _said(found: Verdict) -> str:
    """In a sentence: "9.4 [9, 10]", "at or below 3", "above 31", "a tie"."""
    text = interval(found).replace("≤", "at or below").replace(">", "above")
    return "a tie" if found.verdict == "tie" else text


def lines(found: Stars) -> Iterable[str]:
    """A line for each output and batch, and the notes."""
    for (output, batch), own in itertools.groupby(found.stars, lambda s: (s.output, s.batch)):
        stars = list(own)
        channels = ", ".join(str(star.channels) for star in stars)
        several = ", ".join(interval(star.measured) for star in stars)
        text = f"outputs of {output}, batch {batch}: n* at {channels} channels: {several}"
        paced = [interval(star.paced) for star in stars if star.paced is not None]
        if len(paced) == len(stars):
            text += f"; by arithmetic {', '.join(paced)}"
        yield text
    yield from notes(found)


def notes(found: Stars) -> list[str]:
    """The sentences, who was compared, the pace of the arithmetic, and what was scaled."""
    told = sentences(found)
    sides: list[Sequence[str]] = [
        sorted({name for star in found.stars for name in star.representatives[side]})
        for side in (0, 1)
    ]
    told.append(f"Compared next to n*: fft: {', '.join(sides[1])}; others: {', '.join(sides[0])}.")
    if found.pace is not None:
        told.append(
            f"By arithmetic: of the least FLOP declared on either side, at {found.pace:.2g} times "
            "the others' FLOP/s for FFT, which is the median of this grid."
        )
    return [*told, *([found.scaled] if found.scaled else [])]


def to_json(found: Stars) -> list[dict[str, Any]]:
    """A row a star, of kind "outputs"; "paced" and "alone" are verdicts by arithmetic, or null."""
    shared = {
        "kind": "outputs",
        "machine": found.machine,
        **found.conditions,
        "pair": list(PAIR),
        "phase": found.phase,
        "cost": "time",
        "pace": found.pace,
        "scaled": found.scaled,
    }
    return [
        {
            **shared,
            "output": star.output,
            "batch": star.batch,
            "channels": star.channels,
            **vars(star.measured),
            "representatives": star.representatives,
            "paced": star.paced and vars(star.paced),
            "alone": star.alone and vars(star.alone),
        }
        for star in found.stars
    ]


def print_stars(found: Sequence[Stars]) -> None:
    for one in found:
        print(one_line(heading(one)))
        for text in lines(one):
            print(f"  {one_line(text)}")
