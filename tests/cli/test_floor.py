"""``convcross floor``: a table or JSON of published cards and of this machine; bad input."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from convcross.cli import app
from convcross.machine import ceilings, describe


@pytest.fixture
def floor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Run ``convcross floor`` in a folder of its own: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["convcross", "floor", *arguments])
        code = app._main()
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def keep_ceilings() -> None:
    ceilings.write(
        ceilings.Ceilings(
            machine=describe.name("cpu"),
            device="cpu",
            threads=2,
            measured_at="2026-11-22T16:00:00+00:00",
            commit="abc",
            versions={},
            cuda=None,
            flops={"float64": 1e11, "float32": 2e11, "float16": 3e9, "bfloat16": 4e11},
            bytes=[(16384, 2e11), (1 << 27, 4e10)],
            neighbours={},
        ).model_dump(mode="json")
    )


def test_a_card_that_is_not_here(floor: Any) -> None:
    code, out, err = floor("--card", "h200", "--sizes", "1024,4096")
    assert (code, err) == (0, "")
    assert "NVIDIA H200 SXM, float32: n* of direct and FFT by arithmetic, not measured" in out
    assert "67 TFLOP/s, 4.8 TB/s; cache 60 MiB, a tile's memory 227 KiB" in out
    assert "peak, bandwidth: NVIDIA H200 Tensor Core GPU datasheet, 2024" in out
    [row] = [line for line in out.splitlines() if "4096" in line]
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [
        "4096",
        "20.5",
        "14.0",
        "7.5 to 9.0 (64²)",
    ]


def test_several_cards_as_json(floor: Any) -> None:
    named = ["--card", "a100-80gb-sxm", "--card", "epyc-9354"]
    code, out, err = floor(*named, "--dtype", "float64", "--sizes", "4096:8192:4096", "--json")
    assert (code, err) == (0, "")
    a100, epyc = json.loads(out)
    assert a100["arithmetic_only"]
    assert (a100["name"], a100["peak"], a100["dtype"]) == (
        "NVIDIA A100 80GB SXM",
        9.7e12,
        "float64",
    )
    assert epyc["bandwidth"] == 460.8e9
    assert [row["N"] for row in a100["rows"]] == [4096, 8192]
    for row in a100["rows"]:
        assert set(row) == {"N", "n_star", "n_star_unpaired", "tile"}
        assert row["n_star"]["tiles"] < row["n_star"]["fused"] < row["n_star"]["pipeline"]
        assert all(row["n_star_unpaired"][name] >= n for name, n in row["n_star"].items())


def test_this_machine(floor: Any) -> None:
    keep_ceilings()
    code, out, err = floor("--device", "cpu", "--sizes", "256")
    assert (code, err) == (0, "")
    assert f"{describe.name('cpu')}, float32: n* of direct and FFT by arithmetic" in out
    assert "200 GFLOP/s, 40 GB/s; cache " in out
    assert "ceilings measured 2026-11-22, 2 threads" in out
    beside = json.loads(floor("--device", "cpu", "--card", "l4", "--sizes", "256", "--json")[1])
    assert [machine["name"] for machine in beside] == [describe.name("cpu"), "NVIDIA L4"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--card", "h2000"], "card is 'h2000'; allowed: h200, h100-sxm, "),
        (["--card", "h200", "--dtype", "float16"], "dtype is 'float16'; allowed: float32, float64"),
        (["--card", "h200", "--sizes", "0"], "sizes.0: Input should be greater than or equal to 1"),
        (["--card", "h200", "--sizes", "1,999999"], "sizes.1: Input should be less than or equal"),
        (["--card", "h200", "--sizes", "big"], "sizes: 'big' is not a size; allowed: "),
        (["--device", "cuda:99"], "device is 'cuda:99'; allowed: cpu"),
        (["--device", "cpu"], "measure them: convcross doctor --ceilings --device cpu"),
    ],
)
def test_bad_input(floor: Any, arguments: list[str], told: str) -> None:
    """The last of them: no ceilings yet."""
    code, out, err = floor(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("convcross: ")
    assert err.count("\n") == 1
    assert told in err


def test_damaged_ceilings_are_told(floor: Any) -> None:
    keep_ceilings()
    ceilings.path(describe.name("cpu")).write_text("{}")
    code, out, err = floor("--device", "cpu")
    assert (code, out) == (2, "")
    assert "machine: missing; allowed: what convcross doctor --ceilings writes" in err
