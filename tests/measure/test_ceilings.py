"""Ceilings: their file, what is kept of two measurements, the multiply-adds, a real measurement."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from convcross.errors import BadInput
from convcross.machine import cards, describe
from convcross.machine.ceilings import load, write
from convcross.measure import ceilings
from convkernels import namespaces
from convkernels.cuda import emulator, nvrtc
from convkernels.problem import DTYPES

needs_compiler = pytest.mark.skipif(
    emulator.compiler() is None, reason="no C++ compiler for the emulator: $CXX, g++"
)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# ---- measuring -------------------------------------------------------------------------------


def test_a_device_that_is_not_here() -> None:
    with pytest.raises(BadInput, match="device is 'cuda:99'; allowed: cpu"):
        ceilings.measure("cuda:99")


def test_a_gpu_asks_for_cupy_and_for_a_torch_that_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describe, "name", lambda device: "a-card")
    monkeypatch.setattr(namespaces, "missing", lambda name: "cupy is not installed: pip install it")
    with pytest.raises(BadInput, match="ceilings of cuda:0: cupy is not installed"):
        ceilings.measure("cuda:0")
    monkeypatch.setattr(namespaces, "missing", lambda name: None)
    monkeypatch.setattr(namespaces, "devices", lambda name: ("cpu",))
    with pytest.raises(BadInput, match="ceilings of cuda:0: this torch does not use it"):
        ceilings.measure("cuda:0")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A measurement of the CPU in a fraction of a second: figures that say nothing."""
    monkeypatch.setattr(ceilings, "SECONDS", 1e-3)
    monkeypatch.setattr(ceilings, "BATCH", 1e-5)
    monkeypatch.setattr(ceilings, "MOST_PASSES", 3)
    monkeypatch.setattr(ceilings, "SMALLEST_PRODUCT", 8)
    monkeypatch.setattr(ceilings, "LARGEST_PRODUCT", 16)
    monkeypatch.setattr(ceilings, "last_level_cache", lambda: 20 << 10)


def test_the_cpu_is_measured(tiny: None) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")

    torch.set_float32_matmul_precision("medium")
    before = torch.get_num_threads()
    try:
        found = ceilings.measure("cpu")
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch.get_num_threads() == before
    assert found["machine"] == describe.name("cpu")
    assert set(found["flops"]) == set(DTYPES)
    assert all(1e4 < rate < 1e14 for rate in found["flops"].values())
    assert [size for size, _ in found["bytes"]] == [16384, 32768, 65536, 131072]
    rates = [rate for _, rate in found["bytes"]]
    assert rates == sorted(rates, reverse=True)
    assert all(1e6 < rate < 1e14 for rate in rates)
    write(found)
    assert load(found["machine"]) == found


@pytest.mark.torch
@pytest.mark.parametrize(
    ("taken", "rounds"), [([0.0, 0.0], 2), ([0.5, 0.0, 0.0], 3), ([0.3, 0.4, 0.2], 3)]
)
def test_a_busy_machine_is_measured_longer(
    tiny: None, monkeypatch: pytest.MonkeyPatch, taken: list[float], rounds: int
) -> None:
    shares = iter([*taken, 9.9])
    timer = SimpleNamespace(shares=lambda: {"others": next(shares), "stolen": 0.0})
    monkeypatch.setattr(ceilings, "ContentionWatch", lambda: timer)
    found = ceilings.measure("cpu")
    assert found["neighbours"]["others"] == min(taken)
    assert next(shares) == [*taken, 9.9][rounds]


