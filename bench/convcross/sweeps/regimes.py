"""The regimes: how caches and launches stand when a run is timed, one row each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Regime:
    """A regime.

    Attributes
    ----------
    words : what it means, for who reads a figure
    flushed : the caches hold none of the operands when a sample begins
    batched : short runs are timed many together
    captured : what is timed is the replay of a CUDA graph
    host_clock : the host's clock around a synchronised call, launches included
    """

    words: str
    flushed: bool = False
    batched: bool = False
    captured: bool = False
    host_clock: bool = False


REGIMES = {
    "flushed": Regime("caches hold no operand", flushed=True),
    "warm": Regime("caches as the run before left them", batched=True),
    "graph": Regime("replayed as a CUDA graph", batched=True, captured=True),
    "wall": Regime("the host's clock around a synchronised call", host_clock=True),
}


def default(device: str) -> str:
    """The regime of a device, where a sweep names none."""
    return "warm" if device == "cpu" else "flushed"
