"""What else used the cores while something was measured: other processes, and a hypervisor."""

from __future__ import annotations

import time

import psutil

NOTICED = 0.05  # of the cores' time


class ContentionWatch:
    """From its making on, the shares of the machine's cores that were not this process's."""

    def __init__(self) -> None:
        self._begin = self._now()

    @staticmethod
    def _now() -> tuple[float, float, float, float]:
        """Seconds: wall, all busy cores, stolen by a hypervisor, this process."""
        cores, own = psutil.cpu_times(), psutil.Process().cpu_times()
        stolen = float(getattr(cores, "steal", 0.0))
        busy = sum(cores) - cores.idle - getattr(cores, "iowait", 0.0) - stolen
        busy -= getattr(cores, "guest", 0.0) + getattr(cores, "guest_nice", 0.0)  # in user already
        return time.perf_counter(), busy, stolen, own.user + own.system

    def shares(self) -> dict[str, float]:
        """ "others" and "stolen": fractions of all cores' time, from 0 to 1.

        Accurate to the kernel's tick, some 10 ms: nearly nothing can be said of less than a second.
        """
        wall, busy, stolen, own = (
            now - begin for now, begin in zip(self._now(), self._begin, strict=True)
        )
        available = wall * (psutil.cpu_count() or 1)
        return {
            "others": min(1.0, max(0.0, (busy - own) / available)),
            "stolen": min(1.0, max(0.0, stolen / available)),
        }
