"""The cross-check's own contenders are there in these tests, and forgotten after them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from convcross.crosscheck import peers
from convkernels.discovery import load_path
from support.planted import forgotten


@pytest.fixture(autouse=True, scope="module")
def registry_as_it_was() -> Iterator[None]:
    with forgotten():
        load_path(peers.KNOWN_WORK)
        yield
