"""The figures of one set of conditions, or why one of them would say nothing."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from convcross.analysis.crossover.crossover import Crossover
from convcross.analysis.crossover.sides import Pair
from convcross.analysis.roofline import Roof
from convcross.report.figures import curves, launches, maps, padding, roofline, style, trades
from convcross.report.figures.style import Appearance

ALONE = 2  # sets of conditions that are drawn sooner than a process that helps has started


@dataclass(frozen=True)
class Scene:
    """All that the figures of one set of conditions show; small enough for another process.

    Attributes
    ----------
    stem : of the files to be written
    where, regime : machine and conditions in words
    cells : see ``tables.by_cell``
    drawn : see ``tables.with_gaps``
    rows : crossovers; empty where ``why_none`` says why there is none
    pair : the first pair compared
    speed_up : (N, n) → time of the pair's A over that of B
    named : the contenders that stand out of many; all of a few
    roof : ceilings, where they were measured
    under : see ``analysis.roofline.points``
    deviations : see ``analysis.launches.deviations``
    """

    stem: Path
    where: str
    regime: str
    cells: pd.DataFrame
    drawn: pd.DataFrame
    rows: Sequence[Crossover]
    why_none: str | None
    pair: Pair
    speed_up: Mapping[tuple[int, int], float]
    appearances: Mapping[str, Appearance]
    named: Collection[str]
    roof: Roof | None
    under: pd.DataFrame | None
    deviations: pd.DataFrame

    @property
    def looks(self) -> Mapping[str, Appearance]:
        """With those grey that are not named."""
        return style.faded(self.appearances, self.named)


@dataclass(frozen=True)
class Picture:
    """A figure that was written, or why there is none."""

    kind: str
    where: str
    regime: str
    pair: Pair
    files: tuple[Path, ...] = ()
    why_none: str | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of figure: one row of ``FIGURES``, and nothing else.

    Attributes
    ----------
    title, caption : on the page; the caption's {a} and {b} are the pair compared
    why_not : why it would say nothing of a scene, or None
    draw : the figure of a scene of which it says something
    """

    title: str
    caption: str
    why_not: Callable[[Scene], str | None]
    draw: Callable[[Scene], Figure]


def _with_errors(scene: Scene) -> pd.DataFrame:
    return scene.cells[scene.cells["error"] > 0]


def _no_curve_of_time(scene: Scene) -> str | None:
    return _one(scene.cells, "n", "kernel size")


def _no_rival(scene: Scene) -> str | None:
    first, *others = sorted(set(scene.cells["contender"]))
    if others:
        return None
    return f"{first} is the only contender with a usable time, and fastest everywhere"


def _one_family(scene: Scene) -> str | None:
    first, *others = sorted(set(scene.cells["family"]))
    return None if others else f"{first} is the only family with a usable time"


def _no_curve_of_errors(scene: Scene) -> str | None:
    known = _with_errors(scene)
    if known.empty:
        return "no error other than zero was recorded"
    return _one(known, "n", "kernel size")


def _no_trade(scene: Scene) -> str | None:
    known = _with_errors(scene)
    if known.empty:
        return "no error other than zero was recorded"
    if known["contender"].nunique() < 2:
        return f"{known['contender'].iloc[0]} is the only contender with a known error"
    return None


def _no_memory(scene: Scene) -> str | None:
    names = scene.cells.loc[scene.cells["workspace"] > 0, "contender"].unique()
    if len(names) > 1:
        return None
    if len(names):
        return f"{names[0]} is the only contender that declares a workspace"
    return "no contender declares a workspace"


def _trade(scene: Scene, price: trades.Price) -> Figure:
    return trades.pareto(scene.cells, price, scene.appearances, scene.where, scene.named)


def _no_roof(scene: Scene) -> str | None:
    if scene.roof is None:
        return "the results name no ceilings of this device (doctor --ceilings)"
    if scene.under is None or scene.under.empty:
        return "no record names the FLOP and bytes that its algorithm declares"
    return None


def _time(scene: Scene) -> Figure:
    first = [row for row in scene.rows if row.pair == scene.pair]
    return curves.time(scene.drawn, first, scene.looks, scene.where)


def _fastest(scene: Scene) -> Figure:
    appearances = scene.appearances
    return maps.fastest_map(scene.cells, scene.speed_up, scene.pair, appearances, scene.where)


def _roofline(scene: Scene) -> Figure:
    assert scene.roof is not None
    assert scene.under is not None
    return roofline.roofline(scene.under, scene.roof, scene.looks, scene.where)


def _one_launch(scene: Scene) -> str | None:
    if scene.deviations.empty:
        return "each cell was measured in one launch, which says nothing of the next process"
    return None


def _launches(scene: Scene) -> Figure:
    kept = {name: scene.appearances[name] for name in scene.appearances if name in scene.named}
    return launches.launches(scene.deviations, kept, scene.where)


