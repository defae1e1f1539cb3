"""The report's page: one file, nothing loaded from elsewhere, whatever the records say escaped."""

from __future__ import annotations

import base64
import math
import os
import sys
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from convcross.analysis import tables
from convcross.analysis.break_even import BreakEven
from convcross.analysis.crossover import words
from convcross.analysis.crossover.crossover import Crossover
from convcross.analysis.load import Results
from convcross.report.figures.scenes import FIGURES, Picture
from convcross.results.status import FAILURES
from convcross.sweeps.regimes import REGIMES
from convcross.text import one_line, seconds

EMBEDDED = 30  # figures at most that stand in the page itself
OTHERS = {  # kinds of crossover that the first sentence does not tell, in words
    "textbook": "Of the definition and the whole-image transform of one array library",
    "library": "Of one library's own direct sum and FFT",
    "floor": "By arithmetic alone, of the least times that this machine allows",
}
TABLED = 5000  # measurements at most that are tables of the page
# What the points of one table share; those off the grid are told by their problem.
SHARED = ["device", "regime", "dtype", "op", "mode", "data"]


@dataclass(frozen=True)
class Paid:
    """Comparisons of plan, load and run under one set of conditions."""

    where: str
    comparisons: list[BreakEven]


def render(
    results: Results,
    out: Path,
    *,
    rows: Sequence[Crossover],
    why_none: str | None,
    everywhere: Sequence[Crossover],
    pictures: Sequence[Picture],
    undetailed: str | None,
    chart: Mapping[str, Any] | None,
    theory: Mapping[str, Any],
    trained: Mapping[str, Any],
    paid: Sequence[Paid],
    points: pd.DataFrame,
    notes: Sequence[str],
) -> str:
    """The page as HTML.

    Parameters
    ----------
    out : the folder it will stand in, from which the raw files are linked
    rows : of the default pairs; empty where ``why_none`` says why there is none
    everywhere : of the first pair in every phase and cost
    undetailed : which sets of conditions have no figures
    chart : see ``interactive.data``
    theory : see ``claims.context``
    trained : see ``passes.context``
    points : see ``analysis.points.points``; they stand in points.csv too
    notes : what the analysis warned of, one sentence each
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("convcross.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown_as_text,
    )
    environment.filters["seconds"] = seconds
    environment.filters["times"] = times
    # Of tojson: it escapes <, > and &, so that nothing ends the script that holds the data.
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    usable = int(results.frame["usable"].sum())
    unusable = tables.left_out(results.frame).to_dict("records")
    drawn = [picture for picture in pictures if picture.files]
    embedded = len(drawn) <= EMBEDDED
    return environment.get_template("page.html.j2").render(
        machine=results.machine,
        summary=summary(rows) if rows else trained["reuse_told"] or [why_none],
        groups=list(_tables(rows)),
        everywhere=list(_everywhere(everywhere)),
        pictures=[shown(picture, embedded) for picture in drawn],
        embedded=embedded,
        undetailed=undetailed,
        missing=_missing(pictures),
        chart=chart,
        **theory,
        **trained,
        scripts={
            "plotly": _inline("plotly/plotly-basic.min.js"),
            "chart": _inline("chart.js"),
        },
        paid=paid,
        points=list(_points(points)) if len(points) <= TABLED else [],
        layers=tables.layers(results.frame),
        failures=[row for row in unusable if row["status"] in FAILURES],
        left_out=[row for row in unusable if row["status"] not in FAILURES],
        usable=usable,
        total=len(results.frame),
        notes=notes,
        headers=[
            {
                "name": path.name,
                # Quoted, a file called "javascript:…" is no script.
                "link": urllib.parse.quote(os.fsencode(os.path.relpath(path, out))),
                "started": header.started_at,
                "environment": [
                    *flat({"imported": header.imported.model_dump()} if header.imported else {}),
                    *flat({"machine": header.machine, **header.software}),
                ],
                "sweep": list(flat(header.sweep)),
            }
            for path, header in zip(results.paths, results.headers, strict=True)
        ],
        regimes=sorted(set(results.frame["regime"])),
    )


def _shown_as_text(value: Any) -> Any:
    """What an expression of the page gives; text, which is to be escaped, on one line."""
    return one_line(value, sys.maxsize) if type(value) is str else value


def _inline(name: str) -> Markup:
    """A script of ours, as it stands."""
    text = (
        resources.files("convcross.report").joinpath("templates", name).read_text(encoding="utf-8")
    )
    return Markup(text)


def shown(picture: Picture, embedded: bool) -> Mapping[str, Any]:
    """A figure's title, caption and files, and its SVG: in the page, or by its name."""
    a, b = picture.pair
    text = FIGURES[picture.kind].caption.format(a=a, b=b)
    meant = f" ({REGIMES[picture.regime].words})" if picture.regime in REGIMES else ""
    svg = next(path for path in picture.files if path.suffix == ".svg")
    source = svg.name
    if embedded:
        source = f"data:image/svg+xml;base64,{base64.b64encode(svg.read_bytes()).decode()}"
    return {
        "title": FIGURES[picture.kind].title,
        "where": picture.where,
        "caption": f"{text} Regime: {picture.regime}{meant}.",
        "source": source,
        "files": [path.name for path in picture.files],
    }


def _missing(pictures: Sequence[Picture]) -> list[tuple[str, str]]:
    """(title, why) of each figure that would say nothing, those of one reason together."""
    where: dict[tuple[str, str], list[str]] = {}
    for picture in pictures:
        if picture.why_none is not None:
            key = (FIGURES[picture.kind].title, picture.why_none)
            where.setdefault(key, []).append(picture.where)
    several = len({picture.where for picture in pictures}) > 1
    return [
        (title, f"{why} ({'; '.join(places)})" if several else why)
        for (title, why), places in where.items()
    ]


