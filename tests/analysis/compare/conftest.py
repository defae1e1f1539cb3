"""The command, in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from convcross.cli import app


@pytest.fixture
def convcross(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """``convcross compare`` with these arguments: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["convcross", "compare", *map(str, arguments)])
        code = app._main()
        return code, *capsys.readouterr()

    return run
