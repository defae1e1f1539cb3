"""Steps captured into graphs: on stand-ins for both libraries, and on a GPU."""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from convcross.machine import memory
from convcross.measure.timing import graphs
from convkernels import Problem, UnsupportedProblem, namespaces
from convkernels.discovery import find

POOL = (0, 1)  # as torch numbers them


class GPU:
    """Work is done at once, or, while a capture is under way, recorded for the replays."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.recording: list[Callable[[], None]] | None = None
        self.broken = False
        self.stream = self.pool = "the common one"
        self.mended = False  # torch's capture_end ends its pool before it raises (pytorch#180395)
        self.underway: list[tuple[int, int]] = []  # pools that torch's allocator allocates to
        self.uses = 0  # of the pool, by graphs and by captures that failed

    def do(self, work: Callable[[], None]) -> None:
        if self.recording is None:
            work()
        else:
            self.recording.append(work)

    def wait(self) -> None:
        if self.recording is not None:
            self.broken = True
            raise RuntimeError("cudaErrorStreamCaptureUnsupported: operation not permitted\nat …")

    def begin(self) -> None:
        assert self.recording is None
        assert self.stream == "a side stream"
        self.recording = []
        self.log.append("begin")

    def end(self) -> list[Callable[[], None]]:
        assert self.recording is not None
        work, self.recording = self.recording, None
        self.log.append("end")
        if self.broken:
            self.broken = False
            raise RuntimeError("cudaErrorStreamCaptureInvalidated")
        return work

    def replay(self, work: list[Callable[[], None]]) -> None:
        assert self.stream == "the common one"  # the one that was current before
        self.log.append("replay")
        for piece in work:
            piece()

    @contextlib.contextmanager
    def current(self, **state: str) -> Iterator[None]:
        before = {name: getattr(self, name) for name in state}
        self.__dict__.update(state)
        try:
            yield
        finally:
            self.__dict__.update(before)

    def cupy(self) -> SimpleNamespace:
        gpu = self

        class Stream:
            def __init__(self, non_blocking: bool) -> None:
                assert non_blocking
                self.block = gpu.current(stream="a side stream")

            def __enter__(self) -> None:
                self.block.__enter__()

            def __exit__(self, *error: Any) -> None:
                self.block.__exit__(*error)

            def synchronize(self) -> None:
                gpu.wait()

            def begin_capture(self) -> None:
                assert gpu.pool == "its own"
                gpu.begin()

            def end_capture(self) -> SimpleNamespace:
                work = gpu.end()
                return SimpleNamespace(launch=lambda: gpu.replay(work))

        return SimpleNamespace(
            cuda=SimpleNamespace(
                Device=lambda: SimpleNamespace(synchronize=gpu.wait),
                Stream=Stream,
                MemoryPool=lambda: SimpleNamespace(malloc="its own"),
                using_allocator=lambda malloc: gpu.current(pool=malloc),
            )
        )

    def torch(self, cuda: pytest.MonkeyPatch) -> None:
        torch = pytest.importorskip("torch", reason="torch is not installed")

        gpu = self

        class CUDAGraph:
            def capture_begin(self, pool: tuple[int, int]) -> None:
                assert pool == POOL
                gpu.uses += 1
                gpu.underway.append(pool)
                gpu.begin()

            def capture_end(self) -> None:
                try:
                    self.work = gpu.end()
                except RuntimeError:
                    if gpu.mended:
                        end_pool(0, POOL)
                        gpu.uses -= 1  # as the graph's reset does, later
                    raise
                end_pool(0, POOL)
                if not self.work:
                    warnings.warn("The CUDA Graph is empty. This usually means …", stacklevel=1)

            def replay(self) -> None:
                gpu.replay(self.work)

        def end_pool(device: int, pool: tuple[int, int]) -> None:
            if pool not in gpu.underway:
                raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
            gpu.underway.remove(pool)

        def release_pool(device: int, pool: tuple[int, int]) -> None:
            assert (device, pool) == (0, POOL)
            gpu.uses -= 1

        def empty_cache() -> None:
            gpu.wait()
            if gpu.underway:
                raise RuntimeError("captures_underway.empty() INTERNAL ASSERT FAILED at …")

        cuda.setattr(torch._C, "_cuda_endAllocateToPool", end_pool)
        cuda.setattr(torch._C, "_cuda_releasePool", release_pool)
        for name, stand_in in {
            "current_device": lambda: 0,
            "is_initialized": lambda: True,
            "empty_cache": empty_cache,
            "CUDAGraph": CUDAGraph,
            "Stream": lambda: "a side stream",
            "stream": lambda stream: gpu.current(stream=stream),
            "graph_pool_handle": lambda: POOL,
            "synchronize": gpu.wait,
        }.items():
            cuda.setattr(torch.cuda, name, stand_in)


@pytest.fixture(params=["torch", "cupy"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[GPU, str]:
    gpu = GPU()
    monkeypatch.setattr(namespaces, "on", lambda *place: contextlib.nullcontext())
    monkeypatch.setattr(namespaces, "synchronize", lambda *place: gpu.wait())
    if request.param == "cupy":
        monkeypatch.setitem(sys.modules, "cupy", gpu.cupy())
    else:
        gpu.torch(monkeypatch)
    return gpu, request.param


def usable(gpu: GPU) -> bool:
    outside = gpu.recording is None and gpu.stream == gpu.pool == "the common one"
    return outside and not gpu.underway


def test_steps_are_warmed_up_captured_each_and_replayed(place: tuple[GPU, str]) -> None:
    gpu, namespace = place
    calls: list[str] = []
    x, spectrum, y = np.array([3.0]), np.zeros(1), np.zeros(1)

    def load() -> None:
        calls.append("load")
        gpu.do(lambda: np.multiply(x, 2, out=spectrum))

    def run() -> np.ndarray:
        calls.append("run")
        gpu.do(lambda: np.add(spectrum, 1, out=y))
        return y

    load_again, run_again = graphs.capture([load, run], namespace, "cuda:0")
    assert calls == ["load", "run"] * 3 + ["load", "run"]
    assert gpu.log == ["begin", "end", "begin", "end", "replay", "replay"]
    x[0] = 5
    assert load_again() is None
    assert run_again() is y
    assert y[0] == 11
    assert calls == ["load", "run"] * 4
    assert usable(gpu)


def test_what_was_captured_has_values_before_the_first_replay(place: tuple[GPU, str]) -> None:
    gpu, namespace = place
    held: list[np.ndarray] = []

    def step() -> None:
        held[:] = [np.zeros(1)]  # new memory, as a captured allocation is
        fresh = held[0]
        gpu.do(lambda: np.add(fresh, 1, out=fresh))

    graphs.capture([step], namespace, "cuda:0")
    assert held[0][0] == 1


def test_a_step_that_waits_is_refused_with_its_own_reason(place: tuple[GPU, str]) -> None:
    gpu, namespace = place
    with pytest.raises(
        UnsupportedProblem, match=r"^graph: cudaErrorStreamCaptureUnsupported: .* permitted$"
    ):
        graphs.capture([gpu.wait], namespace, "cuda:0")
    assert usable(gpu)
    graphs.capture([lambda: None], namespace, "cuda:0")


@pytest.mark.parametrize("mended", [False, True])
def test_torchs_allocator_is_out_of_a_capture_that_failed(
    monkeypatch: pytest.MonkeyPatch, mended: bool
) -> None:
    gpu = GPU()
    monkeypatch.setattr(namespaces, "on", lambda *place: contextlib.nullcontext())
    monkeypatch.setattr(namespaces, "synchronize", lambda *place: gpu.wait())
    gpu.torch(monkeypatch)
    gpu.mended = mended
    with pytest.raises(UnsupportedProblem):
        graphs.capture([lambda: None, gpu.wait], "torch", "cuda:0")
    assert gpu.underway == []
    assert gpu.uses == 1  # by the graph that was captured before
    memory.release()
    graphs.capture([lambda: None], "torch", "cuda:0")


def test_an_allocator_that_stays_in_a_failed_capture_is_no_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = GPU()
    monkeypatch.setattr(namespaces, "on", lambda *place: contextlib.nullcontext())
    gpu.torch(monkeypatch)
    torch = sys.modules["torch"]
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", lambda *pool: None)
    with pytest.raises(RuntimeError, match="captures_underway"):
        graphs.capture([gpu.wait], "torch", "cuda:0")


def test_the_stand_ins_take_what_torch_takes() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    parameters = list(inspect.signature(torch.cuda.CUDAGraph.capture_begin).parameters)
    assert parameters[:2] == ["self", "pool"]
    for name in ("capture_end", "replay"):
        assert list(inspect.signature(getattr(torch.cuda.CUDAGraph, name)).parameters) == ["self"]
    used = inspect.getsource(torch.cuda.memory.use_mem_pool)
    for name in ("_cuda_endAllocateToPool", "_cuda_releasePool"):
        assert re.search(rf"^ *{name}\(device_index, pool\.id\)$", used, re.MULTILINE)
        assert hasattr(torch._C, name)


def test_a_capture_that_ends_badly_is_refused(place: tuple[GPU, str]) -> None:
    gpu, namespace = place

    def swallow() -> None:
        with contextlib.suppress(RuntimeError):
            gpu.wait()

    with pytest.raises(UnsupportedProblem, match=r"^graph: cudaErrorStreamCaptureInvalidated$"):
        graphs.capture([swallow], namespace, "cuda:0")
    assert usable(gpu)


class OutOfMemoryError(RuntimeError):
    """As both libraries name theirs."""


def test_memory_that_runs_out_in_a_capture_is_no_refusal_by_any_name(
    place: tuple[GPU, str],
) -> None:
    gpu, namespace = place

    def step() -> None:
        if gpu.recording is not None:
            raise RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED")

    with pytest.raises(RuntimeError, match="ALLOC_FAILED") as caught:
        graphs.capture([step], namespace, "cuda:0")
    assert not isinstance(caught.value, UnsupportedProblem)


@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize("kind", [OutOfMemoryError, UnsupportedProblem, KeyboardInterrupt])
def test_what_is_no_refusal_of_graphs_passes(
    place: tuple[GPU, str], kind: type[BaseException], captured: bool
) -> None:
    gpu, namespace = place

    def step() -> None:
        if captured == (gpu.recording is not None):
            raise kind("planted")

    with pytest.raises(kind, match="planted"):
        graphs.capture([step], namespace, "cuda:0")
    assert usable(gpu)


def test_the_cpu_has_no_graphs() -> None:
    with pytest.raises(UnsupportedProblem, match=r"^graph: CUDA graphs need a CUDA device$"):
        graphs.capture([lambda: None], "torch", "cpu")


# ---- the GPU ---------------------------------------------------------------------------------


def contender(name: str) -> tuple[Any, Any, Any, str]:
    """An instance planned and loaded, its image and filter, and the namespace."""
    algorithm, _, namespace = name.partition("/")
    if reason := find(algorithm).missing(namespace):
        pytest.skip(reason)
    problem = Problem(image=(200, 300), kernel=(7, 5), mode="same")
    rng = np.random.default_rng(3)
    with namespaces.on(namespace, "cuda:0"):
        x, w = (
            namespaces.from_numpy(rng.standard_normal(shape), namespace, "cuda:0", "float32")
            for shape in (problem.x_shape, problem.w_shape)
        )
        instance = find(algorithm).prepare(problem, namespace, "cuda:0")
        instance.load(w)
    return instance, x, w, namespace


@pytest.mark.gpu
@pytest.mark.parametrize(
    "name",
    [
        *("fft/cupy", "fft/torch", "cuda-direct/cupy"),
        *("cuda-overlap-save/cupy", "cuda-overlap-save/torch"),
    ],
)
def test_replays_equal_what_was_captured(name: str) -> None:
    instance, x, w, namespace = contender(name)
    with namespaces.on(namespace, "cuda:0"):
        eager = namespaces.to_numpy(instance.run(x)).copy()
        load, run = graphs.capture(
            [lambda: instance.load(w), lambda: instance.run(x)], namespace, "cuda:0"
        )
        for sign in (1, -1):
            load()
            y = run()
            namespaces.synchronize(namespace, "cuda:0")
            np.testing.assert_array_equal(namespaces.to_numpy(y), sign * eager)
            y[...] = np.nan
            x *= -1


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["fft/cupy", "fft/torch"])
def test_a_step_that_synchronises_leaves_the_stream_usable(name: str) -> None:
    instance, x, _, namespace = contender(name)

    def step() -> Any:
        y = instance.run(x)
        namespaces.synchronize(namespace, "cuda:0")
        return y

    with namespaces.on(namespace, "cuda:0"):
        eager = namespaces.to_numpy(step()).copy()
        with pytest.raises(UnsupportedProblem, match=r"^graph: "):
            graphs.capture([step], namespace, "cuda:0")
        np.testing.assert_array_equal(namespaces.to_numpy(step()), eager)
        memory.release()
        (run,) = graphs.capture([lambda: instance.run(x)], namespace, "cuda:0")
        np.testing.assert_array_equal(namespaces.to_numpy(run()), eager)
