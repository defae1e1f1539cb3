"""Malformed sweeps, results files and command lines, as hypothesis strategies.

Each starts from what is sound and spoils some of it, so that much of it gets far.
"""

from __future__ import annotations

import functools
import gzip
import json
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from hypothesis import strategies as st

from convcross.cli import app
from convcross.results.schema import Provenance, Telemetry, dump
from convcross.sweeps import spec
from convkernels import Problem
from support import networks, synthetic

# Text that would do harm where it is shown raw, or taken at its word.
TEXTS = (
    "",
    "\x1b[2J\x1b]0;owned\x07",
    "a\nconvcross: done\r\tb",
    "\u202egnirts",
    "\u2028\x85\x7f\x00",
    "</script><script>alert(1)</script><!--",
    "$\\frac{$",
    "_led",
    "../../../elsewhere",
    "=1+1|cmd",
    "[/bold][link=x]",
    "; touch here",
    "%s{0}{x}",
    "x" * 5000,
    "\U0001f600\u0301",
)
PLAUSIBLE = (
    "cpu", "cuda:0", "cuda:all", "direct", "fft", "library", "direct/numpy", "fft/torch", "quick",
    "float32", "float64", "float16", "same", "valid", "full", "convolution", "correlation", "warm",
    "flushed", "graph", "normal", "ok", "wrong", "error", "timeout", "oom", "unsupported",
    "impossible", "record", "duel", "header", "3,5", "3:9:2", "steady", "fresh", "first", "energy",
    "direct,fft", "fft/numpy,direct/numpy", "2h", "1", "0", "-1", "1e999", "nan", "*", ",", ":",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 3, 5, 16, 17, 100, 10**6, 2**31, 2**53 + 1, 2**63, 10**30, -(2**63) - 1, 0.5, -0.5,
    1e-3, 1e-9, 1e-30, 5e-324, 1e15, 1e300, -1e300, math.inf, -math.inf, math.nan,
)  # fmt: skip

