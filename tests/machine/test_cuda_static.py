"""The static evidence of the CUDA kernels: its arithmetic by hand, and that it says what it is."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from rich.table import Table

from convkernels.cuda import disassembly, nvrtc

SCRIPT = Path(__file__).parents[2] / "bench" / "cuda-static.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    if reason := nvrtc.missing("nvrtc"):
        pytest.skip(reason)
    spec = importlib.util.spec_from_file_location("cuda_static", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cells(table: Table, heading: str) -> list[str]:
    (column,) = (column for column in table.columns if column.header == heading)
    return [str(cell) for cell in column.cells]


@pytest.fixture
def few(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """One kernel of them all: each takes half a second to compile."""
    first = next(iter(script.kernels()))
    monkeypatch.setattr(script, "kernels", lambda: [first])


@pytest.mark.usefixtures("few")
def test_all_that_is_printed_is_marked(script: ModuleType) -> None:
    tables = [script.resources("nvrtc"), script.times("h200", "nvrtc")]
    if not disassembly.missing():
        tables.append(script.instructions("nvrtc"))
    assert all("static, not measured" in str(table.title) for table in tables)


def test_times_of_a_card(script: ModuleType) -> None:
    """An H200 by hand: 2·4096² numbers of 4 bytes at 4.8 TB/s are 28 µs, 2·15²·4096² FLOP at 67
    TFLOP/s 113 µs."""
    table = script.times("h200", "nvrtc")
    rows = [str(n) for n in script.SIZES]
    assert cells(table, "n") == rows
    assert set(cells(table, "memory")) == {"28 µs"}
    direct = dict(zip(rows, cells(table, "cuda-direct at least"), strict=True))
    assert float(direct["15"].removesuffix(" µs")) == pytest.approx(113, abs=1)
    assert float(direct["33"].removesuffix(" µs")) == pytest.approx(545, abs=2)


@pytest.mark.usefixtures("few")
def test_without_a_disassembler_the_rest_is_told(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(disassembly, "tool", lambda: None)
    script.main()
    printed = capsys.readouterr().out
    assert "instructions are not counted: no nvdisasm: pip install" in printed
    assert "unknown" in printed