class Clockwork:
    """A watch on which a step of known length takes exactly that."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.calls = seconds, 0

    def time(self, step: Any) -> float:
        before = self.calls
        step()
        return (self.calls - before) * self.seconds

    def repeated(self, step: Any, count: int) -> Any:
        return lambda: [step() for _ in range(count)]

    def step(self) -> None:
        self.calls += 1
        time.sleep(1e-4)


@pytest.mark.parametrize("seconds", [1e-6, 1e-4, 6e-4, 1.0])
def test_a_short_step_is_timed_in_batches(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(ceilings, "SECONDS", 1e-2)
    timer = Clockwork(seconds)
    assert ceilings._call(timer, timer.step) == pytest.approx(seconds)
    if seconds > ceilings.SECONDS:
        assert timer.calls == 2  # one first, one timed


def test_a_card_is_timed_by_events_and_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU only the calls can be checked, and milliseconds made seconds."""
    calls: list[Any] = []

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            calls.append("record")

        def synchronize(self) -> None:
            calls.append("synchronize")

        def elapsed_time(self, end: Event) -> float:
            assert end is not self
            return 2.5

    @contextlib.contextmanager
    def capture(graph: Any) -> Iterator[None]:
        calls.append("capture")
        yield
        calls.append("captured")

    graph = SimpleNamespace(replay=lambda: calls.append("replay"))
    cuda = SimpleNamespace(Event=Event, CUDAGraph=lambda: graph, graph=capture)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    timer = ceilings._Card()
    assert timer.time(lambda: calls.append("step")) == 2.5e-3
    assert calls == ["record", "step", "record", "synchronize"]
    calls.clear()
    timer.repeated(lambda: calls.append("step"), 3)()
    assert calls == ["capture", "step", "step", "step", "captured", "replay"]


def test_a_card_is_measured_through_stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")

    rates = [("float32", 3.0), ("float64", 2.0), ("float32", 5.0), ("float32", 4.0)]
    rates += [("float16", 7.0), ("bfloat16", 7.0), ("tf32", 6.0)]
    properties = SimpleNamespace(L2_cache_size=60 << 20)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(describe, "name", lambda device: "a-card")
    monkeypatch.setattr(describe, "cuda_libraries", lambda: {"driver": "580"})
    monkeypatch.setattr(namespaces, "missing", lambda name: None)
    monkeypatch.setattr(namespaces, "devices", lambda name: ("cpu", "cuda:0"))
    monkeypatch.setattr(namespaces, "on", lambda name, device: contextlib.nullcontext())
    monkeypatch.setattr(ceilings, "_Card", lambda: Clockwork(1.0))
    monkeypatch.setattr(ceilings, "_rates", lambda timer, device: rates)
    monkeypatch.setattr(ceilings, "_passes", lambda timer, size, device: [1e9, 1e12 / size])
    found = ceilings.measure("cuda:0")
    assert found["flops"] == dict(rates) | {"float32": 5.0}
    sizes = [size for size, _ in found["bytes"]]
    assert (sizes[0], sizes[-1], len(sizes)) == (64 << 10, 1 << 30, 15)
    assert found["bytes"][0][1] == 1e9
    assert (found["threads"], found["neighbours"]) == (None, {})
    assert found["cuda"] == {"driver": "580"}


def test_multiply_adds_are_timed_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "_products", lambda timer, dtype, device: [1.0])
    monkeypatch.setattr(ceilings, "_multiply_adds", lambda timer, dtype, device: 2.0)
    monkeypatch.setattr(ceilings, "_fma_peak", lambda dtype: 3.0)
    timer = Clockwork(1.0)
    products = [(dtype, 1.0) for dtype in DTYPES]
    on_cpu = [*products, ("float64", 3.0), ("float32", 3.0)]
    assert list(ceilings._rates(timer, "cpu")) == on_cpu
    on_card = [*products, ("tf32", 1.0), ("float64", 2.0), ("float32", 2.0)]
    assert list(ceilings._rates(timer, "cuda:0")) == on_card


def test_products_stop_where_the_next_would_take_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")

    sizes: list[int] = []

    def product(timer: Any, matrices: Any) -> float:
        assert torch.get_float32_matmul_precision() == "highest"
        sizes.append(matrices.shape[-1])
        return float(matrices.shape[-1]) ** 3 * 1e-10

    monkeypatch.setattr(ceilings, "_product", product)
    rates = list(ceilings._products(Clockwork(1.0), "float16", "cpu"))
    assert sizes == [256, 512, 1024]  # 8 x 0.107 s > LONGEST_PRODUCT
    assert rates == pytest.approx([2e10] * 3)


def test_tf32_is_on_for_tf32_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")

    seen: dict[str, str] = {}

    def products(timer: Any, matrices: Any) -> float:
        seen[name] = f"{torch.get_float32_matmul_precision()} {matrices.dtype}"
        return 1.0

    monkeypatch.setattr(ceilings, "_product", products)
    for name in ("float32", "tf32"):
        list(ceilings._products(Clockwork(1.0), name, "cpu"))
    assert seen == {"float32": "highest torch.float32", "tf32": "high torch.float32"}
    assert torch.get_float32_matmul_precision() == "highest"


