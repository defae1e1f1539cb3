"""The statistics: every file names its source, and the proof that simulates it."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOM = ROOT / "bench" / "convcross" / "stats"
FILES = sorted(path for path in ROOM.glob("*.py") if path.stem not in ("__init__", "confidence"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_names_its_source_and_its_proof(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    words = ast.get_docstring(tree) or ""
    proofs = re.findall(r"tests/proofs/\w+\.py", words)
    assert proofs, "no proof is named"
    assert all((ROOT / proof).is_file() for proof in proofs)
    assert re.search(r"\b(19|20)\d\d\b", words), "no source is named"
    public = [
        node
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    ]
    assert public
    assert all(ast.get_docstring(node) for node in public)


def test_the_room_needs_nothing_but_numpy_and_scipy() -> None:
    allowed = {"convcross.stats", "numpy", "scipy", *sys.stdlib_module_names}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                name = node.module or ""
                top = name.partition(".")[0]
                assert top in allowed or name.startswith("convcross.stats"), (path.name, name)
