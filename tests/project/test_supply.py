"""Nothing that is read from results is code, and text of others stays text wherever it is shown."""

from __future__ import annotations

import ast
import csv
import io
import json
import logging
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcross.cli import app
from convcross.report import report
from convcross.results.schema import Provenance, Telemetry
from convcross.text import csv_cell, file_name, one_line, slug
from support import hostile, pages, synthetic

SOURCES = sorted(
    path
    for root in ("bench", "kernels")
    for path in (Path(__file__).parents[2] / root).rglob("*.py")
)

# ---- code ----------------------------------------------------------------------------------

# What runs or builds whatever it is given.
CALLS = {"eval", "exec", "compile", "__import__", "execfile"}
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}
LOADERS = {("torch", "load"), ("np", "load"), ("numpy", "load"), ("pd", "read_pickle")}
# What a file may call, and why.
ALLOWED = {
    "convkernels/discovery.py": (
        "exec_module",
        "a user's --algorithms file: code, and said to be",
    ),
}


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Each call with the dotted name of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


def dangers(source: str) -> list[str]:
    """What in a source may run code that it is given."""
    tree = ast.parse(source)
    found = []
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        found += [name for name in names if name.partition(".")[0] in MODULES]
    for call, name in calls(tree):
        parts = tuple(name.split("."))
        told = {keyword.arg: keyword.value for keyword in call.keywords}
        if name in CALLS or parts[-1] == "exec_module" or parts[-2:] in LOADERS:
            found.append(parts[-1])
        if "allow_pickle" in told or ("shell" in told and ast.unparse(told["shell"]) != "False"):
            found.append(name)
        if name == "os.system" or name == "os.popen":
            found.append(name)
    return found


@pytest.mark.parametrize(
    "source",
    [
        "eval(line)",
        "exec(line)",
        "import pickle",
        "from marshal import loads",
        "import torch\ntorch.load(path)",
        "np.load(path)",
        "numpy.load(path, allow_pickle=True)",
        "subprocess.run(command, shell=True)",
        "loader.exec_module(module)",
        "import yaml",
        "os.system(command)",
    ],
)
def test_what_runs_what_it_is_given_is_found(source: str) -> None:
    assert dangers(source)


@pytest.mark.parametrize("source", ["json.loads(line)", "re.compile(text)", "state.exec(launch)"])
def test_what_does_not_is_not(source: str) -> None:
    assert not dangers(source)


def test_no_source_runs_what_it_reads() -> None:
    found = {
        "/".join(path.parts[-2:]): dangers(path.read_text(encoding="utf-8")) for path in SOURCES
    }
    assert len(found) > 80
    assert {name: what for name, what in found.items() if what} == {
        name: [what] for name, (what, _) in ALLOWED.items()
    }


def test_templates_escape_and_only_our_own_scripts_are_markup() -> None:
    folder = Path(report.__file__).parent / "templates"
    templates = [path.read_text() for path in folder.glob("*.j2")]
    assert len(templates) == 3
    assert not any(re.search(r"\|\s*safe|autoescape|<[^>]*\son\w+=", one) for one in templates)
    marked = [
        (path.name, name)
        for path in SOURCES
        for _, name in calls(ast.parse(path.read_text(encoding="utf-8")))
        if name.endswith("Markup")
    ]
    assert marked == [("page.py", "Markup")]


# ---- text ----------------------------------------------------------------------------------

any_text = st.sampled_from(hostile.TEXTS) | st.text(max_size=40)


@given(any_text, st.integers(1, 30))
def test_one_line_is_printable_and_short(text: str, most: int) -> None:
    line = one_line(text, most)
    assert len(line) <= most
    assert line.isprintable()
    assert one_line(line, most) == line


