"""Public lists of layers, a line or a row a layer: how each is read.

| format | a layer | described by |
|---|---|---|
| DeepBench | `make_tuple(w, h, c, n, k, s, r, pad_w, pad_h, stride_w, stride_h)` | its own file |
| oneDNN | `g1mb2_ic3ih224oc64oh112kh7sh2dh0ph3_n"name"` | benchdnn, doc/driver_conv.md |
| tritonbench | `((T([n, c, h, w], f16), T([k, c, r, s], f16), None, [2, 2], …), {})` | its inputs |
| CSV | columns of ``CSV_NEEDED`` and ``CSV_COLUMNS`` | here |
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from typing import Any

Fields = dict[str, Any]  # of a ``spec.Layer``
# (line, what was found there): a layer's fields, or why the line is none.
Found = Iterator[tuple[int, Fields | str]]

TUPLE = re.compile(r"make_tuple\(([^()]*)\)")
SET = re.compile(r">\s*(\w+)\s*=")  # the name of the vector that the tuples are in
BENCHDNN = re.compile(r"^[a-z_\d-]+?(?:_?n\"(?P<name>[^\"]*)\")?$")
KEY = re.compile(r"([a-z]{1,2})(-?\d+)")
INTS = r"\[\s*(-?\d+(?:,\s*-?\d+)*)\s*\]"
TENSOR = rf"T\({INTS}, \w+(?:, [^()]*(?:\([^()]*\))?)?\)"
ATEN = re.compile(
    rf"\(\(\s*{TENSOR}, {TENSOR}, (?:None|T\([^()]*\)), "
    rf"{INTS}, {INTS}, {INTS}, (False|True), {INTS}, (\d+)\)"
)
CSV_NEEDED = ("H", "W", "kh", "kw")
CSV_COLUMNS = {  # → the default, where a column or its value is missing
    "name": "",
    "batch": "1",
    "in_channels": "1",
    "out_channels": "1",
    "groups": "1",
    "pad_h": "",  # none: the sweep's mode
    "pad_w": "",
    "stride_h": "1",
    "stride_w": "1",
    "dilation_h": "1",
    "dilation_w": "1",
}


def deepbench(text: str) -> Found:
    """Of DeepBench's conv_problems.h; image and kernel are w × h there, and h × w here."""
    name = "layer"
    for number, line in enumerate(text.splitlines(), start=1):
        code = line.partition("//")[0]
        name = found[1] if (found := SET.search(code)) else name
        for numbers in TUPLE.findall(code):
            try:
                w, h, c, n, k, s, r, pad_w, pad_h, stride_w, stride_h = map(int, numbers.split(","))
            except ValueError:
                yield number, "a make_tuple without 11 whole numbers"
                continue
            yield (
                number,
                {
                    "name": name,
                    "image": [h, w],
                    "kernel": [r, s],
                    "batch": n,
                    "in_channels": c,
                    "out_channels": k,
                    "padding": [[pad_h, pad_h], [pad_w, pad_w]],
                    "stride": [stride_h, stride_w],
                },
            )