# ---- the multiply-adds -----------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_launch_does_what_its_flop_say(dtype: str) -> None:
    """With slope and offset 1, each thread counts its multiply-adds."""
    steps, blocks = 64, 2
    launch = emulator.on_cpu(ceilings.multiply_adds(dtype, steps))
    sums = np.full(blocks * ceilings.BLOCK, np.nan, dtype)
    line = np.array([(1.0, 1.0)], dtype=[("slope", dtype), ("offset", dtype)])
    launch((blocks, 1, 1), (ceilings.BLOCK, 1, 1), (sums, line), shared_mem=0)
    begun_at = ceilings.CHAINS * (ceilings.CHAINS - 1) // 2
    assert (sums == ceilings.CHAINS * steps + begun_at).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("compiler", nvrtc.COMPILERS)
def test_multiply_adds_compile_for_sm_90(compiler: str, dtype: str) -> None:
    reason = nvrtc.missing(compiler)
    if reason:
        pytest.skip(reason)
    used = nvrtc.resources(ceilings.multiply_adds(dtype), compiler)
    assert (used.stack_bytes, used.spilled_bytes) == (0, 0)
    assert used.registers <= 65536 // (8 * ceilings.BLOCK)  # 8 blocks are resident


def test_the_rate_is_the_launch_over_its_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU only the calls can be checked: sizes, arguments, FLOP."""
    launches: list[Any] = []
    fake = SimpleNamespace(empty=np.empty, cuda=SimpleNamespace(Device=lambda index: OnDevice()))
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(ceilings.cuda, "processors", lambda device: 132)
    timer = Clockwork(1e-3)

    def launcher(*call: Any, **more: Any) -> None:
        timer.step()
        launches.append((*call, more))

    monkeypatch.setattr(ceilings.cuda, "on_gpu", lambda kernel, device: launcher)
    monkeypatch.setattr(ceilings, "SECONDS", 1e-3)
    rate = ceilings._multiply_adds(timer, "float64", "cuda:0")
    threads = 132 * 24 * 256
    assert rate == pytest.approx(2 * 8 * 4096 * threads / 1e-3)
    grid, block, (sums, line), more = launches[-1]
    assert (grid, block, more) == ((132 * 24, 1, 1), (256, 1, 1), {"shared_mem": 0})
    assert (sums.size, sums.dtype, line.nbytes) == (threads, np.float64, 16)


class OnDevice:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


# ---- the GPU ---------------------------------------------------------------------------------


@pytest.mark.gpu
def test_ceilings_of_a_card_stand_in_their_order() -> None:
    found = ceilings.measure("cuda:0")
    card = cards.cards()[0]
    flops, steps = found["flops"], found["bytes"]
    assert set(flops) == {*DTYPES, "tf32"}
    assert steps[-1][0] >= 1 << 30
    in_cache = max(rate for size, rate in steps if size <= card["l2_bytes"] // 2)
    assert in_cache > 1.1 * steps[-1][1]
    if card["compute_capability"] == "9.0":
        assert flops["bfloat16"] > flops["tf32"] > flops["float32"]
        assert flops["float32"] >= 0.8 * 2 * 128 * card["multiprocessors"] * most_hertz()


def most_hertz() -> float:
    import pynvml

    pynvml.nvmlInit()
    try:
        handle = pynvml.nvmlDeviceGetHandleByPciBusId(cards.pci_address("cuda:0"))
        return pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_SM) * 1e6
    finally:
        pynvml.nvmlShutdown()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_launch_on_a_card_does_what_its_flop_say(dtype: str) -> None:
    import cupy

    with cupy.cuda.Device(0):
        launch = ceilings.cuda.on_gpu(ceilings.multiply_adds(dtype), "cuda:0")
        sums = cupy.full(4 * ceilings.BLOCK, cupy.nan, dtype=dtype)
        line = np.array([(1.0, 1.0)], dtype=[("slope", dtype), ("offset", dtype)])
        launch((4, 1, 1), (ceilings.BLOCK, 1, 1), (sums, line), shared_mem=0)
        begun_at = ceilings.CHAINS * (ceilings.CHAINS - 1) // 2
        assert bool((sums == ceilings.CHAINS * ceilings.STEPS + begun_at).all())
