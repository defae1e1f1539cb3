"""cuDNN by algorithm number: without a GPU against a stand-in of its signatures, with one on it."""

from __future__ import annotations

import concurrent.futures
import ctypes
import gc
import random
from pathlib import Path

import pytest

from convcross.measure.observers import kernels
from convkernels import Problem, UnsupportedProblem, namespaces
from convkernels.algorithms.libraries import _cudnn
from convkernels.algorithms.libraries.cudnn_fft_tiling import tile, tiles
from convkernels.discovery import algorithms, find
from support.cudnn import STREAM, calls, planned, solved
from support.problems import FIXED, case, random_problem
from support.reference import relative_error

torch = pytest.importorskip("torch", reason="torch is not installed")
# Number, arithmetic (CUDNN_FMA_MATH, CUDNN_TENSOR_OP_MATH) and family of each.
CONTENDERS = {
    "cudnn-implicit-gemm": (0, 3, "im2col"),
    "cudnn-implicit-precomp-gemm": (1, 3, "im2col"),
    "cudnn-implicit-precomp-gemm-tf32": (1, 1, "im2col"),
    "cudnn-gemm": (2, 3, "im2col"),
    "cudnn-fft": (4, 3, "fft"),
    "cudnn-fft-tiling": (5, 3, "fft"),
    "cudnn-winograd-nonfused": (7, 3, "winograd"),
}
LAYER = Problem(
    (10, 9), (3, 3), batch=2, in_channels=4, out_channels=6, groups=2, mode="same", op="correlation"
)


# ---- numbers: pads, ops, strides, groups reach the descriptors -------------------------------


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("name", CONTENDERS)
def test_agrees_with_scipy(name: str) -> None:
    problems = [problem for problem in FIXED.values() if problem.dtype in ("float32", "float64")]
    problems += [random_problem(random.Random(index)) for index in range(150)]
    taken = 0
    for index, problem in enumerate(problems):
        if problem.dtype not in ("float32", "float64"):
            continue
        case_ = case(problem, index)
        try:
            instance = planned(name, problem)
        except UnsupportedProblem:
            continue
        y = solved(instance, case_.x, case_.w)
        assert y.shape == problem.y_shape
        error = relative_error(y, case_.expected, case_.x, case_.w)
        assert error <= instance.error_bound(problem), problem
        taken += 1
    assert taken >= 3


@pytest.mark.parametrize("name", CONTENDERS)
def test_the_calls_in_their_order(name: str, fake: ctypes.CDLL) -> None:
    number, arithmetic, family = CONTENDERS[name]
    assert find(name).family == family
    instance = planned(name, LAYER)
    case_ = case(LAYER)
    plan = calls(fake)
    described = [call for call in plan if not call.startswith(("Create", "SetStream"))]
    assert described == [
        "SetTensor 0 0 2 4 10 9",
        "SetFilter 0 0 6 2 3 3",
        "SetTensor 0 0 2 6 10 9",
        "SetConvolution 1 1 1 1 1 1 1 0",
        "SetGroups 2",
        f"SetMath {arithmetic}",
        f"GetWorkspace {number}",
        *(["GetAlgorithms 16"] if arithmetic == 1 else []),
    ]
    solved(instance, case_.x, case_.w)
    assert calls(fake)[len(plan) :] == [
        f"SetStream {STREAM:#x}",
        f"Forward {number} {1000 + number} 1 0 {STREAM:#x}",
    ]
    assert instance.provenance() == {
        "cudnn": "9.13.2",
        "algorithm_number": number,
        "kernel": "as the descriptor's mode has it",
        "queried_workspace_bytes": 1000 + number,
    }


def test_padding_that_differs_is_done_before(fake: ctypes.CDLL) -> None:
    problem = Problem((8, 9), (2, 3), mode="same")
    planned("cudnn-gemm", problem)
    described = calls(fake)
    assert "SetTensor 0 0 1 1 9 11" in described
    assert "SetConvolution 0 0 1 1 1 1 0 0" in described


def test_strides_dilation_and_float64_are_the_descriptors(fake: ctypes.CDLL) -> None:
    steps = {"stride": (3, 2), "dilation": (2, 1), "dtype": "float64", "op": "correlation"}
    planned("cudnn-implicit-gemm", Problem((20, 21), (3, 5), padding=((4, 4), (1, 1)), **steps))
    assert "SetConvolution 4 1 3 2 2 1 1 1" in calls(fake)
    assert "SetTensor 0 1 1 1 20 21" in calls(fake)


@pytest.mark.parametrize(("dtype", "stored"), [("float16", 2), ("bfloat16", 9)])
def test_16_bit_storage_is_computed_in_float32(dtype: str, stored: int, fake: ctypes.CDLL) -> None:
    planned("cudnn-implicit-gemm", Problem((8, 9), (3, 3), mode="valid", dtype=dtype))
    assert f"SetTensor 0 {stored} 1 1 8 9" in calls(fake)
    assert "SetConvolution 0 0 1 1 1 1 0 0" in calls(fake)