def _one(cells: pd.DataFrame, column: str, what: str) -> str | None:
    """Why there is no curve over a column with one value."""
    values = cells[column].unique()
    if len(values) > 1:
        return None
    return f"one {what} only ({column} = {values[0]}), and a curve needs two"


def _no_n_star(scene: Scene) -> str | None:
    if not scene.rows:
        return scene.why_none or "the pair was not measured under these conditions"
    if not any(row.n_star or row.low or row.high for row in scene.rows):
        return "no pair differs significantly at any kernel size, so that n* has no bound"
    sizes = sorted({row.N for row in scene.rows})
    if len(sizes) > 1:
        return None
    return f"one image size only (N = {sizes[0]}), and n* against N needs two"


FIGURES = {
    "time": Kind(
        "Time against kernel size",
        "A panel an image size; bands are 95 % intervals of the medians. Direct sums grow with "
        "n², FFT stays almost flat; the dashed line marks where {b} overtakes {a}, the grey "
        "band its 95 % interval. A line breaks where its contender gave no usable time.",
        _no_curve_of_time,
        _time,
    ),
    "crossover": Kind(
        "Crossover against image size",
        "The kernel size from which B stays faster than A; bands are 95 % intervals. A falling "
        "curve: FFT pays off earlier on larger images. Arrows: n* lies beyond the bound drawn.",
        _no_n_star,
        lambda scene: maps.n_star(scene.rows, scene.looks, scene.where),
    ),
    "fastest": Kind(
        "Fastest contender",
        "Colour and marker: the contender with the least median time at that N and n. Lines: "
        "how many times faster the best of {b} is than the best of {a}; at 1× they are equal.",
        _no_rival,
        _fastest,
    ),
    "families": Kind(
        "Fastest family",
        "Colour and marker: the family of the contender with the least median time at that N and "
        "n; its name is in the figure before. Families: the idea behind an algorithm, and library "
        "for one that chooses by itself.",
        _one_family,
        lambda scene: maps.families(scene.cells, scene.where),
    ),
    "error": Kind(
        "Error against kernel size",
        "Relative L2 distance from a float64 reference. A flat curve does not suffer from "
        "larger kernels.",
        _no_curve_of_errors,
        lambda scene: curves.error(scene.drawn, scene.looks, scene.where),
    ),
    "pareto": Kind(
        "Time against error",
        "Faster is lower, more accurate is further left. What lies off the grey line is beaten "
        "in both by some contender on it.",
        _no_trade,
        lambda scene: _trade(scene, trades.ERROR),
    ),
    "memory": Kind(
        "Time against memory",
        "Faster is lower, smaller further left. Memory is the workspace that an algorithm's cost "
        "declares, beside its operands and its result; contenders that declare none are left out.",
        _no_memory,
        lambda scene: _trade(scene, trades.WORKSPACE),
    ),
    "padding": Kind(
        "What padding costs",
        "One transform at three sizes: the least that the mode needs, the next that the library "
        "transforms well, the next power of two. Above 1: longer than the second.",
        lambda scene: padding.why_not(scene.cells),
        lambda scene: padding.padding(scene.cells, scene.where),
    ),
    "roofline": Kind(
        "Roofline",
        "Up: more FLOP a second. Right: more FLOP a byte. The nearer a point lies to the lines "
        "above it, the less is left to gain for its algorithm; FLOP and bytes are those that "
        "the algorithm declares.",
        _no_roof,
        _roofline,
    ),
    "launches": Kind(
        "Spread between launches, and within",
        "Each launch is a fresh process. Where marks lie outside of the grey bar, more samples of "
        "one process would tell nothing of the next: intervals here count launches first.",
        _one_launch,
        _launches,
    ),
}


def draw(scene: Scene) -> list[Picture]:
    """Write the figures of a scene. Raises OSError where the folder takes none."""
    made = []
    with style.settings():
        for kind, figure in FIGURES.items():
            picture = Picture(kind, scene.where, scene.regime, scene.pair)
            if (why := figure.why_not(scene)) is not None:
                made.append(replace(picture, why_none=why))
            else:
                stem = scene.stem.with_name(f"{scene.stem.name}-{kind}")
                made.append(replace(picture, files=tuple(style.save(figure.draw(scene), stem))))
    return made


def start(scenes: Sequence[Scene]) -> Callable[[], list[Picture]]:
    """Draw scenes, several of them in a second process; call what is returned for the pictures."""
    if len(scenes) <= ALONE:
        made = [picture for scene in scenes for picture in draw(scene)]
        return lambda: made
    # Spawned: a forked process would inherit the locks of whatever threads run here.
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    futures: list[Future[list[Picture]]] = [pool.submit(draw, scene) for scene in scenes]

    def result() -> list[Picture]:
        """From the last scene on: those that the other process has not begun are drawn here."""
        with pool:
            made = [
                draw(scene) if future.cancel() else future.result()
                for scene, future in reversed(list(zip(scenes, futures, strict=True)))
            ]
        return [picture for several in reversed(made) for picture in several]

    return result