@given(st.text("abcæ∗é0-_ .$<&[", max_size=30))
def test_what_is_printable_stays(text: str) -> None:
    assert one_line(text) == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\n b\t\r\nc", "a b c"),
        ("\x1b[2Jx", "?[2Jx"),
        ("a\u202eb\u2066c", "a?b?c"),
        ("a\u2028b\x85c\xa0d", "a b c d"),
        ("a\x00\x7f\ud800b", "a???b"),
    ],
)
def test_what_steers_a_terminal_is_a_question_mark(text: str, shown: str) -> None:
    assert one_line(text) == shown


@given(any_text)
def test_a_file_name_is_one_place_in_its_folder(text: str) -> None:
    name = file_name(text)
    assert re.fullmatch(r"[a-zA-Z0-9_+][a-zA-Z0-9._+-]{0,99}", name)
    assert (Path("reports") / name).parent == Path("reports")
    assert file_name(name) == name
    assert re.fullmatch(r"[a-z0-9-]{0,150}", slug(text))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("amd-epyc-2c", "amd-epyc-2c"),
        ("20261122T151626Z-quick-abc9d724ede0", "20261122T151626Z-quick-abc9d724ede0"),
        ("../../x", "x"),
        ("/etc/passwd", "etc-passwd"),
        ("..", "unnamed"),
        ("", "unnamed"),
        (".hidden", "hidden"),
        ("a\0b", "a-b"),
    ],
)
def test_names_of_files(text: str, name: str) -> None:
    assert file_name(text) == name


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r\n=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert csv_cell(text).startswith("'")
    assert csv_cell(f"a {text}") == f"a {' '.join(text.split())}"


# ---- a file of a stranger ------------------------------------------------------------------

RAW = "\x1b[2J\x1b]0;owned\x07\u202e\u2028\nconvcross: done"
MARKUP = "</script><script>window.hacked=1</script><!--"
NAMES = (f"fft{MARKUP}", "_led $\\frac{$", "=1+1 [/bold][link=x]", "%s {0} \\", "漢字")


def strangers(folder: Path, seed: int = 0) -> Path:
    """Results in which every text would do harm; names are printable, as records have to be."""
    contenders = {f"{name}/numpy": synthetic.fft(9.4, 1 + k) for k, name in enumerate(NAMES)}
    duels = synthetic.duels(
        {"direct/numpy": synthetic.direct(), **contenders}, kernels=(3, 7, 15), seed=seed
    )
    for duel in duels:
        for record in duel[1:]:
            record.family = "fft"
            record.arithmetic = record.started_at = RAW
            record.stage_seconds = {RAW: [1e-5] * 3, MARKUP: [1e-5] * 3, "$\\frac": [1e-5] * 3}
            record.provenance = Provenance.model_validate({"padded": RAW, RAW: RAW})
            record.telemetry = Telemetry.model_validate({"energy": {"not_measured": RAW}})
    duels[0][1].flags = [RAW, MARKUP]
    duels[1][1].status, duels[1][1].reason = "error", f"={RAW}{MARKUP}"
    for record in duels[2]:
        record.duel = f"../{RAW}"
    head = synthetic.header(machine=f"../../{RAW}{MARKUP}", started_at=RAW)
    head.software |= {RAW: RAW, MARKUP: [MARKUP, {RAW: RAW}], "commit": f"{seed}{RAW}"}
    head.sweep |= {"name": f"; touch {RAW}", "title": MARKUP}
    folder.mkdir(parents=True, exist_ok=True)
    return synthetic.write(folder / f"{seed}.jsonl", duels, head)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("strangers")
    return [str(strangers(folder, seed)) for seed in (1, 2)]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=["a terminal", "a pipe"])
def printed(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Any:
    """What a command prints on a terminal and off it, its warnings with it."""
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: str) -> str:
        terminal = request.param == "a terminal"
        monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
        heard = io.StringIO()
        handler = logging.StreamHandler(heard)
        logging.getLogger("convcross").addHandler(handler)
        monkeypatch.setattr(sys, "argv", ["convcross", *arguments])
        try:
            assert app._main() == 0
        finally:
            logging.getLogger("convcross").removeHandler(handler)
        out, err = capsys.readouterr()
        return f"{out}{err}{heard.getvalue()}"

    return run