def benchdnn(text: str) -> Found:
    """Descriptors of oneDNN's benchdnn, a line each; options and comments are passed over.

    A width that is not named is the height; without a height, the image is a line. The padding
    below and to the right is what the output's size leaves.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.partition("#")[0].strip()
        if not line or line.startswith("--"):
            continue
        match = BENCHDNN.match(line)
        if match is None:
            yield number, "no descriptor of a convolution"
            continue
        pairs = KEY.findall(line.partition('n"')[0])
        yield number, _described({key: int(value) for key, value in pairs}, match["name"] or "")


def _described(keys: dict[str, int], name: str) -> Fields | str:
    if {"id", "kd"} & keys.keys():
        return "a convolution in three dimensions"
    if not {"ic", "oc"} <= keys.keys() or not {"ih", "iw"} & keys.keys():
        return "no descriptor of a convolution"
    height = "ih" in keys

    def axis(side: str) -> tuple[int, int, int, int, list[int]]:
        """Image, kernel, stride, dilation, padding: one axis, as the other where it is unnamed."""
        own = side if f"i{side}" in keys else "h"
        size, kernel = keys[f"i{own}"], keys.get(f"k{own}", 0)
        stride, dilation = keys.get(f"s{own}", 1), keys.get(f"d{own}", 0) + 1
        extent = (kernel - 1) * dilation + 1
        before = keys.get(f"p{own}")
        out = keys.get(f"o{own}")
        if before is None:
            before = 0 if out is None else max(0, ((out - 1) * stride + extent - size) // 2)
        after = before if out is None else (out - 1) * stride + extent - size - before
        return size, kernel, stride, dilation, [before, max(0, after)]

    down = axis("h") if height else (1, 1, 1, 1, [0, 0])
    across = axis("w")
    if min(down[1], across[1]) < 1:
        return "no size of the kernel"
    return {
        "name": name,
        "image": [down[0], across[0]],
        "kernel": [down[1], across[1]],
        "batch": keys.get("mb", 2),
        "in_channels": keys["ic"],
        "out_channels": keys["oc"],
        "groups": keys.get("g", 1),
        "padding": [down[4], across[4]],
        "stride": [down[2], across[2]],
        "dilation": [down[3], across[3]],
    }


def tritonbench(text: str) -> Found:
    """Calls of aten.convolution among traced operators: text files, or the JSON of input configs.

    Arguments: image, weight, bias, stride, padding, dilation, transposed, output padding, groups.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        for match in ATEN.finditer(line):
            x, w, *lists = (
                [int(part) for part in group.split(",")] for group in match.group(1, 2, 3, 4, 5)
            )
            if match[6] == "True":
                yield number, "a transposed convolution"
                continue
            if len(x) != len(w) or len(x) not in (3, 4):
                yield number, "a convolution in three dimensions"
                continue
            if len(x) == 3:  # a line
                x, w = ([*shape[:2], 1, shape[2]] for shape in (x, w))
                lists = [[neutral, *own] for neutral, own in zip((1, 0, 1), lists, strict=True)]
            stride, pads, dilation = (own * 2 if len(own) == 1 else own for own in lists)
            yield (
                number,
                {
                    "name": "",
                    "image": x[2:],
                    "kernel": w[2:],
                    "batch": x[0],
                    "in_channels": x[1],
                    "out_channels": w[0],
                    "groups": int(match[8]),
                    "padding": [[pad, pad] for pad in pads],
                    "stride": stride,
                    "dilation": dilation,
                },
            )


def plain_csv(text: str) -> Found:
    """A header and a row a layer."""
    rows = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    for row in rows:
        given = {key.strip(): value.strip() for key, value in row.items() if key and value}
        own = CSV_COLUMNS | {key: value for key, value in given.items() if value}
        if missing := [key for key in CSV_NEEDED if key not in own]:
            yield rows.line_num, f"no {', '.join(missing)}"
            continue
        try:
            fields = _of_row(own)
        except ValueError:
            yield rows.line_num, "what should be a whole number is none"
            continue
        yield rows.line_num, fields


def _of_row(row: dict[str, str]) -> Fields:
    def pair(first: str, second: str) -> list[int]:
        return [int(row[first]), int(row[second])]

    fields: Fields = {key: int(row[key]) for key in list(CSV_COLUMNS)[1:5]}
    fields |= {"name": row["name"], "image": pair("H", "W"), "kernel": pair("kh", "kw")}
    fields |= {key: pair(f"{key}_h", f"{key}_w") for key in ("stride", "dilation")}
    if row["pad_h"] or row["pad_w"]:
        pads = [int(row[key] or 0) for key in ("pad_h", "pad_w")]
        fields["padding"] = [[pad, pad] for pad in pads]
    return fields


def reader(text: str) -> Callable[[str], Found] | None:
    """Which of the formats a text has; None where it is none of them."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    described = (line for line in lines if not line.startswith(("#", "--")))
    first = next(described, "")
    if "make_tuple(" in text:
        return deepbench
    if ATEN.search(text) or "aten." in text:
        return tritonbench
    if {key.strip() for key in first.split(",")} >= set(CSV_NEEDED):
        return plain_csv
    if BENCHDNN.match(first) and {key for key, _ in KEY.findall(first)} >= {"ic", "oc"}:
        return benchdnn
    return None
