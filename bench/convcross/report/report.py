"""Figures and a self-contained page from results files alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from convcross.analysis import break_even, roofline, tables
from convcross.analysis.crossover import crossover, sides
from convcross.analysis.crossover.costs import COSTS, PHASES
from convcross.analysis.crossover.crossover import Crossover
from convcross.analysis.crossover.curves import in_order
from convcross.analysis.crossover.words import LINES
from convcross.analysis.launches import deviations
from convcross.analysis.load import CONDITIONS, Results, load
from convcross.analysis.points import points
from convcross.errors import BadInput
from convcross.report import claims, emphasis, interactive, page, passes
from convcross.report.emphasis import Emphasis
from convcross.report.figures import scenes
from convcross.report.figures.scenes import Scene
from convcross.report.notes import heard
from convcross.report.page import Paid
from convcross.text import csv_cell, slug

DETAILED = 6  # sets of conditions at most that have figures: nobody looks at hundreds
NO_DUEL = "No duel is in these files: they tell how networks have learned (the last claim)."
TEXTS = ["device", "regime", "data", "contender", "family", "reason", "flags"]  # by who measured


def write(
    paths: Sequence[Path],
    out: Path,
    *,
    include_flagged: bool = False,
    highlight: Sequence[str] = (),
) -> list[Path]:
    """Write the report of results files of one machine into the folder ``out``.

    Parameters
    ----------
    include_flagged : show and compare flagged measurements too
    highlight : patterns of contenders that have colour and name in every figure

    Returns
    -------
    list of Path
        What was written: the HTML page first, then the table of every measurement (points.csv),
        then each figure as PNG, SVG and PDF.

    Raises
    ------
    BadInput
        Files that ``load`` refuses, a pattern that matches nothing in them, or a folder that cannot
        be written.
    """
    with heard() as notes:
        results = load(paths, include_flagged=include_flagged, learned=True)
        try:
            return _written(results, out, notes, emphasis.emphasis(results, highlight))
        except OSError as error:
            raise BadInput(f"report folder {out} cannot be written: {error.strerror}") from None


def _written(results: Results, out: Path, notes: list[str], looks: Emphasis) -> list[Path]:
    rows: list[Crossover] = []
    why_none: str | None = NO_DUEL
    if len(results.frame):
        try:
            rows, why_none = crossover.of_results(results), None
        except BadInput as refusal:
            why_none = str(refusal)
    out.mkdir(parents=True, exist_ok=True)
    detailed, undetailed = _detailed(results)
    drawn = scenes.start(list(_scenes(detailed, rows, why_none, out, looks)))
    measured = points(results.frame)
    table = out / "points.csv"
    texts = {name: measured[name].map(csv_cell) for name in TEXTS}
    measured.assign(**texts).to_csv(table, index=False)
    everywhere = _everywhere(detailed, rows)
    sets = [(_where(results.machine, own), own) for own, _, _ in _sets(results, rows)]
    theory = claims.context(results, out, looks)
    trained = passes.context(results, out)
    steady = [row for row in rows if row.pair == rows[0].pair]
    named = [looks.named(tables.by_cell(grid)) for _, grid, _ in _sets(results, rows)]
    chart = interactive.data(
        results, sets, [*steady, *everywhere], looks.appearances, set().union(*named)
    )
    paid = list(_paid(detailed, rows))
    made = drawn()
    html = out / "report.html"
    text = page.render(
        results,
        out,
        rows=rows,
        why_none=why_none,
        everywhere=everywhere,
        pictures=made,
        undetailed=undetailed,
        chart=chart,
        theory=theory,
        trained=trained,
        paid=paid,
        points=measured,
        notes=notes,
    )
    html.write_text(text, encoding="utf-8")
    figures = [file for picture in made for file in picture.files]
    return [html, table, *figures, *trained["output_files"], *theory["claim_files"]]


def _detailed(results: Results) -> tuple[Results, str | None]:
    """The results of the sets of conditions that have figures, and a word on the others."""
    counts = results.grid.groupby(CONDITIONS, sort=False).size()
    if len(counts) <= DETAILED:
        return results, None
    kept = set(counts.sort_values(ascending=False, kind="stable").index[:DETAILED])
    rows = zip(*(results.frame[key] for key in CONDITIONS), strict=True)
    frame = results.frame[[row in kept for row in rows]]
    note = (
        f"Of {len(counts)} sets of conditions, the {DETAILED} with the most measurements have "
        "figures, n* in other phases and costs, and a table of preparation. The crossovers above, "
        "the interactive chart and points.csv have all; a report of fewer files has more figures."
    )
    return replace(results, frame=frame), note


def _sets(
    results: Results, rows: Sequence[Crossover]
) -> Iterable[tuple[dict[str, Any], pd.DataFrame, list[Crossover]]]:
    """(conditions, usable grid, crossovers) of each set of conditions."""
    groups = results.grid.groupby(CONDITIONS, sort=False)
    for values, grid in sorted(groups, key=in_order):
        conditions = dict(zip(CONDITIONS, values, strict=True))
        own = [
            row for row in rows if all(getattr(row, key) == conditions[key] for key in conditions)
        ]
        yield conditions, grid, own


def _scenes(
    results: Results,
    rows: Sequence[Crossover],
    why_none: str | None,
    out: Path,
    looks: Emphasis,
) -> Iterable[Scene]:
    """What there is to draw of each set of conditions on the N×n grid."""
    pair = rows[0].pair if rows else sides.FAMILIES
    speed_ups = tables.speed_ups(results.grid, pair)
    tried = results.frame[results.frame["is_grid"] & ~results.frame["usable"]]
    failed = dict(list(tried.groupby(CONDITIONS, sort=False)))
    ceilings = [header.ceilings for header in results.headers if header.ceilings]
    for conditions, grid, own in _sets(results, rows):
        key = tuple(conditions.values())
        cells = tables.by_cell(grid)
        regime = str(conditions["regime"])
        above = roofline.over(
            ceilings[-1] if ceilings else None, conditions["device"], conditions["dtype"], regime
        )
        under = roofline.points(grid) if above is not None else None
        yield Scene(
            stem=out / _slug(conditions),
            where=_where(results.machine, conditions),
            regime=regime,
            cells=cells,
            drawn=tables.with_gaps(cells, failed.get(key, tried.iloc[:0])),
            rows=own,
            why_none=why_none,
            pair=pair,
            speed_up=speed_ups.get(key, {}),
            appearances={
                name: look
                for name, look in looks.appearances.items()
                if name in set(cells["contender"])
            },
            named=looks.named(cells),
            roof=above,
            under=under,
            deviations=deviations(grid),
        )


def _everywhere(results: Results, rows: Sequence[Crossover]) -> list[Crossover]:
    """The crossovers of the first pair in every phase and cost that was measured."""
    if not rows:
        return []
    pair = rows[0].pair
    found = [row for _, _, own in _sets(results, rows) for row in own if row.pair == pair]
    asked = [(phase, "time") for phase in PHASES if phase != rows[0].phase]
    asked += [(rows[0].phase, cost) for cost in COSTS if cost != "time"]
    for phase, cost in asked:
        try:
            found += crossover.of_results(results, pairs=[pair], phase=phase, cost=cost)
        except BadInput:  # not measured: no column in the table, no choice in the chart
            continue
    return found


def _paid(results: Results, rows: Sequence[Crossover]) -> Iterable[Paid]:
    """What plan and load cost, and when they pay, under each set of conditions."""
    for conditions, grid, own in _sets(results, rows):
        first = [row for row in own if row.pair == own[0].pair]
        n_star = {row.N: row.n_star for row in first if row.n_star is not None}
        compared = list(break_even.comparisons(grid, n_star))
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
    if conditions["dimensions"] == 1:
        parts.append(LINES)
    if (conditions["batch"], conditions["channels"]) != (1, 1):
        parts.append(f"batch {conditions['batch']}, channels {conditions['channels']}")
    if conditions["direction"] != "forward":
        parts.append(f"direction {conditions['direction']}")
    return ", ".join(parts)


def _slug(conditions: dict[str, Any]) -> str:
    """A file name of the conditions: cpu-warm-float32-convolution-same-normal."""
    parts = [str(conditions[key]) for key in CONDITIONS[:6]]
    if conditions["dimensions"] == 1:
        parts.append("lines")
    if (conditions["batch"], conditions["channels"]) != (1, 1):
        parts += [f"b{conditions['batch']}", f"c{conditions['channels']}"]
    if conditions["direction"] != "forward":
        parts.append(conditions["direction"])
    return slug("-".join(parts))
