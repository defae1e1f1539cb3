"""Figures and a self-contained page from results files alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from convcross.analysis import amortisation, crossover, pairs, roof, tables
from convcross.analysis.crossover import Crossover
from convcross.analysis.load import CONDITIONS, Results, load
from convcross.analysis.points import points
from convcross.failures import BadInput
from convcross.report import curves, maps, page, roofline, style
from convcross.report.page import Paid, Picture
from convcross.report.style import Look, Sheet


def write(paths: Sequence[Path], out: Path, *, include_flagged: bool = False) -> list[Path]:
    """Write the report of results files of one machine into the folder ``out``.

    Parameters
    ----------
    include_flagged : show and compare flagged measurements too

    Returns
    -------
    list of Path
        What was written: the HTML page first, then the table of every measurement (points.csv),
        then each figure as PNG and SVG.

    Raises
    ------
    BadInput
        Files that ``load`` refuses, or a folder that cannot be written.
    """
    results = load(paths, include_flagged=include_flagged)
    try:
        rows, unsaid = crossover.of_results(results), None
    except BadInput as refusal:
        rows, unsaid = [], str(refusal)
    pictures: list[Picture] = []
    written: list[Path] = []
    measured = points(results.frame)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with style.settings():
            for name, figure, picture in _figures(results, rows):
                files = style.save(figure, out / name)
                written += files
                pictures.append(picture.of(files[1]))
        table = out / "points.csv"
        measured.to_csv(table, index=False)
        html = out / "report.html"
        text = page.render(
            results, rows, unsaid, pictures, list(_paid(results, rows)), measured, out
        )
        html.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"report folder {out} cannot be written: {error.strerror}") from None
    return [html, table, *written]


def _sets(
    results: Results, rows: Sequence[Crossover]
) -> Iterable[tuple[dict[str, Any], pd.DataFrame, list[Crossover]]]:
    """(conditions, usable grid, crossovers) of each set of conditions."""
    for values, grid in results.grid.groupby(CONDITIONS, sort=True):
        conditions = dict(zip(CONDITIONS, values, strict=True))
        own = [
            row for row in rows if all(getattr(row, key) == conditions[key] for key in conditions)
        ]
        yield conditions, grid, own


def _figures(results: Results, rows: Sequence[Crossover]) -> Iterable[tuple[str, Sheet, Picture]]:
    """(file name, figure, caption) of each figure of each set of conditions on the N×n grid."""
    looks = style.looks(results.frame)
    pair = rows[0].pair if rows else pairs.FAMILIES
    speed_ups = tables.speed_ups(results.grid, pair)
    tried = results.frame[results.frame["is_grid"] & ~results.frame["usable"]]
    ceilings = [header.ceilings for header in results.headers if header.ceilings]
    for conditions, grid, own in _sets(results, rows):
        where, regime = _where(results.machine, conditions), str(conditions["regime"])
        vain = tried[(tried[CONDITIONS] == pd.Series(conditions)).all(axis=1)]
        figures = _set(grid, vain, own, speed_ups.get(tuple(conditions.values()), {}), looks, where)
        device, dtype = conditions["device"], conditions["dtype"]
        above = roof.over(ceilings[-1] if ceilings else None, device, dtype, regime)
        if above is not None:
            under, foreign = roof.points(grid)
            if len(under):
                figures["roofline"] = roofline.roofline(under, above, foreign, looks, where)
        for kind, figure in figures.items():
            picture = Picture.captioned(kind, where, regime, pair)
            yield f"{_slug(conditions)}-{kind}", figure, picture


def _set(
    grid: pd.DataFrame,
    vain: pd.DataFrame,
    rows: Sequence[Crossover],
    speed_up: Mapping[tuple[int, int], float],
    looks: dict[str, Look],
    where: str,
) -> dict[str, Sheet]:
    """The figures of one set of conditions by kind; ``vain``: what its contenders tried in vain."""
    cells = tables.by_cell(grid)
    drawn = tables.with_gaps(cells, vain)
    pair = rows[0].pair if rows else pairs.FAMILIES
    first = [row for row in rows if row.pair == pair]
    figures = {"time": curves.time(drawn, first, looks, where)}
    if rows:
        figures["crossover"] = maps.n_star(rows, looks, where)
    figures["fastest"] = maps.fastest_map(cells, speed_up, pair, looks, where)
    if (cells["error"] > 0).any():
        figures["error"] = curves.error(drawn, looks, where)
        figures["pareto"] = curves.pareto(cells, looks, where)
    return figures


def _paid(results: Results, rows: Sequence[Crossover]) -> Iterable[Paid]:
    """What plan and load cost, and when they pay, under each set of conditions."""
    for conditions, grid, own in _sets(results, rows):
        first = [row for row in own if row.pair == own[0].pair]
        n_star = {row.N: row.n_star for row in first if row.n_star is not None}
        compared = list(amortisation.comparisons(grid, n_star))
        if compared:
            yield Paid(_where(results.machine, conditions), compared)


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
