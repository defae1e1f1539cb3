"""A planted neighbour is noticed, and this process's own work is not taken for one."""

import subprocess
import sys
import time

import pytest

from convcross.machine.contention import NOTICED, ContentionWatch


def test_a_neighbour_is_noticed() -> None:
    burn = "print(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", burn], stdout=subprocess.PIPE) as neighbour:
        assert neighbour.stdout is not None
        neighbour.stdout.readline()
        watch = ContentionWatch()
        time.sleep(1.0)
        shares = watch.shares()
        neighbour.kill()
    assert shares["others"] > NOTICED


def test_own_work_is_no_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """In 10 s of 2 cores, 12 s of work of which 8 s are this process's own; 1 s was stolen."""
    moments = iter([(100.0, 50.0, 3.0, 20.0), (110.0, 62.0, 4.0, 28.0)])
    monkeypatch.setattr(ContentionWatch, "_now", staticmethod(lambda: next(moments)))
    monkeypatch.setattr("psutil.cpu_count", lambda: 2)
    assert ContentionWatch().shares() == {"others": 0.2, "stolen": 0.05}
