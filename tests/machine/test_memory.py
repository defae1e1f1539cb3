"""How much memory a process may take, where a container or a batch system limits it."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from convcross.machine import memory

TOTAL = float(psutil.virtual_memory().total)
V1, V2 = "4:cpu,cpuacct:/a\n5:memory:/job/step\n", "0::/job/step\n"


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        (V1, {"memory/job/step/memory.limit_in_bytes": "4096\n"}, 4096.0),
        (V1, {"memory/job/memory.limit_in_bytes": "8192\n"}, 8192.0),
        (V1, {"job/step/memory.max": "4096\n", "cpu,cpuacct/a/memory.max": "1\n"}, TOTAL),
        (V2, {"job/step/memory.max": "max\n", "job/memory.max": "8192\n"}, 8192.0),
        (V2, {"job/step/memory.max": "4096\n", "job/memory.max": "8192\n"}, 4096.0),
        (V2, {"memory.max": "8192\n"}, 8192.0),  # a container sees its own group as the root
        (V2, {"job/step/memory.max": "99999999999999999\n"}, TOTAL),
        (V2, {}, TOTAL),
        (None, {}, TOTAL),
    ],
)
def test_the_least_limit_of_a_process_s_groups(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    groups: str | None,
    files: dict[str, str],
    expected: float,
) -> None:
    told = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    if groups is not None:
        told["proc/self/cgroup"] = groups
    for name, text in told.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "Path", lambda name: tmp_path / name.lstrip("/"))
    assert memory.limit() == expected