@pytest.mark.parametrize("command", ["crossover", "claims", "compare"])
def test_a_terminal_gets_text_alone(command: str, files: list[str], printed: Any) -> None:
    pair = ["--pair", f"direct/numpy,{NAMES[2]}/numpy"] if command == "crossover" else []
    text = printed(command, *(files if command == "compare" else files[:1]), *pair)
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)  # bold, as the table is
    assert {one for one in text if not one.isprintable()} <= {"\n"}
    assert not any(line.startswith("convcross: ") for line in text.splitlines())
    assert NAMES[2] in " ".join(text.split())


def test_commands_that_are_suggested_are_quoted(files: list[str], capsys: Any) -> None:
    sys_argv = ["convcross", "crossover", files[0], "--cost", "energy"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", sys_argv)
        assert app._main() == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "convcross run '; touch" in told


class Page(HTMLParser):
    """Tags, scripts and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for key, value in attributes if key in ("href", "src")]
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and self.cdata_elem == "script":
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def written(files: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return report.write([Path(files[0])], tmp_path_factory.mktemp("around") / "out")


def test_the_report_shows_text_and_stays_in_its_folder(written: list[Path]) -> None:
    out = written[0].parent
    assert {path.parent for path in written} == {out}
    assert {path.name for path in out.parent.iterdir()} == {"out"}
    assert all(re.fullmatch(r"[a-z0-9-]+\.[a-z]+", path.name) for path in written)
    text = written[0].read_text(encoding="utf-8")
    assert {one for one in text.replace("\n", "") if not one.isprintable()} <= _of_plotly()
    page = Page(text)
    assert page.tags.count("script") == 3
    data, *_ = page.scripts
    assert any(MARKUP in name for name in json.loads(data)["looks"])
    assert "<" not in data
    assert all(re.match(r"#|data:|[a-z0-9-]+\.|\.\./", link) for link in page.links)


def _of_plotly() -> set[str]:
    text = (
        Path(report.__file__).parent / "templates" / "plotly" / "plotly-basic.min.js"
    ).read_text("utf-8")
    return {one for one in text if not one.isprintable()}


def test_figures_and_table_are_sound(written: list[Path]) -> None:
    drawings = [path for path in written if path.suffix == ".svg"]
    assert len(drawings) > 8
    for path in drawings:
        root = ElementTree.parse(path).getroot()
        assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
    assert any("_led $\\frac{$" in path.read_text(encoding="utf-8") for path in drawings)
    with open(written[1], newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert any("owned" in row["reason"] for row in rows)
    for row in rows:
        for value in row.values():
            assert value.isprintable()
            assert not value.startswith(("=", "+", "@"))


def test_a_file_that_is_called_as_a_script_is_no_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages.draw_nothing(monkeypatch)
    path = strangers(tmp_path).rename(tmp_path / "javascript:alert(1)?#.jsonl")
    page = Page(report.write([path], tmp_path)[0].read_text(encoding="utf-8"))
    assert "javascript%3Aalert%281%29%3F%23.jsonl" in page.links
    assert not any(link.startswith("javascript:") for link in page.links)


def test_a_report_lies_in_its_own_folder_whatever_the_machine_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages.draw_nothing(monkeypatch)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    results = strangers(tmp_path / "in").rename(tmp_path / "in" / "...jsonl")
    monkeypatch.setattr(sys, "argv", ["convcross", "report", str(results)])
    assert app._main() == 0
    assert {path.name for path in tmp_path.iterdir()} == {"here", "in"}
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["reports"]
    [page] = (tmp_path / "here" / "reports").rglob("report.html")
    assert len(page.relative_to(tmp_path / "here").parts) == 4


def test_a_complaint_is_one_line_of_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["convcross", "crossover", f"{RAW}.jsonl"])
    assert app._main() == 2
    told = capsys.readouterr().err
    assert told.startswith("convcross: results file ?[2J")
    assert told.endswith(" does not exist\n")
    assert told[:-1].isprintable()
