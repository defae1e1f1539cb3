"""A report's page, taken apart, or written without its figures."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from convcross.report import claims
from convcross.report.figures import scenes
from support import synthetic

# A direct sum, a slower one, and an FFT that overtakes the first at n = 9.4.
CONTENDERS = {
    "direct/numpy": synthetic.direct(),
    "scipy-convolve2d/numpy": synthetic.direct(1.5),
    "fft/numpy": synthetic.fft(9.4),
}


class Page(HTMLParser):
    """Tags with attributes, the text, and the scripts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.text += data


def page_of(files: list[Path]) -> Page:
    return Page(files[0].read_text(encoding="utf-8"))


def draw_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report has no figures, which are most of its time: for tests of what the page says."""
    monkeypatch.setattr(scenes, "start", lambda scenes: lambda: [])
    monkeypatch.setattr(claims, "_figures", lambda subject, appearances: [])
