"""Layers by pass on the page, and maps of FFT's speed-up over grids by outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from convcross.analysis import passes
from convcross.analysis.crossover import reuse, reuse_words
from convcross.analysis.crossover.reuse import Stars
from convcross.analysis.load import Results
from convcross.analysis.passes import LayerPasses
from convcross.report.claims import picture
from convcross.report.figures import style
from convcross.report.figures.outputs import outputs
from convcross.report.figures.reuse import reuse as drawn
from convcross.text import binary, seconds, slug
from convkernels.problem import STEP

MOST = 100  # layers that have tables
CAPTION = (
    "Blue: FFT is the faster, by so many times; where kernels and outputs are small, there is "
    "nothing to save."
)
REUSE = (
    "Spectra are shared: those of an image by all filters, those of a filter by the batch. The "
    "more channels and images, the less their transforms weigh beside the products, and n* falls. "
    "Dashed: that arithmetic, by the FLOP that contenders declare."
)


def context(results: Results, out: Path) -> dict[str, Any]:
    """What passes.html.j2 shows; its figures are written into the folder ``out``.

    Returns
    -------
    dict
        "layer_passes": a table of contenders for each layer; "more_layers": how many have none;
        "output_maps": pictures; "reuse": of each grid by outputs and phase a heading, rows of n*, a
        picture and notes; "reuse_told": the sentences of the first; "output_files": the paths that
        were written.

    Raises
    ------
    OSError
        The folder takes no files.
    """
    found = passes.of_layers(results)
    maps, files, grids = [], [], []
    sentences: list[list[str]] = []
    with style.settings():
        for conditions, table in passes.speed_ups(results):
            told = ", ".join(map(str, conditions.values()))
            where = f"{results.machine} ({told})"
            figure = outputs(table, where)
            saved = style.save(figure, out / slug(f"outputs-{told}"))
            files += saved
            maps.append(picture(figure, where, CAPTION, saved))
        for phase in reuse.FLOPS:
            for stars in reuse.of_results(results, phase):
                figure = drawn(stars, reuse_words.heading(stars))
                told = ", ".join(map(str, stars.conditions.values()))
                saved = style.save(figure, out / slug(f"reuse-{phase}-{told}"))
                files += saved
                grids.append(_grid(stars, figure, saved))
                sentences.append(reuse_words.sentences(stars))
    return {
        "layer_passes": [_shown(table) for table in found[:MOST]],
        "more_layers": max(0, len(found) - MOST),
        "output_maps": maps,
        "reuse": grids,
        "reuse_told": sentences[0] if sentences else [],
        "output_files": files,
    }


def _shown(table: LayerPasses) -> dict[str, Any]:
    several = len(set(table.directions) - {STEP}) > 1
    steps = [table.step_share(contender) for contender in table.contenders]
    stepped = not all(map(math.isnan, steps))
    rows = []
    for (contender, ways), share in zip(table.contenders.items(), steps, strict=True):
        cells = []
        for way in table.directions:
            one = ways.get(way)
            if one is None or one.why:
                cells.append((one.why if one else "not measured", "", "", False))
            else:
                cells.append((seconds(one.seconds), *_costs(one), one.fastest))
        total = table.total(contender)
        told = ["" if math.isnan(total) else seconds(total)] if several else []
        told += ["" if math.isnan(share) else f"{share:.2f}"] if stepped else []
        rows.append((contender, cells, told))
    heading = f"{table.name}: {table.problem}" if table.name else table.problem
    if table.scaled:
        heading += f"; scaled to this device: {table.scaled}"
    return {
        "heading": f"{heading} ({table.where})",
        "directions": table.directions,
        "several": several,
        "stepped": stepped,
        "rows": rows,
    }


def _grid(stars: Stars, figure: Figure, files: Sequence[Path]) -> dict[str, Any]:
    """Of n* by output, batch and channels, what the page shows."""
    heading = reuse_words.heading(stars)
    rows = [
        (
            star.output,
            star.batch,
            star.channels,
            reuse_words.interval(star.measured),
            *(reuse_words.interval(own) if own else "" for own in (star.paced, star.alone)),
            *(", ".join(names) for names in reversed(star.representatives)),
        )
        for star in stars.stars
    ]
    return {
        "heading": heading,
        "rows": rows,
        "picture": picture(figure, heading, REUSE, files),
        "notes": reuse_words.notes(stars),
    }


def _costs(one: passes.Pass) -> tuple[str, str]:
    """Error and workspace as text."""
    error = "" if math.isnan(one.error) else f"{one.error:.1e}"
    return error, "" if math.isnan(one.workspace) else binary(one.workspace)
