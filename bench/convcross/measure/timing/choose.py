"""Which stopwatch a contender is timed by."""

from __future__ import annotations

from convcross.measure.timing.clock import Stopwatch
from convcross.measure.timing.cuda import CudaStopwatch
from convcross.measure.timing.host import HostStopwatch
from convcross.sweeps.regimes import REGIMES


def stopwatch(namespace: str, device: str, regime: str) -> Stopwatch:
    """The stopwatch of a contender's library and device."""
    if device == "cpu" or REGIMES[regime].host_clock:
        return HostStopwatch(namespace, device)
    return CudaStopwatch(namespace, device)
