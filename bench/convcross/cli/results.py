"""Commands that read results: crossover, claims, report, compare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convcross.cli.options import Files, Flagged, Json, parse_pair, print_json
from convcross.errors import BadInput
from convcross.text import file_name, one_line

if TYPE_CHECKING:
    from convcross.analysis.compare.compare import Comparison


def crossover(
    files: Files,
    pair: Annotated[
        list[str] | None, typer.Option(help="A,B: where B overtakes A. Families or contenders.")
    ] = None,
    phase: Annotated[str, typer.Option(help="steady, fresh, first.")] = "steady",
    cost: Annotated[str, typer.Option(help="time, error, workspace, energy.")] = "time",
    include_flagged: Flagged = False,
    as_json: Json = False,
) -> None:
    """Print n*(N), the kernel size from which one contender stays faster than another.

    Without --pair there are up to four kinds: best, the fastest direct sum against the fastest FFT;
    textbook, the definition against the whole-image transform; library, one library's own two; and
    floor, by arithmetic from this machine's ceilings. Of a sweep by outputs, as grid-fbfft: n* of
    FFT over all others by output, batch and channels, with the arithmetic beside it.
    """
    from convcross.analysis.crossover import costs, reuse, reuse_words, words
    from convcross.analysis.crossover import crossover as analysis
    from convcross.analysis.load import load

    costs.check(phase, cost)
    pairs = [parse_pair(text) for text in pair] if pair else None
    results = load(files, include_flagged=include_flagged)
    stars = reuse.of_results(results, phase) if pairs is None and cost == "time" else []
    alone = bool(stars) and not results.frame["is_grid"].any()
    rows = [] if alone else analysis.of_results(results, pairs=pairs, phase=phase, cost=cost)
    if as_json:
        told = [line for own in stars for line in reuse_words.to_json(own)]
        print_json([*(row.to_json() for row in rows), *told])
    else:
        words.print_table(rows)
        reuse_words.print_stars(stars)


def claims(files: Files, include_flagged: Flagged = False, as_json: Json = False) -> None:
    """Judge each sentence of the theory on the results: verdict, condition, numbers."""
    from convcross.analysis.claims import claims as analysis
    from convcross.analysis.load import load

    found = analysis.claims(load(files, include_flagged=include_flagged, learned=True))
    if as_json:
        print_json([claim.to_json() for claim in found])
    else:
        analysis.print_claims(found)


def report(
    files: Files,
    out: Annotated[
        Path | None, typer.Option(help="Folder. [default: reports/<machine>/<results file>]")
    ] = None,
    highlight: Annotated[
        str | None,
        typer.Option(help="Contenders in colour where most are grey; patterns as in run."),
    ] = None,
    include_flagged: Flagged = False,
) -> None:
    """Write figures (PNG, SVG, PDF), every measurement (CSV) and one self-contained HTML page.

    Of more than 12 contenders the fastest of each family is in colour, and those of --highlight.
    """
    from convcross.report import report as reporting
    from convcross.results.reader import read

    folder = out
    if folder is None:
        stem = files[0].name.removesuffix(".gz").removesuffix(".jsonl")
        machine = str(read(files[0]).header.machine.get("name"))
        folder = Path("reports") / file_name(machine) / file_name(stem)
    page, table, *figures = reporting.write(
        files,
        folder,
        include_flagged=include_flagged,
        highlight=highlight.split(",") if highlight is not None else (),
    )
    print(f"{len(figures) // 3} figures, PNG, SVG and PDF, and {table.name} in {folder}")
    print(page)


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="Results file, the one before.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Results file, the one after.")],
    fail_on_slower: Annotated[
        bool,
        typer.Option(
            "--fail-on-slower", help="Exit with 1 where B is slower in a cell, fails, or lacks it."
        ),
    ] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="But not for cells of A that B lacks.")
    ] = False,
    include_flagged: Flagged = False,
    as_json: Json = False,
) -> None:
    """Hold B against A, cell by cell: two cards, drivers or commits.

    A cell is slower or faster where its launches lie so far apart as those of the same code do not
    (Welch's test, p < 0.02 adjusted for all cells by Benjamini and Hochberg), and by more than
    convcross repeatability has measured there; else by 2 %. Of one launch, the samples are tested,
    and another process is another program. One that was ok and is now wrong, oom, timeout or error
    counts as slower.
    """
    from convcross.analysis.compare import compare as analysis
    from convcross.analysis.compare.tables import print_comparison

    if allow_missing and not fail_on_slower:
        raise BadInput("--allow-missing is given without --fail-on-slower; allowed: both")
    found = analysis.compare(a, b, include_flagged=include_flagged)
    if as_json:
        print_json(found.to_json())
    else:
        print_comparison(found)
    if fail_on_slower and (found.slower or (found.missing and not allow_missing)):
        if found.missing and not allow_missing:
            print(f"note: {_lacking(found)}; allowed: --allow-missing", file=sys.stderr)
        raise typer.Exit(1)


def _lacking(found: Comparison) -> str:
    """What B has not measured of A, in words."""
    names = sorted({cell.name for cell in found.missing})
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    cells = f"{len(found.missing)} cells of A, of {', '.join(names[:4])}{more}"
    return one_line(f"B lacks {cells}")
