"""Quantities as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcross import text


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (0.0, 3, "0 s"),
        (4.56e-10, 2, "460 ps"),
        (1.234e-7, 3, "123 ns"),
        (999.6e-6, 3, "1000 µs"),
        (1e-3, 4, "1 ms"),
        (0.0123456, 4, "12.35 ms"),
        (2.0, 3, "2 s"),
        (12345.0, 3, "12300 s"),
    ],
)
def test_seconds(value: float, digits: int, shown: str) -> None:
    assert text.seconds(value, digits) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(1.5, "1.5 s"), (89, "89 s"), (90, "1.5 min"), (5400, "1.5 h")]
)
def test_duration(value: float, shown: str) -> None:
    assert text.duration(value) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [(12, "12 B"), (16 << 10, "16 KiB"), (1 << 20, "1 MiB"), (3 << 29, "1.5 GiB")],
)
def test_binary(size: int, shown: str) -> None:
    assert text.binary(size) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(1.234e12, "1.23 TFLOP/s"), (2e10, "20 GFLOP/s"), (5.0, "5 FLOP/s")]
)
def test_rate(value: float, shown: str) -> None:
    assert text.rate(value, "FLOP") == shown


@given(st.floats(1e-14, 1e6), st.integers(2, 6))
def test_seconds_are_read_back(value: float, digits: int) -> None:
    number, unit = text.seconds(value, digits).split()
    again = float(number) * dict(text.TIMES)[unit]
    assert again == pytest.approx(value, rel=10.0 ** (1 - digits))
