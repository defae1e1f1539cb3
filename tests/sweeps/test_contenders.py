"""Contenders: their names and parts, who is chosen by a pattern, and the devices they run on."""

from __future__ import annotations

import pickle

import pytest
from pydantic import TypeAdapter

from convcross.errors import BadInput
from convcross.sweeps.contenders import Contender, available, devices_named, matching
from convkernels import namespaces, optional


def test_a_contender_is_its_name_with_its_parts() -> None:
    contender = Contender("fft/torch@cuda:0")
    assert contender == Contender.of("fft", "torch", "cuda:0") == "fft/torch@cuda:0"
    assert (contender.algorithm, contender.namespace) == ("fft", "torch")
    assert (contender.device, contender.short) == ("cuda:0", "fft/torch")
    for contender in available(["cpu"]):
        assert contender == Contender.of(contender.algorithm, contender.namespace, "cpu")
        assert contender.found.name == contender.algorithm


def test_a_contender_stays_one_in_a_model_and_through_json_and_pickle() -> None:
    field = TypeAdapter(list[Contender])
    for made in (
        field.validate_python(["fft/torch@cpu"]),
        field.validate_json(field.dump_json([Contender("fft/torch@cpu")])),
        pickle.loads(pickle.dumps([Contender("fft/torch@cpu")])),
    ):
        assert made == ["fft/torch@cpu"]
        assert made[0].namespace == "torch"


@pytest.mark.torch
@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["fft"], {"fft/numpy", "fft/torch"}),
        (["fft/*"], {"fft/numpy", "fft/torch"}),
        (["fft/torch"], {"fft/torch"}),
        (["fft/torch@cpu"], {"fft/torch"}),
        (["direct/*@cpu", "fft/numpy"], {"direct/numpy", "direct/torch", "fft/numpy"}),
        (["fft/*", "fft/torch", " fft "], {"fft/numpy", "fft/torch"}),
        (["scipy-?ft*", "im2col-g*/numpy"], {"scipy-fftconvolve/numpy", "im2col-gemm/numpy"}),
    ],
)
def test_patterns(patterns: list[str], names: set[str]) -> None:
    assert matching(patterns, available(["cpu"])) == sorted(f"{name}@cpu" for name in names)


@pytest.mark.torch
def test_everything_matches_a_star() -> None:
    assert matching(["*"], available(["cpu"])) == sorted(available(["cpu"]))
    on_torch = matching(["*/torch"], available(["cpu"]))
    assert on_torch
    assert {contender.namespace for contender in on_torch} == {"torch"}


@pytest.mark.torch
@pytest.mark.parametrize("pattern", ["fftt", "FFT", "fft/jax", "", "*@cuda:7", "fft/torch@cpu:0"])
def test_a_pattern_that_matches_nothing(pattern: str) -> None:
    with pytest.raises(BadInput) as raised:
        matching(["fft/*", pattern], available(["cpu"]))
    told = str(raised.value)
    assert told.startswith(f"contenders: {pattern!r} matches nothing here; ")
    assert "fft/numpy" in told


def test_a_pattern_for_what_is_not_installed_tells_why(monkeypatch: pytest.MonkeyPatch) -> None:
    namespaces.missing.cache_clear()
    namespaces.devices.cache_clear()
    monkeypatch.setattr(optional, "installed", lambda module: module != "torch")
    try:
        with pytest.raises(BadInput, match="fft on torch: torch is not installed: pip install"):
            matching(["fft/torch"], available(["cpu"]))
    finally:
        monkeypatch.undo()
        namespaces.missing.cache_clear()
        namespaces.devices.cache_clear()


@pytest.mark.parametrize(
    ("cards", "text", "groups"),
    [
        (0, None, [["cpu"]]),
        (2, None, [["cuda:0"]]),
        (0, "cpu", [["cpu"]]),
        (2, "cpu", [["cpu"]]),
        (2, "cuda:1", [["cuda:1"]]),
        (2, "cuda:all", [["cuda:0"], ["cuda:1"]]),
        (2, "cuda:1,cpu", [["cuda:1", "cpu"]]),
        (2, " cuda:1 , cuda:0,cuda:1", [["cuda:1"], ["cuda:0"]]),
    ],
)
def test_devices(
    cards: int, text: str | None, groups: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespaces, "cuda_devices", lambda: cards)
    assert devices_named(text) == groups


@pytest.mark.parametrize(
    ("cards", "text", "told"),
    [
        (0, "cuda:0", "device is 'cuda:0'; allowed: cpu (no CUDA driver or device here)"),
        (0, "cuda:all", "device is 'cuda:all'; allowed: cpu (no CUDA driver or device here)"),
        (2, "cuda:2", "device is 'cuda:2'; allowed: cpu, cuda:0, cuda:1, cuda:all"),
        (2, "cuda", "device is 'cuda'; allowed: cpu, cuda:0, cuda:1, cuda:all"),
        (2, "cuda:all,cpu", "device is 'cuda:all,cpu': duels on several cards at once would"),
        (2, "cpu,gpu", "device is 'gpu'; allowed: cpu, cuda:0, cuda:1, cuda:all"),
        (2, "", "device is ''; allowed: cpu, cuda:0, cuda:1, cuda:all"),
    ],
)
def test_no_such_device(cards: int, text: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "cuda_devices", lambda: cards)
    with pytest.raises(BadInput) as raised:
        devices_named(text)
    assert str(raised.value).startswith(told)