# ---- statuses --------------------------------------------------------------------------------


def test_a_mode_that_it_lacks_is_made_up_for(fake: ctypes.CDLL) -> None:
    """Algorithm 5, mode 0 refused: the kernel is flipped in ``load``, and mode 1 computes."""
    fake.fake_status(b"5 0", 3000)
    problem = Problem((12, 11), (4, 3), mode="full")
    case_ = case(problem)
    instance = planned("cudnn-fft-tiling", problem)
    assert instance.provenance()["kernel"] == "flipped before"
    y = solved(instance, case_.x, case_.w)
    assert relative_error(y, case_.expected, case_.x, case_.w) < 1e-6


@pytest.mark.parametrize(
    ("status", "name"), [(3000, "CUDNN_STATUS_NOT_SUPPORTED"), (2000, "CUDNN_STATUS_BAD_PARAM")]
)
def test_what_it_does_not_take_is_a_refusal(status: int, name: str, fake: ctypes.CDLL) -> None:
    fake.fake_status(b"GetWorkspace", status)
    reason = rf"^cuDNN's algorithm 2 does not take it: {name} \(status {status}\)$"
    with pytest.raises(UnsupportedProblem, match=reason):
        planned("cudnn-gemm", LAYER)


def test_a_failure_is_no_refusal(fake: ctypes.CDLL) -> None:
    fake.fake_status(b"GetWorkspace", 5000)
    message = r"CUDNN_STATUS_EXECUTION_FAILED \(status 5000\)$"
    with pytest.raises(RuntimeError, match=message) as raised:
        planned("cudnn-gemm", LAYER)
    assert not isinstance(raised.value, UnsupportedProblem)


@pytest.mark.parametrize(
    ("call", "status", "kind"),
    [
        ("SetTensor", 2000, RuntimeError),
        ("Forward", 5000, RuntimeError),
        ("Forward", 3000, UnsupportedProblem),
    ],
)
def test_every_status_is_told(
    call: str, status: int, kind: type[Exception], fake: ctypes.CDLL
) -> None:
    case_ = case(LAYER)
    fake.fake_status(call.encode(), status)
    with pytest.raises(kind, match=rf"^cudnn\w+: CUDNN_STATUS_\w+ \(status {status}\)$") as raised:
        solved(planned("cudnn-gemm", LAYER), case_.x, case_.w)
    assert type(raised.value) is kind


def test_tf32_is_refused_without_tensor_cores(fake: ctypes.CDLL) -> None:
    fake.fake_tensor_cores(0)
    with pytest.raises(UnsupportedProblem, match="algorithm 1 without tensor cores here: no TF32"):
        planned("cudnn-implicit-precomp-gemm-tf32", LAYER)


def test_descriptors_and_handles_go(fake: ctypes.CDLL) -> None:
    gc.collect()
    before = fake.fake_alive()
    instance = planned("cudnn-gemm", LAYER)
    assert fake.fake_alive() == before + 5  # four descriptors, and this thread's first handle
    del instance
    gc.collect()
    assert fake.fake_alive() == before + 1


def test_a_thread_has_its_own_handle(fake: ctypes.CDLL) -> None:
    case_ = case(LAYER)
    instance = planned("cudnn-gemm", LAYER)
    here = fake.fake_alive()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        y = pool.submit(solved, instance, case_.x, case_.w).result()
        assert fake.fake_alive() == here + 1
    assert relative_error(y, case_.expected, case_.x, case_.w) < 1e-6
    gc.collect()
    assert fake.fake_alive() == here


# ---- refusals, without the library -----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "problem", "reason"),
    [
        ("cudnn-fft", Problem((200, 250), (9, 9)), "to 256×256; this is 216×266"),
        ("cudnn-fft", Problem((20, 25), (3, 3), stride=(1, 2)), "cuDNN's FFT has no stride"),
        ("cudnn-fft", Problem((20, 25), (3, 3), dtype="float64"), "cuDNN's FFT has no float64"),
        ("cudnn-fft-tiling", Problem((900, 900), (33, 9)), "this is 33×9"),
        ("cudnn-fft-tiling", Problem((900, 900), (1, 257)), "this is 1×257"),
        ("cudnn-fft-tiling", Problem((90, 90), (3, 3), dilation=2), "tiled FFT has no dilation"),
        ("cudnn-winograd-nonfused", Problem((90, 90), (3, 5)), "3×3 and 5×5 only; this is 3×5"),
        ("cudnn-winograd-nonfused", Problem((9, 9), (3, 3), dtype="float64"), "no float64"),
        ("cudnn-winograd-nonfused", Problem((9, 9), (3, 3), stride=2), "has no stride"),
        (
            "cudnn-implicit-precomp-gemm-tf32",
            Problem((9, 9), (3, 3), dtype="float16"),
            "TF32 is of float32, not float16",
        ),
        ("cudnn-gemm", Problem((9, 9), (3, 3), direction="grad_input"), "no direction grad_input"),
    ],
)
def test_refuses_with_a_reason(name: str, problem: Problem, reason: str) -> None:
    assert reason in str(find(name).refuses(problem, "torch", "cuda:0"))


