"""The processor's name."""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


@functools.cache
def name() -> str:
    """As the maker writes it: /proc/cpuinfo has it on x86, lscpu on ARM.

    A virtual machine may hide the number ("AMD EPYC", which is every one of five generations): then
    family and model follow it.
    """
    for text in _descriptions():
        model = _value("model name", text)
        if model is not None:
            numbers = [_value("cpu family", text), _value("model", text)]
            if None in numbers or _has_number(model):
                return model
            return f"{model} family {numbers[0]} model {numbers[1]}"
    return platform.processor() or platform.machine() or "cpu"


def _descriptions() -> Iterator[str]:
    if CPUINFO.exists():
        yield CPUINFO.read_text()
    if shutil.which("lscpu"):
        environment = os.environ | {"LC_ALL": "C"}
        yield subprocess.run(["lscpu"], env=environment, capture_output=True, text=True).stdout


def _value(key: str, text: str) -> str | None:
    found = re.search(rf"^{key}\s*:\s*(\S.*)$", text, re.MULTILINE | re.IGNORECASE)
    return found[1].strip() if found else None


def _has_number(model: str) -> bool:
    """Of its own: not its clock's, its graphics' or its count of cores."""
    bare = re.sub(r"@.*| w/.*| with .*|\b\S+-Cores?\b", "", model, flags=re.IGNORECASE)
    return re.search(r"\d", bare) is not None
