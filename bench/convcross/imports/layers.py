"""A public list of layers as a sweep, which ``run`` takes."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from convcross.errors import BadInput, first_complaint
from convcross.imports import formats
from convcross.sweeps import spec
from convcross.sweeps.spec import MOST, Layer
from convcross.text import one_line
from convkernels.problem import Problem

LARGEST_FILE = 64 << 20  # bytes of a list
CPU_BATCH = 8  # of a layer on a CPU, at most, as in the sweep cnn
SHOWN = 5  # numbers of lines that are told of one fault


@dataclass
class Layers:
    """What a list holds.

    Attributes
    ----------
    layers : each once
    again : how many are the same as an earlier one
    faults : why a line is no layer → the lines
    """

    layers: list[Layer]
    again: int
    faults: dict[str, list[int]]

    def sentences(self) -> list[str]:
        """What was left out."""
        found = [f"{self.again} found twice"] if self.again else []
        for fault, lines in self.faults.items():
            some = ", ".join(map(str, lines[:SHOWN])) + (", …" if len(lines) > SHOWN else "")
            found.append(f"{len(lines)} left out: {fault} (line {some})")
        return found


def read(path: Path) -> Layers:
    """The layers of DeepBench's, oneDNN's or tritonbench's lists, or of plain CSV: see ``formats``.

    Raises BadInput on a file that cannot be read, is none of them, or holds no layer.
    """
    where = f"layers {path}"
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise BadInput(f"{where}: larger than {LARGEST_FILE >> 20} MiB; allowed: a list")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"{where}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{where}: not a text file") from None
    parse = formats.reader(text)
    if parse is None:
        raise BadInput(
            f"{where}: no list of layers; allowed: DeepBench's conv_problems.h, lines of oneDNN's "
            "benchdnn as ic3ih224oc64oh112kh7sh2ph3, traces of aten.convolution as tritonbench has "
            f"them, or CSV with columns {', '.join(formats.CSV_NEEDED)}"
        )
    found = Layers([], 0, {})
    known: dict[tuple[Any, ...], Layer] = {}
    names: Counter[str] = Counter()
    for line, fields in parse(text):
        layer = fields if isinstance(fields, str) else _layer(fields, f"{path.name}:{line}", names)
        if isinstance(layer, str):
            found.faults.setdefault(layer, []).append(line)
            continue
        key = tuple(map(str, layer.fields().values()))
        found.again += known.setdefault(key, layer) is not layer
    found.layers = list(known.values())
    if not found.layers:
        why = f"; {'; '.join(found.sentences())}" if found.faults else ""
        raise BadInput(f"{where}: no layer{why}")
    if len(found.layers) > MOST:
        raise BadInput(f"{where}: {len(found.layers)} layers; allowed: up to {MOST}")
    return found


def _layer(fields: dict[str, Any], source: str, names: Counter[str]) -> Layer | str:
    """The layer, or what is wrong with it."""
    said = one_line(str(fields["name"]), 60)
    try:
        layer = Layer.model_validate(fields | {"name": said or "layer", "source": source})
        Problem(**layer.fields(), mode=None if layer.padding else "same")
    except ValidationError as error:
        return one_line(first_complaint(error), 200)
    except ValueError as error:
        return one_line(str(error), 200)
    # Names tell layers apart in tables: what has none, or shares it, is numbered.
    names[said] += 1
    if not said or names[said] > 1:
        layer.name = f"{layer.name} {names[said]}"
    return layer


def toml(found: Layers, name: str, path: Path) -> str:
    """The layers as a sweep."""
    lines = [
        f"title = {_value(f'{len(found.layers)} layers of {path.name}')}",
        'ops = ["correlation"]',
        f"cpu_batch = {CPU_BATCH}  # at most so many images on a CPU; each record says so",
    ]
    for layer in found.layers:
        lines += ["", "[[layers]]"]
        given = layer.model_dump(mode="json", exclude_defaults=True)
        plain = [key for key in ("stride", "dilation") if given.get(key) == [1, 1]]
        lines += [f"{key} = {_value(value)}" for key, value in given.items() if key not in plain]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """Text, a whole number or lists of them, which TOML writes as JSON does."""
    return json.dumps(value, ensure_ascii=False)


def import_layers(path: Path, out: Path | None) -> tuple[Path, Layers]:
    """Write a sweep of the layers of a list: the file, and what it holds.

    Parameters
    ----------
    path : see ``read``
    out : a new TOML file; None for one of the name of the list, in this folder

    Raises BadInput as ``read`` does, and on a place that is taken or cannot be written.
    """
    target = out or Path(f"{path.stem}.toml")
    found = read(path)
    try:
        with open(target, "x", encoding="utf-8") as file:
            file.write(toml(found, target.stem, path))
    except FileExistsError:
        raise BadInput(f"sweep {target} exists; allowed: a new file (--out)") from None
    except OSError as error:
        raise BadInput(f"sweep {target} cannot be written: {error.strerror}") from None
    spec.load(str(target))  # it is one that run takes
    return target, found
