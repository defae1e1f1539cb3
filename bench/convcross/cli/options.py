"""Options that several commands share, and what reads and prints their values."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from convcross.errors import BadInput
from convcross.sweeps.groups import GROUPS

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Algorithms = Annotated[
    list[str] | None,
    typer.Option(metavar="PATH", help="A .py file, or a folder of them, that registers more."),
]
Contenders = Annotated[
    str | None,
    typer.Option(help=f"Patterns as 'fft/*,direct/torch', and groups: {', '.join(GROUPS)}."),
]
Device = Annotated[
    str | None,
    typer.Option(help="cpu, cuda:0, cuda:all, or several with commas. [default: the best here]"),
]
Flagged = Annotated[
    bool, typer.Option("--include-flagged", help="Use what is flagged too: impossible, ran-fft…")
]
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Results files.")]


def load_algorithms(paths: list[str] | None) -> list[str]:
    """Register what the files of --algorithms hold; their resolved paths."""
    if not paths:
        return []
    from convcross.sweeps.user_files import load

    return load(paths)


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, allow_nan=False))


def parse_kinds(what: str, text: str, allowed: tuple[str, ...]) -> list[str]:
    """Kinds of data, with commas."""
    kinds = [part.strip() for part in text.split(",")]
    for kind in kinds:
        if kind not in allowed:
            raise BadInput(f"{what} is {kind!r}; allowed: {', '.join(allowed)}")
    return kinds


def parse_pair(text: str) -> tuple[str, str]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(parts):
        raise BadInput(f"pair is {text!r}; allowed: A,B with families or contenders")
    return parts[0], parts[1]


def parse_seconds(text: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text)
    if not match or float(match[1]) == 0:
        raise BadInput(f"budget is {text!r}; allowed: a time as 90s, 8m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]
