"""What every test shares: reproducible hypothesis runs, the gpu marker, an isolated registry, and
threads that do not spin."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from convcross.measure.timing.waits import Waits
from convkernels import discovery, namespaces, registry

settings.register_profile("reproducible", derandomize=True, deadline=None, database=None)
settings.load_profile("reproducible")

# OpenMP's threads sleep between two parallel regions. Where they spin, as they do unless told, and
# another process wants the core, FFTs of tiny problems take three times the CPU time. Read by
# libgomp and libiomp when they are loaded, which is later: nothing above has loaded them.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and namespaces.cuda_devices() == 0:
        pytest.skip("no CUDA GPU")


@pytest.fixture(autouse=True)
def a_core_of_its_own(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured in this process counts as if it had waited for no core: tests run in two
    processes, and what they say of results must not hang on the other one."""
    if request.module.__name__.rpartition(".")[2] != "test_waits":
        monkeypatch.setattr(Waits, "preempted", lambda self, before, after, seconds: False)


@pytest.fixture
def clean_registry() -> Iterator[None]:
    """Whatever the test registers is forgotten after it."""
    discovery.algorithms()
    before = dict(registry.registered)
    yield
    registry.registered.clear()
    registry.registered.update(before)
