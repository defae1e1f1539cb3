"""Stand-ins for CUDA's libraries that several files test with."""

from __future__ import annotations

import ctypes
import functools
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from convkernels.algorithms.libraries import _cudnn
from support import fakes
from support.cudnn import STREAM


@pytest.fixture(scope="session")
def cudnn_built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakes.library("cudnn", tmp_path_factory.mktemp("cudnn"))


@pytest.fixture
def fake(cudnn_built: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ctypes.CDLL]:
    """The stand-in in cuDNN's place, with tensor cores and nothing refused."""
    monkeypatch.setattr(_cudnn, "NAME", str(cudnn_built))
    monkeypatch.setattr(_cudnn, "library", functools.cache(_cudnn.CuDNN))
    monkeypatch.setattr(_cudnn, "current_stream", lambda device: STREAM)
    stand_in = fakes.loaded(cudnn_built)
    stand_in.fake_forget()
    stand_in.fake_tensor_cores(1)
    yield stand_in
    gc.collect()  # descriptors go before the stand-in forgets them
