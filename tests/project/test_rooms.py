"""The rooms: every module in one, every import downwards, no circle, faces without code.

Each check is a function of a tree of source files, so that the tests below can plant what it must
find.
"""

from __future__ import annotations

import ast
import dataclasses
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = (ROOT / "bench", ROOT / "kernels")
TOP = ("convcross", "convkernels")  # the only faces with code: public names and a version
LONGEST = 400  # lines of a file

# Floors of the house, from the roof down: a room may import those of floors below, and itself.
FLOORS = (
    ("convcross.__main__",),
    ("convcross.cli",),
    ("convcross.demo",),
    ("convcross.advice", "convcross.crosscheck", "convcross.run", "convcross.report"),
    ("convcross.measure", "convcross.analysis", "convcross.imports"),
    ("convcross.results", "convcross.sweeps", "convcross.machine"),
    ("convcross.stats", "convcross.text", "convcross.errors", "convcross"),
    ("convkernels",),
)


@dataclasses.dataclass(frozen=True)
class Module:
    """A module of ours: its name, its file, and the modules of ours that it imports."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def is_face(self) -> bool:
        return self.path.name == "__init__.py"


def modules(roots: tuple[Path, ...]) -> dict[str, Module]:
    """Every module under the source roots, by its dotted name."""
    found = {}
    for root in roots:
        for path in sorted(root.glob("conv*/**/*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = Module(name, path, ast.parse(path.read_text(encoding="utf-8")))
    return found


def imports(module: Module, known: dict[str, Module]) -> Iterator[str]:
    """Names of the known modules that it imports, in functions and TYPE_CHECKING blocks too."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in known:
                    yield full
                elif node.module in known:
                    yield node.module


def room(name: str) -> str:
    """The room of a floor that a module lies in, or "" for none."""
    rooms = [one for floor in FLOORS for one in floor if f"{name}.".startswith(f"{one}.")]
    longest = max(rooms, key=len, default="")
    # The top package is no room: what lies in it belongs to one of its own.
    return "" if longest == "convcross" and name != "convcross" else longest


def outside(known: dict[str, Module]) -> list[str]:
    """Modules of no room."""
    return [name for name in known if not room(name)]


def upwards(known: dict[str, Module]) -> list[str]:
    """Imports against the order of the floors."""
    floor = {one: number for number, floor in enumerate(FLOORS) for one in floor}
    return [
        f"{name} imports {other}"
        for name, module in known.items()
        for other in imports(module, known)
        if room(name) != room(other)
        and floor.get(room(other), -1) <= floor.get(room(name), len(FLOORS))
    ]


def circle(known: dict[str, Module]) -> list[str]:
    """The modules of one circle of imports, or none."""
    graph = {name: set(imports(module, known)) - {name} for name, module in known.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def faces_with_code(known: dict[str, Module]) -> list[str]:
    """Packages whose ``__init__`` holds more than a docstring."""
    return [
        module.name
        for module in known.values()
        if module.is_face
        and module.name not in TOP
        and (len(module.tree.body) != 1 or ast.get_docstring(module.tree) is None)
    ]


def hidden(known: dict[str, Module]) -> list[str]:
    """Imports that ``imports`` cannot see: relative ones, and ours by a string."""
    found = []
    for module in known.values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                found.append(f"{module.name}:{node.lineno} is relative")
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            called = node.func.id if isinstance(node.func, ast.Name) else called
            name = node.args[0]
            text = ast.unparse(name).strip("f'\"")
            if called in ("import_module", "__import__") and text.split(".")[0] in TOP:
                found.append(f"{module.name}:{node.lineno} imports {text} by a string")
    return found


def long_files(*roots: Path) -> list[str]:
    """Python files of more than LONGEST lines."""
    return [
        f"{path.relative_to(ROOT)}: {count} lines"
        for root in roots
        for path in sorted(root.rglob("*.py"))
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST
    ]


@pytest.fixture(scope="module")
def house() -> dict[str, Module]:
    found = modules(SOURCES)
    assert len(found) > 130  # it did look
    return found


def test_every_module_lies_in_a_room(house: dict[str, Module]) -> None:
    assert outside(house) == []


def test_no_import_runs_upwards(house: dict[str, Module]) -> None:
    assert upwards(house) == []


def test_no_circle(house: dict[str, Module]) -> None:
    assert circle(house) == []


def test_faces_hold_a_docstring_alone(house: dict[str, Module]) -> None:
    assert faces_with_code(house) == []


def test_no_import_is_hidden(house: dict[str, Module]) -> None:
    assert hidden(house) == []


def test_files_are_short() -> None:
    assert long_files(ROOT / "bench", ROOT / "kernels", ROOT / "tests") == []


# ---- the checks find what is planted -----------------------------------------------------------


def planted(folder: Path, files: dict[str, str]) -> dict[str, Module]:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return modules((folder,))


def test_a_planted_circle_is_found(tmp_path: Path) -> None:
    found = planted(
        tmp_path,
        {
            "convcross/run/a.py": "from convcross.run import b\n",
            "convcross/run/b.py": (
                "from typing import TYPE_CHECKING\n"
                "if TYPE_CHECKING:\n    from convcross.run.a import Name\n"
            ),
        },
    )
    assert set(circle(found)) == {"convcross.run.a", "convcross.run.b"}


def test_a_planted_import_upwards_or_across_is_found(tmp_path: Path) -> None:
    found = planted(
        tmp_path,
        {
            "convcross/machine/a.py": "def f():\n    from convcross.measure import b\n",
            "convcross/measure/b.py": "from convcross.analysis.c import name\n",
            "convcross/analysis/c.py": "import convcross.machine.a\n",
            "convkernels/d.py": "from convcross.errors import BadInput\n",
            "convcross/errors.py": "",
        },
    )
    assert upwards(found) == [
        "convcross.machine.a imports convcross.measure.b",
        "convcross.measure.b imports convcross.analysis.c",
        "convkernels.d imports convcross.errors",
    ]


def test_a_module_outside_a_room_is_found(tmp_path: Path) -> None:
    found = planted(tmp_path, {"convcross/loose.py": "", "convcross/machine/a.py": ""})
    assert outside(found) == ["convcross.loose"]


def test_a_face_with_code_is_found(tmp_path: Path) -> None:
    files = {
        "convcross/__init__.py": "__version__ = '1'\n",
        "convcross/run/__init__.py": '"""Its docstring."""\n',
        "convcross/report/__init__.py": '"""Its docstring."""\nfrom pathlib import Path\n',
        "convcross/demo/__init__.py": "",
    }
    assert faces_with_code(planted(tmp_path, files)) == ["convcross.demo", "convcross.report"]


def test_a_hidden_import_is_found(tmp_path: Path) -> None:
    files = {
        "convcross/run/a.py": "from . import b\n",
        "convcross/run/b.py": "import importlib\nimportlib.import_module('convcross.cli.app')\n",
        "convcross/run/c.py": "import importlib\nimportlib.import_module('torch')\n",
    }
    assert hidden(planted(tmp_path, files)) == [
        "convcross.run.a:1 is relative",
        "convcross.run.b:2 imports convcross.cli.app by a string",
    ]


def test_a_long_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "long.py").write_text("\n" * (LONGEST + 1))
    (tmp_path / "short.py").write_text("\n" * LONGEST)
    assert long_files(tmp_path) == [f"long.py: {LONGEST + 1} lines"]
