"""What every test shares: reproducible hypothesis runs, the gpu marker, an isolated registry, and
threads that do not spin."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from convcross.measure.timing.waits import Waits
from convkernels import cache, calibration, discovery, namespaces, optional, plans, registry

settings.register_profile("reproducible", derandomize=True, deadline=None, database=None)
settings.load_profile("reproducible")

# OpenMP's threads sleep between two parallel regions. Where they spin, as they do unless told, and
# another process wants the core, FFTs of tiny problems take three times the CPU time. Read by
# libgomp and libiomp when they are loaded, which is later: nothing above has loaded them.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


# A notebook's, inherited, may be unknown here: as the command line has it.
os.environ["MPLBACKEND"] = "agg"

# A cache folder of the session's own, here and in what tests start, so that nothing is kept of
# what they say of machines; what is compiled, and which libraries load, is the user's.
_session = tempfile.TemporaryDirectory(prefix="convcross-tests-")
CACHE = Path(_session.name)
for _name in ("kernels", "loads"):
    _kept = cache.folder() / _name
    _kept.mkdir(parents=True, exist_ok=True)
    (CACHE / _name).symlink_to(_kept, target_is_directory=True)
os.environ[cache.FOLDER] = _session.name


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    """Nothing is known of any machine, nothing planned and nothing chosen when a test begins."""
    for kind in ("machines", calibration.KIND):
        shutil.rmtree(CACHE / kind, ignore_errors=True)
    plans.clear()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and namespaces.cuda_devices() == 0:
        pytest.skip("no CUDA GPU")
    if item.get_closest_marker("torch") and (reason := namespaces.missing("torch")):
        pytest.skip(reason)


@pytest.fixture(autouse=True)
def a_core_of_its_own(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured in this process counts as if it had waited for no core: tests run in two
    processes, and what they say of results must not hang on the other one."""
    if request.module.__name__.rpartition(".")[2] != "test_waits":
        monkeypatch.setattr(Waits, "preempted", lambda self, before, after, seconds: False)


@pytest.fixture
def torch() -> Any:
    """The library; without it, the tests that ask for it are skipped, and no other."""
    if reason := namespaces.missing("torch"):
        pytest.skip(reason)
    return optional.load("torch")


@pytest.fixture
def clean_registry() -> Iterator[None]:
    """Whatever the test registers is forgotten after it."""
    discovery.algorithms()
    before = dict(registry.registered)
    yield
    registry.registered.clear()
    registry.registered.update(before)
