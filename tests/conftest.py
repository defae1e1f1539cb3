"""What every test shares: reproducible hypothesis runs, the gpu marker, an isolated registry."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from convkernels import discovery, namespaces, registry

settings.register_profile("reproducible", derandomize=True, deadline=None, database=None)
settings.load_profile("reproducible")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and namespaces.cuda_devices() == 0:
        pytest.skip("no CUDA GPU")


@pytest.fixture
def clean_registry() -> Iterator[None]:
    """Whatever the test registers is forgotten after it."""
    discovery.algorithms()
    before = dict(registry.registered)
    yield
    registry.registered.clear()
    registry.registered.update(before)
