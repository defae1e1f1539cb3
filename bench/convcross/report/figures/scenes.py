"""The figures of one set of conditions, or why one of them would say nothing."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from convcross.analysis.crossover.crossover import Crossover
from convcross.analysis.crossover.sides import Pair
from convcross.analysis.roofline import Roof
from convcross.report.figures import curves, maps, roofline, style
from convcross.report.figures.style import Appearance

KINDS = {
    "time": "Time against kernel size",
    "crossover": "Crossover against image size",
    "fastest": "Fastest contender",
    "error": "Error against kernel size",
    "pareto": "Time against error",
    "roofline": "Roofline",
}
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
    roof : ceilings, where they were measured
    under, foreign : see ``roof.points``
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
    roof: Roof | None
    under: pd.DataFrame | None
    foreign: Sequence[str]


@dataclass(frozen=True)
class Picture:
    """A figure that was written, or why there is none."""

    kind: str
    where: str
    regime: str
    pair: Pair
    files: tuple[Path, ...] = ()
    why_none: str | None = None


def draw(scene: Scene) -> list[Picture]:
    """Write the figures of a scene. Raises OSError where the folder takes none."""
    made = []
    with style.settings():
        for kind, drawing in _drawings(scene):
            picture = Picture(kind, scene.where, scene.regime, scene.pair)
            if isinstance(drawing, str):
                made.append(replace(picture, why_none=drawing))
            else:
                stem = scene.stem.with_name(f"{scene.stem.name}-{kind}")
                made.append(replace(picture, files=tuple(style.save(drawing(), stem))))
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


def _drawings(scene: Scene) -> Iterable[tuple[str, str | Callable[[], Figure]]]:
    """Of each kind its figure, to be drawn, or why there is none."""
    cells, appearances, where = scene.cells, scene.appearances, scene.where
    contenders = sorted(set(cells["contender"]))
    only = f"{contenders[0]} is the only contender with a usable time"
    first = [row for row in scene.rows if row.pair == scene.pair]
    yield (
        "time",
        _one(cells, "n", "kernel size")
        or (lambda: curves.time(scene.drawn, first, appearances, where)),
    )
    yield "crossover", _no_n_star(scene) or (lambda: maps.n_star(scene.rows, appearances, where))
    if len(contenders) < 2:
        yield "fastest", f"{only}, and fastest everywhere"
    else:
        yield (
            "fastest",
            lambda: maps.fastest_map(cells, scene.speed_up, scene.pair, appearances, where),
        )
    known = cells[cells["error"] > 0]
    if known.empty:
        yield "error", "no error other than zero was recorded"
    else:
        yield (
            "error",
            _one(known, "n", "kernel size")
            or (lambda: curves.error(scene.drawn, appearances, where)),
        )
        if known["contender"].nunique() < 2:
            yield "pareto", f"{known['contender'].iloc[0]} is the only contender with a known error"
        else:
            yield "pareto", lambda: curves.pareto(cells, appearances, where)
    under, above = scene.under, scene.roof
    if above is None:
        yield "roofline", "the results name no ceilings of this device (doctor --ceilings)"
    elif under is None or under.empty:
        yield "roofline", "no contender declares FLOP and bytes"
    else:
        yield "roofline", lambda: roofline.roofline(under, above, scene.foreign, appearances, where)


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
