"""The file of a machine's ceilings, and which figures of two measurements stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from convcross.errors import BadInput
from convcross.machine.ceilings import Ceilings, better, ladder, load, write


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def made(**more: Any) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "machine": "a-machine",
        "device": "cpu",
        "threads": 2,
        "measured_at": "2026-11-22T16:00:00+00:00",
        "commit": "abc",
        "versions": {"torch": "2.13.0", "cupy": None},
        "cuda": None,
        "flops": {"float64": 1e11, "float32": 2e11, "float16": 3e9, "bfloat16": 4e11},
        "bytes": [(16384, 2e11), (32768, 1e11)],
        "neighbours": {"others": 0.0, "stolen": 0.0},
    }
    return Ceilings(**figures | more).model_dump(mode="json")


# ---- the file --------------------------------------------------------------------------------


def test_what_is_written_is_read() -> None:
    assert load("a-machine") is None
    assert write(made()) == Path("results/a-machine/ceilings.json")
    assert load("a-machine") == made()
    assert [path.name for path in Path("results/a-machine").iterdir()] == ["ceilings.json"]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: text[:-40], "Invalid JSON"),
        (lambda text: "", "Invalid JSON"),
        (lambda text: "[]", "should be an object"),
        (lambda text: text.replace('"ceilings"', '"header"'), "kind: Input should be 'ceilings'"),
        (lambda text: text.replace('"float16"', '"float8"'), "flops: no rate for float16"),
        (lambda text: text.replace("400000000000.0", "NaN"), "flops.bfloat16: Input should be"),
        (lambda text: text.replace("3000000000.0", "-1"), "flops.float16: Input should be"),
        (lambda text: text.replace('"threads"', '"thread"'), "threads: missing"),
        (lambda text: text.replace("a-machine", "b"), "machine is 'b'; allowed: a-machine"),
    ],
)
def test_a_damaged_file_is_told(damage: Any, told: str) -> None:
    file = write(made())
    text = file.read_text()
    assert damage(text) != text
    file.write_text(damage(text))
    with pytest.raises(BadInput, match=r"ceilings file results/a-machine/ceilings\.json") as caught:
        load("a-machine")
    assert told in str(caught.value)


def test_a_file_without_a_step_is_told() -> None:
    file = write(made())
    file.write_text(json.dumps(made() | {"bytes": []}))
    with pytest.raises(BadInput, match="bytes: List should have at least 1 item"):
        load("a-machine")


def test_a_place_that_takes_no_file_is_told() -> None:
    Path("results").write_text("a file")
    with pytest.raises(BadInput, match=r"ceilings\.json cannot be written: "):
        write(made())
    with pytest.raises(BadInput, match=r"ceilings\.json cannot be read: "):
        load("a-machine")


# ---- what is kept ----------------------------------------------------------------------------


def test_a_smaller_set_is_never_slower_than_a_larger_one() -> None:
    measured = [(4, 1.0), (2, 3.0), (1, 2.0), (2, 2.5), (8, 0.5), (4, 0.9)]
    assert ladder(measured) == [(1, 3.0), (2, 3.0), (4, 1.0), (8, 0.5)]


def test_the_better_of_each_figure_stays() -> None:
    earlier = made(neighbours={"others": 0.1, "stolen": 0.0})
    now = made(
        threads=1,
        commit="def",
        flops=earlier["flops"] | {"float32": 1e11, "float64": 5e11},
        bytes=[(32768, 3e11), (65536, 9e10)],
        neighbours={"others": 0.3, "stolen": 0.0},
    )
    best = better(earlier, now)
    assert best["flops"] == earlier["flops"] | {"float64": 5e11}
    assert best["bytes"] == [[16384, 3e11], [32768, 3e11], [65536, 9e10]]
    assert (best["threads"], best["commit"]) == (2, "def")
    assert best["neighbours"] == earlier["neighbours"]
    assert better(best, best) == best
    assert better(None, now) == now
    write(best)
    assert load("a-machine") == best
