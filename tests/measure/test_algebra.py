"""The algebra of convolution holds for every contender here, and one that breaks it is seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convcross.measure import algebra as measuring
from convcross.measure.algebra import algebra
from convkernels.discovery import load_path
from support.planted import forgotten

EQUAL = ("flipped", "symmetric", "commutes", "associates", "circular", "padded")
DIFFERENT = (
    "even",
    "transposed",
    "cropped",
    "unpadded",
    "correlation_commutes",
    "correlation_associates",
)
ROUNDING = {"float64": 1e-13, "float32": 3e-5}


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    algebra.cache_clear()
    yield
    algebra.cache_clear()


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "namespace"), [("direct", "numpy"), ("fft", "torch"), ("torch-conv2d", "torch")]
)
def test_what_should_be_equal_is_and_what_should_not_is_not(name: str, namespace: str) -> None:
    found = algebra(name, namespace, "cpu")
    for relation in set(EQUAL) & set(found):
        assert {
            dtype: one.largest <= ROUNDING[dtype] for dtype, one in found[relation].items()
        } == {
            "float64": True,
            "float32": True,
        }
    for relation in set(DIFFERENT) & set(found):
        assert all(one.least >= 1e-2 for one in found[relation].values())
    if name == "direct":
        assert set(found) == {*EQUAL, *DIFFERENT}
        orders = [found[relation]["float64"] for relation in ("commutes", "associates")]
        assert [one.identical for one in orders] == [0, 0]  # it is rounding
        assert found["flipped"]["float64"].count == 5


@pytest.mark.parametrize("wrong", [1e-4, np.nan])
def test_what_breaks_is_seen(monkeypatch: pytest.MonkeyPatch, wrong: float) -> None:
    right = measuring.convolve

    def convolve(x: Any, w: Any, **options: Any) -> Any:
        y = right(x, w, **options)
        if options.get("op") != "correlation":
            y[0, 0] += wrong * np.abs(x).max() * w.shape[0]
        return y

    monkeypatch.setattr(measuring, "convolve", convolve)
    found = algebra("im2col-gemm", "numpy", "cpu")
    assert found["flipped"]["float64"].largest > 1e-6
    assert found["commutes"]["float32"].largest > 3e-5
    assert np.isfinite(found["padded"]["float64"].largest)  # as JSON must be


def test_what_a_contender_refuses_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text("""
from convkernels import UnsupportedProblem, algorithm, convolve

@algorithm(name="odd", family="direct", namespaces=["numpy"], arithmetic="ieee", source="a test")
def odd(x, w, problem):
    if problem.kernel[0] % 2 == 0 or problem.boundary == "circular":
        raise UnsupportedProblem("odd kernels")
    return convolve(x, w, op=problem.op, mode=problem.mode, algorithm="direct")
""")
    with forgotten():
        load_path(tmp_path / "odd.py")
        found = algebra("odd", "numpy", "cpu")
    assert {"even", "circular", "correlation_commutes", "commutes"} & set(found) == set()
    assert found["flipped"]["float64"].count == 3