def test_the_manuals_limits_are_taken() -> None:
    for name, problem in {
        "cudnn-fft": Problem((256, 256), (31, 31), mode="valid"),
        "cudnn-fft-tiling": Problem((4096, 4096), (32, 32)),
        "cudnn-winograd-nonfused": Problem((4096, 4096), (5, 5), dtype="float16"),
    }.items():
        assert find(name).refuses(problem, "torch", "cuda:0") is None
    assert (
        find("cudnn-fft-tiling").refuses(Problem((300, 300), (1, 256)), "torch", "cuda:0") is None
    )


@pytest.mark.parametrize("name", CONTENDERS)
def test_no_cpu_and_no_gradients(name: str) -> None:
    found = find(name)
    assert found.refuses(LAYER, "torch", "cpu") == "runs on cuda alone, not on cpu"
    assert not found.implementation.gradients
    assert (found.arithmetic == "tf32") == name.endswith("tf32")


def test_every_contender_is_here() -> None:
    known = {name for name in algorithms() if name.startswith("cudnn-")}
    assert known == {*CONTENDERS, "cudnn-atomic-gemm"}  # which has no forward pass


def test_without_the_library_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "libcudnn.so.9"
    broken.write_bytes(b"of another machine")
    monkeypatch.setattr(_cudnn, "NAME", str(broken))
    monkeypatch.setattr(_cudnn, "_wheel", lambda: None)
    monkeypatch.setattr(_cudnn, "library", _cudnn.CuDNN)
    reason = str(_cudnn.missing.__wrapped__())
    assert "does not load" in reason
    assert reason.endswith("pip install 'convcross[cuda13]'")


# ---- costs -----------------------------------------------------------------------------------


def test_tiles_cover_the_output() -> None:
    for n in (1, 3, 16, 17, 32):
        problem = Problem((100, 333), (n, n))
        side = tile(problem)[0]
        assert side >= max(32, 2 * n)
        step = side - n + 1
        assert tiles(problem) == -(-(99 + n) // step) * -(-(332 + n) // step)


def test_the_fft_is_dear_for_small_kernels_and_cheap_for_large_ones() -> None:
    def flops(name: str, n: int) -> float:
        return find(name).implementation.cost(Problem((224, 224), (n, n), mode="valid")).flops

    assert flops("cudnn-fft", 3) > flops("cudnn-gemm", 3)
    assert flops("cudnn-fft", 31) < flops("cudnn-gemm", 31)
    assert flops("cudnn-fft-tiling", 15) < flops("cudnn-gemm", 15)


# ---- the GPU ---------------------------------------------------------------------------------

# What the profiler's names tell (see observers/kernels.py), by contender.
ENGINES = {
    "cudnn-implicit-gemm": "implicit-gemm",
    "cudnn-implicit-precomp-gemm": "implicit-gemm",
    "cudnn-implicit-precomp-gemm-tf32": "implicit-gemm",
    "cudnn-gemm": "gemm",
    "cudnn-fft": "fft",
    "cudnn-fft-tiling": "fft",
    "cudnn-winograd-nonfused": "winograd",
}


@pytest.mark.gpu
@pytest.mark.parametrize("channels", [1, 64])
@pytest.mark.parametrize("name", CONTENDERS)
def test_the_kernels_on_a_gpu_are_the_algorithms(name: str, channels: int) -> None:
    problem = Problem(
        (56, 56), (3, 3), batch=4, in_channels=channels, out_channels=channels, mode="same"
    )
    case_ = case(problem)
    algorithm = find(name)
    if reason := algorithm.missing("torch"):
        pytest.skip(reason)
    with namespaces.on("torch", "cuda:0"):
        try:
            instance = algorithm.prepare(problem, "torch", "cuda:0")
        except UnsupportedProblem as refusal:
            pytest.skip(str(refusal))
        x, w = (namespaces.from_numpy(v, "torch", "cuda:0", "float32") for v in (case_.x, case_.w))
        instance.load(w)
        y = namespaces.to_numpy(instance.run(x))
        ran = kernels.executed(lambda: instance.run(x), "cuda:0")["kernels"]
    error = relative_error(y, case_.expected, case_.x, case_.w)
    assert error <= instance.error_bound(problem)
    names = [kernel["name"] for kernel in ran]
    assert kernels.engine(ran) == ENGINES[name], names
    assert any("tf32" in kernel for kernel in names) == name.endswith("tf32"), names
    if name.endswith("tf32"):
        assert error > 2.0**-15  # operands in full would be a hundredth of it
