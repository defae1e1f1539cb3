"""Figures and a self-contained page from results files alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from convcross.analysis import crossover, pairs, tables
from convcross.analysis.crossover import Crossover
from convcross.analysis.load import CONDITIONS, Results, load
from convcross.failures import BadInput
from convcross.report import curves, maps, page, style
from convcross.report.page import Picture
from convcross.report.style import Look


def write(paths: Sequence[Path], out: Path) -> list[Path]:
    """Write the report of results files of one machine into the folder ``out``.

    Returns
    -------
    list of Path
        What was written: the HTML page first, then each figure as PNG and SVG.

    Raises
    ------
    BadInput
        Files that ``load`` refuses, or a folder that cannot be written.
    """
    results = load(paths)
    try:
        rows, unsaid = crossover.of_results(results), None
    except BadInput as refusal:
        rows, unsaid = [], str(refusal)
    looks = style.looks(results.frame)
    pictures: list[Picture] = []
    written: list[Path] = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        with style.settings():
            for name, figure, picture in _figures(results, rows, looks):
                files = style.save(figure, out / name)
                written += files
                pictures.append(picture.of(files[1]))
        html = out / "report.html"
        html.write_text(page.render(results, rows, unsaid, pictures, out), encoding="utf-8")
    except OSError as error:
        raise BadInput(f"report folder {out} cannot be written: {error.strerror}") from None
    return [html, *written]


def _figures(
    results: Results, rows: Sequence[Crossover], looks: dict[str, Look]
) -> Iterable[tuple[str, Figure, Picture]]:
    """(file name, figure, caption) of each set of conditions on the N×n grid."""
    for values, grid in results.grid.groupby(CONDITIONS, sort=True):
        conditions = dict(zip(CONDITIONS, values, strict=True))
        own = [
            row for row in rows if all(getattr(row, key) == conditions[key] for key in conditions)
        ]
        yield from _set(grid, own, looks, _where(results.machine, conditions), _slug(conditions))


def _set(
    grid: pd.DataFrame,
    rows: Sequence[Crossover],
    looks: dict[str, Look],
    where: str,
    slug: str,
) -> Iterable[tuple[str, Figure, Picture]]:
    cells = tables.by_cell(grid)
    pair = rows[0].pair if rows else pairs.FAMILIES
    first = [row for row in rows if row.pair == pair]
    figures = {"time": curves.time(cells, first, looks, where)}
    if rows:
        figures["crossover"] = maps.n_star(rows, looks, where)
    speed_up = tables.speed_up(grid, pair)
    figures["fastest"] = maps.fastest_map(cells, speed_up, pair, looks, where)
    if (cells["error"] > 0).any():
        figures["error"] = curves.error(cells, looks, where)
        figures["pareto"] = curves.pareto(cells, looks, where)
    for kind, figure in figures.items():
        yield f"{slug}-{kind}", figure, Picture.captioned(kind, where, pair)


def _where(machine: str, conditions: dict[str, Any]) -> str:
    parts = [f"{machine} ({conditions['device']})", f"regime {conditions['regime']}"]
    parts += [
        conditions["dtype"],
        conditions["op"],
        conditions["mode"],
        f"{conditions['data']} data",
    ]
    if (conditions["batch"], conditions["channels"]) != (1, 1):
        parts.append(f"batch {conditions['batch']}, channels {conditions['channels']}")
    return ", ".join(parts)


def _slug(conditions: dict[str, Any]) -> str:
    """A file name of the conditions: cpu-warm-float32-convolution-same-normal."""
    parts = [str(conditions[key]) for key in CONDITIONS[:6]]
    if (conditions["batch"], conditions["channels"]) != (1, 1):
        parts += [f"b{conditions['batch']}", f"c{conditions['channels']}"]
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")
