"""Commands that take in what others have: import, import-layers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convcross.text import one_line


def import_(
    file: Annotated[Path, typer.Argument(metavar="TIMINGS.csv", help="A table with a header.")],
    source: Annotated[
        str | None, typer.Option(help="Where the times are from. [default: the file's name]")
    ] = None,
    machine: Annotated[
        str, typer.Option(help="What they were measured on; files of one make one curve.")
    ] = "imported",
    device: Annotated[str, typer.Option(help="Of it: cpu, cuda:0, ….")] = "cpu",
    out: Annotated[
        Path | None, typer.Option(help="Results file. [default: a new one in results/<machine>/]")
    ] = None,
) -> None:
    """Turn a table of times into a results file, for crossover, report, claims and compare.

    Columns: contender, family (direct, fft, …), N, n, seconds; if known low, high (the interval of
    seconds), launch, sample (numbers of repeated measurements), dtype, mode, error (relative L2).
    Rows that are not sound are left out and counted. Without samples no difference has a test, and
    n* no interval; the output says so.
    """
    from convcross.imports.timings import import_timings

    path, table = import_timings(file, source=source, machine=machine, device=device, out=out)
    for sentence in table.sentences():
        print(one_line(sentence))
    print(f"{len(table.rows)} of {table.count} rows imported")
    print(path)


def import_layers(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A list of layers.")],
    out: Annotated[
        Path | None, typer.Option(help="Sweep. [default: a new one here, of the file's name]")
    ] = None,
) -> None:
    """Turn a public list of layers into a sweep, for run.

    DeepBench's conv_problems.h, lines of oneDNN's benchdnn, traces of aten.convolution as
    tritonbench has them, or CSV with columns H, W, kh, kw, and if known name, batch, in_channels,
    out_channels, groups, pad_h, pad_w, stride_h, stride_w, dilation_h, dilation_w.
    """
    from convcross.imports.layers import import_layers as convert

    path, found = convert(file, out)
    for sentence in found.sentences():
        print(one_line(sentence))
    print(f"{len(found.layers)} layers; measure them: convcross run {path}")
    print(path)