text = st.sampled_from(TEXTS) | st.sampled_from(PLAUSIBLE) | st.text(max_size=12)
scalar = (
    st.sampled_from([None, True, False])
    | st.sampled_from(NUMBERS)
    | st.integers(-3, 40)
    | st.floats(1e-9, 10)
    | text
)
anything = scalar | st.recursive(
    scalar,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
place = st.integers(0, 10**6)  # taken modulo what there is


# ---- sweeps --------------------------------------------------------------------------------

SWEEP = """name = "mine"
title = "A sweep"
sizes = [12, 16]
launches = 1
kernels = "3:5:2"
ops = ["convolution", "correlation"]
modes = ["same", "full"]
dtypes = ["float32"]
contenders = ["fft/numpy", "direct/*"]
image_data = ["normal"]
seed = 1
regime = "warm"
threads = 1
[[layers]]
name = "one"
image = [12, 12]
kernel = [3, 3]
in_channels = 2
stride = 2
padding = [[1, 1], [1, 1]]
[limits]
seconds = 0.001
samples = 5
"""


def toml(value: Any) -> str:
    """A value as TOML; what TOML lacks becomes text."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)} = {toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else quoted(str(value))


def quoted(value: str) -> str:
    return json.dumps(value).replace("\x7f", "\\u007f")


def keys_of(model: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(sorted(model.model_fields)) | text, anything, max_size=3)


GRID = {
    "sizes": st.lists(st.integers(1, 20), min_size=1, max_size=3),
    "kernels": st.lists(st.integers(1, 7), min_size=1, max_size=3),
}
more = {
    "limits": keys_of(spec.Limits) | anything,
    "layers": st.lists(keys_of(spec.Layer), max_size=2) | anything,
    "contenders": st.lists(text, max_size=3),
    "title": text,
    "name": text,
    "seed": st.integers(),
    "dtypes": st.lists(st.sampled_from(PLAUSIBLE), max_size=2),
}
tables = st.tuples(
    st.fixed_dictionaries(GRID, optional=more) | st.fixed_dictionaries({}, optional=GRID | more),
    st.just({}) | keys_of(spec.Sweep),
).map(lambda both: "\n".join(f"{quoted(k)} = {toml(v)}" for k, v in {**both[0], **both[1]}.items()))


@st.composite
def spoiled(draw: Callable[[st.SearchStrategy[Any]], Any], sound: bytes) -> bytes:
    """Sound content with bytes or lines inserted, removed, doubled or cut off."""
    content = sound
    for _ in range(draw(st.integers(1, 3))):
        at = draw(place) % (len(content) + 1)
        kind = draw(st.sampled_from(["insert", "replace", "remove", "lines", "cut", "bom", "crlf"]))
        piece = draw(st.binary(max_size=6) | text.map(lambda one: one.encode("utf-8", "replace")))
        if kind == "insert":
            content = content[:at] + piece + content[at:]
        elif kind == "replace":
            content = content[:at] + piece + content[at + len(piece) :]
        elif kind == "remove":
            content = content[:at] + content[at + draw(st.integers(1, 30)) :]
        elif kind == "lines":
            content = b"\n".join(moved(content.split(b"\n"), draw(place), draw(place)))
        elif kind == "cut":
            content = content[:at]
        elif kind == "bom":
            content = b"\xef\xbb\xbf" + content
        else:
            content = content.replace(b"\n", b"\r\n")
    return content


def moved(lines: list[Any], source: int, target: int) -> list[Any]:
    """A line copied over another, doubled, or moved."""
    lines = list(lines)
    line = lines[source % len(lines)]
    if target % 3 == 0:
        lines.remove(line)
    if target % 3 == 1 and lines:
        lines[target % len(lines)] = line
    else:
        lines.insert(target % (len(lines) + 1), line)
    return lines


sweeps = (
    tables.map(lambda one: one.encode("utf-8", "replace"))
    | spoiled(SWEEP.encode())
    | st.binary(max_size=40)
    | st.integers(0, 4000).map(lambda depth: b"sizes = " + b"[" * depth + b"]" * depth)
)


# ---- results files -------------------------------------------------------------------------

CEILINGS = {
    "device": "cpu",
    "flops": {"float32": 1e12},
    "bytes": [[2**16, 2e11], [2**24, 1e11], [2**28, 2e10]],
}


@functools.cache
def lines(seed: int = 0) -> list[dict[str, Any]]:
    """A small results file with something of everything that a record can hold."""
    contenders = {
        "direct/numpy": synthetic.direct(),
        "fft/numpy": synthetic.fft(5),
        "torch-conv2d/torch": synthetic.direct(0.9),
    }
    duels = synthetic.duels(contenders, sizes=(16, 32), kernels=(3, 5, 9), rounds=8, seed=seed)
    for duel in duels:
        fft = duel[1]
        fft.stage_seconds = {"forward": [1e-5] * 3, "multiply": [2e-5] * 3, "kernel": [1e-5] * 3}
        fft.provenance = Provenance.model_validate({"padded": [40, 40]})
        fft.error_seeds = [2e-7, 3e-7, 2.5e-7, 2e-7, 2e-7]
        duel[0].telemetry = Telemetry.model_validate(
            {"energy": {"j_per_run": [0.1, 0.11, 0.1]}, "pacer_ratio": 1.01}
        )
        duel[0].floor_s, duel[0].workspace_bytes, fft.workspace_bytes = 1e-7, 100.0, 1e4
    duels[0][2].flags = ["impossible"]
    cell = Problem((32, 32), (9, 9), mode="same")
    duels[-1].append(
        synthetic.record("im2col/numpy", cell, status="timeout", reason="a run takes 3 s")
    )
    layer = {"stride": (2, 2), "in_channels": 3, "out_channels": 4, "batch": 2}
    duels += synthetic.duels(contenders, sizes=[20], kernels=[3], rounds=6, problem=layer)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.jsonl"
        synthetic.write(path, duels, synthetic.header(ceilings=CEILINGS))
        learned = dump(networks.planted(seeds=1)).decode()
        return [json.loads(line) for line in (path.read_text() + learned).splitlines()]


KINDS = (*["one", "contender", "kind"] * 3, "remove", "lines", "nested")
Path_ = tuple[Any, ...]


@functools.cache
def sound() -> str:
    return json.dumps(lines())


def places(value: Any, at: Path_ = ()) -> Iterator[Path_]:
    """Every place inside a value; of a list the first and the last."""
    if isinstance(value, dict):
        inside: Any = value.items()
    elif isinstance(value, list):
        inside = {0: value[0], len(value) - 1: value[-1]}.items() if value else ()
    else:
        return
    for key, one in inside:
        yield (*at, key)
        yield from places(one, (*at, key))


SPOILT: dict[type, st.SearchStrategy[Any]] = {
    str: st.sampled_from(PLAUSIBLE) | text | text,
    float: st.sampled_from(NUMBERS) | st.floats(1e-12, 1e3) | st.floats() | scalar,
    int: st.sampled_from(NUMBERS) | st.integers(0, 100) | st.integers(0, 10**6) | scalar,
    list: st.lists(st.sampled_from(NUMBERS) | scalar, max_size=4) | anything,
}
FACTORS = (0.0, -1.0, 1e-300, 1e-9, 1e-3, 0.9, 1.0, 1e3, 1e9, 1e300, math.nan, math.inf)


def scaled(value: Any, factor: float) -> Any:
    """All numbers inside a value times a factor; lengths stay."""
    if isinstance(value, list):
        return [scaled(one, factor) for one in value]
    if isinstance(value, dict):
        return {key: scaled(one, factor) for key, one in value.items()}
    return value * factor if isinstance(value, (int, float)) else value


def put(line: Any, at: Path_, value: Any, remove: bool = False) -> None:
    """Change what stands at a place, if the line has it."""
    try:
        for key in at[:-1]:
            line = line[key]
        if remove:
            del line[at[-1]]
        else:
            line[at[-1]] = value
    except (KeyError, IndexError, TypeError):
        pass


def alike(one: Any, other: Any, keys: Sequence[str]) -> bool:
    """Whether both are lines, and agree on these keys."""
    both = isinstance(one, dict) and isinstance(other, dict)
    return both and all(one.get(key) == other.get(key) for key in keys)


@st.composite
def results(draw: Callable[[st.SearchStrategy[Any]], Any]) -> tuple[str, bytes]:
    """The suffix and content of a results file in which something is not as it should be."""
    found: list[Any] = json.loads(sound())
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 1, 2, 3]))):
        # The header, a record of each contender, or any line.
        line = found[draw(st.integers(0, 4)) % 4 or draw(place) % len(found)]
        kind = draw(st.sampled_from(KINDS))
        if kind == "lines":
            found = moved(found, draw(place), draw(place))
            continue
        inside = list(places(line))
        if not inside:
            continue
        at = inside[draw(place) % len(inside)]
        value = functools.reduce(lambda part, key: part[key], at, line)
        if kind == "nested":
            value = functools.reduce(lambda inner, _: [inner], range(draw(st.integers(1, 600))), 1)
        elif draw(st.booleans()) and isinstance(value, (list, dict, float)):
            value = scaled(value, draw(st.sampled_from(FACTORS)))
        else:
            value = draw(SPOILT.get(type(value), anything))
        touched = [line]
        if kind in ("contender", "kind"):
            touched = [
                one
                for one in found
                if alike(one, line, ("kind", "algorithm")[: 1 + (kind == "contender")])
            ]
        for one in touched:
            put(one, at, value, remove=kind == "remove")
    content = b"".join(json.dumps(line).encode() + b"\n" for line in found)
    how = draw(st.sampled_from(["json"] * 16 + ["corrupted"] * 2 + ["gz", "spoiled gz"]))
    if how == "corrupted":
        content = draw(spoiled(content))
    if how in ("json", "corrupted"):
        return ".jsonl", content
    content = gzip.compress(content, 1, mtime=0)
    return ".jsonl.gz", content if how == "gz" else draw(spoiled(content))


# ---- command lines -------------------------------------------------------------------------


SOUND = {
    "files": ["a.jsonl", "b.jsonl"],
    "a": ["a.jsonl"],
    "b": ["b.jsonl"],
    "sweep": ["sweep.toml", "quick"],
    "sizes": ["12", "8:16:4"],
    "kernels": ["3", "3:5:2"],
    "device": ["cpu"],
    "out": ["new/made.jsonl", "a.jsonl"],
    "budget": ["1s"],
    "problems": ["1"],
    "image_data": ["normal", "photo,impulses"],
    "kernel_data": ["normal", "rank-1"],
}


def commands() -> dict[str, Any]:
    """The commands with their parameters, as they are."""
    built: Any = typer.main.get_command(app.app) if isinstance(app.app, typer.Typer) else app.app
    return dict(built.commands)


@st.composite
def command_lines(
    draw: Callable[[st.SearchStrategy[Any]], Any], files: list[str], only: tuple[str, ...] = ()
) -> list[str]:
    """Arguments of real commands, many of them real options, with values that may be anything."""
    known = commands()
    name = draw(st.sampled_from(sorted(only or known)))
    value = st.sampled_from(files) | text | st.sampled_from(PLAUSIBLE)
    options = [one for one in known[name].params if one.param_type_name == "option"]
    arguments = [one for one in known[name].params if one.param_type_name == "argument"]
    found: list[str] = []
    for _ in range(draw(st.integers(0, 3))):
        option = draw(st.sampled_from(options))
        found.append(draw(st.sampled_from(option.opts)))
        if not option.is_flag and draw(st.integers(0, 9)):
            found.append(draw(st.sampled_from(SOUND.get(option.name, PLAUSIBLE)) | value))
    for argument in arguments:
        if draw(st.integers(0, 9)):
            allowed = SOUND.get(argument.name, files)
            found.insert(0, draw(st.sampled_from(allowed) | st.sampled_from(files)))
    if not draw(st.integers(0, 9)):
        found.insert(draw(place) % (len(found) + 1), draw(value | st.just("--") | st.just("-x")))
    first = name if draw(st.integers(0, 19)) else draw(value)
    return [first, *(one.replace("\0", "") for one in found)]
