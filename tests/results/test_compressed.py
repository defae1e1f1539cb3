"""Results files that were compressed, and cut or spoilt since."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from convcross.errors import BadInput
from convcross.results.reader import read
from results.test_records import written


def test_a_compressed_file_is_read_alike(tmp_path: Path) -> None:
    content = written(tmp_path / "a.jsonl", "one", "two")
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(content))
    assert read(path).records == read(tmp_path / "a.jsonl").records
    path.write_bytes(gzip.compress(content[:500]) + gzip.compress(content[500:]) + bytes(512))
    assert read(path).records == read(tmp_path / "a.jsonl").records  # of two members, padded
    whole = gzip.compress(content)
    for spoilt in (whole[:40] + b"\xff" * 40 + whole[80:], content):
        path.write_bytes(spoilt)
        with pytest.raises(BadInput, match=re.escape(f"{path} cannot be read")):
            read(path)


def test_a_compressed_file_that_was_cut_gives_its_whole_duels(tmp_path: Path) -> None:
    content = written(tmp_path / "a.jsonl", "one", "two", "three")
    path, packed = tmp_path / "a.jsonl.gz", gzip.compress(content, compresslevel=1)
    whole = read(tmp_path / "a.jsonl").footers
    counts = []
    for end in range(len(packed) - 9, 200, -50):
        path.write_bytes(packed[:end])
        try:
            found = read(path)
        except BadInput:  # cut inside the header, and what follows is cut too
            break
        assert found.footers == whole[: len(found.footers)]
        assert len(found.records) == 2 * len(found.footers)
        counts.append(len(found.footers))
    assert counts[0] >= 2
    assert counts == sorted(counts, reverse=True)
    assert 0 in counts
