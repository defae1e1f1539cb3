"""Where a truth may lie: every array library here, array-api-strict, and a card that is played."""

from __future__ import annotations

import contextlib
import math
import sys
import types
from typing import Any

import array_api_compat.numpy
import numpy as np
import pytest

from convkernels import namespaces

STRICT = ("array_api_strict", "cpu")
PLACES = [
    ("numpy", "cpu"),
    ("torch", "cpu"),
    STRICT,
    pytest.param(("torch", "cuda:0"), marks=pytest.mark.gpu),
    pytest.param(("cupy", "cuda:0"), marks=pytest.mark.gpu),
]
IDS = ["numpy", "torch", "strict", "torch-cuda", "cupy"]


def admit(place: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip where the library is not here; array-api-strict becomes one of the libraries."""
    if place == STRICT:
        _admit_strict(monkeypatch)
    elif reason := namespaces.missing(place[0]):
        pytest.skip(reason)


def _admit_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    strict = pytest.importorskip("array_api_strict")

    def given(array: Any) -> bool:
        return type(array).__module__.startswith("array_api_strict")

    def from_numpy(values: Any, name: str, device: str, dtype: str) -> Any:
        if name != STRICT[0]:
            return before["from_numpy"](values, name, device, dtype)
        return strict.asarray(np.array(values, dtype))

    before = {
        name: getattr(namespaces, name) for name in ("of", "namespace", "to_numpy", "dtype_name")
    } | {"from_numpy": namespaces.from_numpy}
    for name, replaced in {
        "of": lambda array: STRICT if given(array) else before["of"](array),
        "namespace": lambda name: strict if name == STRICT[0] else before["namespace"](name),
        "to_numpy": lambda a: np.from_dlpack(a) if given(a) else before["to_numpy"](a),
        "dtype_name": lambda array: before["dtype_name"](array).rpartition(".")[2],
        "from_numpy": from_numpy,
    }.items():
        monkeypatch.setattr(namespaces, name, replaced)


def play_card(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """NumPy's arrays play CuPy's, torch's on the CPU play its arrays on a card.

    They exchange by DLPack, as the two do on a card. Returns a list that will hold the size of
    whatever is fetched to the host.
    """
    fetched: list[int] = []

    def fetch(array: Any) -> Any:
        fetched.append(math.prod(array.shape))
        return np.asarray(array)

    def of(array: Any) -> tuple[str, str]:
        return "cupy" if isinstance(array, np.ndarray) else "torch", "cuda:0"

    before = namespaces.namespace
    played = types.SimpleNamespace(from_dlpack=np.from_dlpack)
    monkeypatch.setitem(sys.modules, "cupy", played)  # type: ignore[arg-type]
    monkeypatch.setattr(namespaces, "of", of)
    monkeypatch.setattr(namespaces, "on", lambda *place: contextlib.nullcontext())
    monkeypatch.setattr(
        namespaces,
        "namespace",
        lambda name: array_api_compat.numpy if name == "cupy" else before(name),
    )
    monkeypatch.setattr(namespaces, "to_numpy", fetch)
    return fetched