def summary(rows: Sequence[Crossover]) -> list[str]:
    """Sentences: machine, device and n* of the first pair, from the largest image down; then, of
    the largest image, every other kind of crossover; then how far to believe the first."""
    *conditions, _, _ = rows[0].conditions
    here = [row for row in rows if [*row.conditions[:-2]] == conditions]
    first = sorted((row for row in here if row.pair == rows[0].pair), key=lambda row: -row.N)
    a, b = first[0].pair
    text, *others = map(words.sentence, first)
    others = [other.removeprefix(f"{b} overtakes {a} ") for other in others]  # said once
    told = [f"On {first[0].machine} ({first[0].device}), {'; '.join([text, *others])}."]
    largest = first[0].N
    for kind, said in OTHERS.items():
        found = [row for row in here if row.kind == kind and largest == row.N]
        if found and found[0].pair != first[0].pair:
            told.append(f"{said}: {'; '.join(map(words.sentence, found))}.")
    told += [f"{caution}." for caution in words.cautions(first)]
    return told


def _tables(rows: Sequence[Crossover]) -> Iterable[Mapping[str, Any]]:
    """Heading and cells of each set of rows with the same conditions."""
    groups: dict[tuple[Any, ...], list[Crossover]] = {}
    for row in rows:
        groups.setdefault(row.conditions, []).append(row)
    for group in groups.values():
        cells = [
            (row.kind, f"{row.pair[1]} over {row.pair[0]}", *words.cells(row), words.shares(row))
            for row in group
        ]
        yield {
            "heading": words.heading(group[0]),
            "rows": cells,
            "cautions": words.cautions(group),
        }


def _everywhere(rows: Sequence[Crossover]) -> Iterable[Mapping[str, Any]]:
    """Heading, columns and cells of n* in every phase and cost, for each set of conditions."""
    groups: dict[tuple[Any, ...], list[Crossover]] = {}
    for row in rows:
        *conditions, _, _ = row.conditions
        groups.setdefault(tuple(conditions), []).append(row)
    for group in groups.values():
        columns = list(dict.fromkeys(_column(row) for row in group))
        if len(columns) < 2:
            continue
        cells: dict[int, dict[str, str]] = {}
        for row in group:
            _, n_star, interval, _, verdict = words.cells(row)
            text = n_star + (f" [{interval}]" if row.n_star and interval else "")
            cells.setdefault(row.N, {})[_column(row)] = text or verdict
        a, b = group[0].pair
        heading, _, _ = words.heading(group[0]).rpartition(", phase ")
        yield {
            "heading": f"{b} over {a}, {heading}",
            "columns": columns,
            "rows": [
                (N, [own.get(column, "") for column in columns]) for N, own in sorted(cells.items())
            ],
        }


def _column(row: Crossover) -> str:
    return f"time, {row.phase}" if row.cost == "time" else row.cost


def _points(points: pd.DataFrame) -> Iterable[Mapping[str, Any]]:
    """Heading and cells of each table of points."""
    grid = points[points["is_grid"]]
    blank = dict.fromkeys(("dimensions", "batch", "channels", "direction"), "")
    layers = points[~points["is_grid"]].assign(**blank)
    for part, own in (("N", grid), ("problem", layers)):
        keys = [*SHARED, *blank]
        for values, group in own.groupby(keys, sort=False, dropna=False):
            *shared, dimensions, batch, channels, direction = values
            text = ", ".join(str(value) for value in shared if value is not None)
            if part == "N" and dimensions == 1:
                text += f", {words.LINES}"
            if part == "N" and (batch, channels) != (1, 1):
                text += f", batch {batch}, channels {channels}"
            if part == "N" and direction != "forward":
                text += f", direction {direction}"
            places = zip(group["N"], group["n"], strict=True)
            cells = [f"{N} · {n}" for N, n in places] if part == "N" else group["problem"]
            yield {
                "heading": text,
                "place": "N · n" if part == "N" else "problem",
                "rows": list(zip(cells, *_texts(group), strict=True)),
            }


def _texts(points: pd.DataFrame) -> Iterable[Iterable[str]]:
    """The columns of a table of points, as text."""
    yield points["contender"]
    yield points["median_s"].map(lambda value: "" if math.isnan(value) else seconds(value))
    yield [
        "" if math.isnan(low) or math.isnan(high) else f"{seconds(low)} to {seconds(high)}"
        for low, high in zip(points["low_s"], points["high_s"], strict=True)
    ]
    yield points["p95_s"].map(lambda value: "" if math.isnan(value) else seconds(value))
    yield [str(count) if count else "" for count in points["samples"]]
    yield points["settled"].map({True: "yes", False: "no"}).fillna("")
    yield points["floor_percent"].map(lambda value: "" if math.isnan(value) else f"{value:.3g} %")
    yield points["error"].map(lambda value: "" if math.isnan(value) else f"{value:.1e}")
    yield points["flags"]
    yield points["status"].where(points["status"] != "ok", "")
    yield points["reason"]


def times(count: int | None) -> str:
    """A break-even: from 1,200 on, always, never."""
    return "never" if count is None else "always" if count == 0 else f"from {count:,}"


def flat(data: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """("gpu.name", "…") for each leaf of nested mappings and lists of mappings."""
    for key, value in data.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flat(value, f"{name}.")
        elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            for place, item in enumerate(value):
                yield from flat(item, f"{name}.{place}.")
        elif isinstance(value, list):
            yield name, ", ".join(map(str, value)) or "none"
        else:
            yield name, "none" if value is None else str(value)
