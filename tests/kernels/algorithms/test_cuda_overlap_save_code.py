"""cuda-overlap-save: its machine code for sm_90, what it refuses, its launch; and on a GPU."""

import contextlib
import dataclasses
import itertools
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcross.measure.accuracy.reference import by_scipy
from convkernels.algorithms.fft import cuda_overlap_save as overlap_save
from convkernels.cuda import disassembly, emulator, nvrtc, occupancy
from convkernels.cuda import kernel as cuda
from convkernels.discovery import find
from convkernels.namespaces import from_numpy, missing, namespace, on, to_numpy
from convkernels.problem import MODES, OPS, Problem, UnsupportedProblem
from support.emulated import needs_compiler
from support.overlap_save import KERNELS, LARGEST, PLAIN, THREADS, assert_right
from support.problems import Case, case

# ---- machine code for sm_90 ------------------------------------------------------------------

VARIANTS = [
    {"dtype": dtype, "boundary": boundary, "in_channels": channels}
    for dtype in overlap_save.STORED
    for boundary in ("zero", "circular")
    for channels in (1, 2)
]


@pytest.mark.parametrize("compiler", nvrtc.COMPILERS)
def test_compiles_without_spills(compiler):
    if reason := nvrtc.missing(compiler):
        pytest.skip(reason)
    variants = VARIANTS
    if compiler != "nvrtc" and not nvrtc.missing("nvrtc"):
        variants = variants[:1]  # CuPy compiles with NVRTC: it is the one that counts
    for variant in variants:
        problem = dataclasses.replace(PLAIN, **variant)
        least = {
            overlap_save.compose_run(problem): overlap_save.RESIDENT,
            overlap_save.compose_load(problem): 1,
        }
        for kernel, resident in least.items():
            used = nvrtc.resources(kernel, compiler)
            assert (used.spilled_bytes, used.stack_bytes) == (0, 0), (problem, used)
            assert used.shared_bytes == 0, "all of it is dynamic"
            assert used.shared_bytes + kernel.shared_bytes <= cuda.UNASKED_SHARED_BYTES
            blocks = occupancy.blocks(THREADS, used.registers, kernel.shared_bytes)
            assert blocks >= resident, (problem, used)


def test_flops_are_those_of_the_machine_code():
    """One channel has no loop: what is there is what a thread does, all rows being kept."""
    if reason := nvrtc.missing("nvrtc") or disassembly.missing():
        pytest.skip(reason)
    names = disassembly.instructions(overlap_save.compose_run(PLAIN))
    count = {name: sum(n.partition(".")[0] == name for n in names) for name in ("FADD", "FMUL")}
    fused = sum(name.startswith("FFMA") for name in names)
    in_code = THREADS * (2 * fused + sum(count.values()))
    whole = dataclasses.replace(PLAIN, image=(64, 128), kernel=(1, 1))  # one block keeps all
    declared = overlap_save.CUDAOverlapSave.cost(whole).flops
    assert overlap_save.pairs(whole) == 1
    assert declared == pytest.approx(in_code, rel=0.05)


# ---- the launch ------------------------------------------------------------------------------


@given(st.integers(1, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_divisions_by_products(divisor, number):
    _, multiplier, shift = overlap_save.division(divisor)
    assert 0 < multiplier < 2**32
    for n in (number, number // divisor * divisor, max(0, number // divisor * divisor - 1)):
        total = (n * multiplier >> 32) + n
        assert total < 2**32
        assert total >> shift == n // divisor


def test_sources_are_ascii():
    assert overlap_save.compose_load(PLAIN).source.isascii()
    assert overlap_save.compose_run(PLAIN).source.isascii()


def test_shape_is_the_struct_of_the_source():
    struct = re.search(r"struct Shape \{(.*?)\};", overlap_save.SOURCE, re.DOTALL).group(1)
    fields = re.findall(r"\w+(?=[,;])", re.sub(r"//.*", "", struct))
    assert list(overlap_save.shape_of(PLAIN)) == fields


def test_the_block_is_that_of_the_source():
    constants = re.search(
        r"constexpr int SIDE = (\d+), LANES = (\d+), POINTS = 8, PITCH = (\d+)", overlap_save.SOURCE
    )
    side, lanes, pitch = map(int, constants.groups())
    assert (lanes, side, 1) == overlap_save.BLOCK
    assert 8 * side * pitch == overlap_save.SHARED_BYTES


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dtype": "float64"}, "float32, float16, bfloat16 only, not float64"),
        ({"kernel": (LARGEST + 1, 3)}, "kernels to 33×33, not 34×3: a tile of 64×64 would keep"),
        ({"stride": (2, 1)}, "no stride"),
        ({"dilation": (1, 2)}, "no dilation"),
        ({"direction": "grad_input"}, "no direction grad_input"),
    ],
)
def test_refuses_with_a_reason(change, reason):
    problem = Problem(**{"image": (64, 64), "kernel": (3, 3), "mode": "same"} | change)
    with pytest.raises(UnsupportedProblem, match=reason):
        find("cuda-overlap-save").prepare(problem, "cupy", "cuda:0")


def test_refuses_the_cpu():
    with pytest.raises(UnsupportedProblem, match="runs on CUDA devices alone"):
        find("cuda-overlap-save").prepare(PLAIN, "torch", "cpu")


@pytest.mark.parametrize("boundary", ["zero", "circular"])
def test_cost_counts_what_tiles_read(boundary):
    """By hand: kernels of 5 keep 60 rows and columns, in mode full of an image of 100×40."""
    problem = Problem(image=(100, 40), kernel=(5, 5), mode="full", batch=3, boundary=boundary)
    assert overlap_save.tiles(problem) == (2, 1)
    assert overlap_save.pairs(problem) == 3
    # Of rows −4 to 59 and 56 to 119, those that are there; of columns −4 to 59.
    assert (
        overlap_save.pixels_read(problem)
        == {
            "zero": (60 + 44) * 40,
            "circular": 128 * 64,
        }[boundary]
    )


@pytest.mark.torch
@needs_compiler
@pytest.mark.parametrize("dtype", overlap_save.STORED)
def test_torch_launches_on_its_own_stream(monkeypatch, dtype):
    """Tensors of the CPU stand in for a card's, the emulator for CuPy's launch: the addresses are
    the tensors', the stream is torch's."""
    import torch

    streams = []

    @contextlib.contextmanager
    def from_external(handle):
        streams.append(handle.__cuda_stream__())
        yield

    fake = SimpleNamespace(
        cuda=SimpleNamespace(
            Device=lambda index: contextlib.nullcontext(),
            Stream=SimpleNamespace(from_external=from_external),
        )
    )
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(
        torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=1234)
    )
    monkeypatch.setattr(cuda, "on_gpu", lambda kernel, device: emulator.on_cpu(kernel))
    case_ = case(dataclasses.replace(PLAIN, image=(50, 130), dtype=dtype))
    instance = overlap_save.CUDAOverlapSave()
    instance.plan(case_.problem, namespace("torch"), "cuda:0")
    x, w = (from_numpy(values, "torch", "cpu", dtype) for values in (case_.x, case_.w))
    instance.load(w)
    y = instance.run(x.T.contiguous().T)
    assert str(y.dtype) == f"torch.{dtype}"
    assert_right(to_numpy(y), case_)
    assert streams == [(0, 1234)] * 2


# ---- the GPU ---------------------------------------------------------------------------------


def on_gpu(case_, name):
    """The result on a card, in NumPy."""
    if reason := find("cuda-overlap-save").missing(name) or missing(name):
        pytest.skip(reason)
    problem = case_.problem
    with on(name, "cuda:0"):
        instance = find("cuda-overlap-save").prepare(problem, name, "cuda:0")
        instance.load(from_numpy(case_.w, name, "cuda:0", problem.dtype))
        return to_numpy(instance.run(from_numpy(case_.x, name, "cuda:0", problem.dtype)))


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["cupy", "torch"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_on_a_gpu(name, kernel):
    grouped = {"batch": 2, "in_channels": 4, "out_channels": 6, "groups": 2}
    dtypes = ["float32", "float16", "bfloat16"][: 3 if name == "torch" else 2]
    shapes = [((64, 128), {}), ((211, 301), {}), ((50, 141), grouped)]
    circular = [{"mode": "full", "boundary": "circular"}, {"mode": "same", "boundary": "circular"}]
    for (image, channels), setting, op, dtype in itertools.product(
        shapes, [*({"mode": mode} for mode in MODES), *circular], OPS, dtypes
    ):
        case_ = case(Problem(image=image, kernel=kernel, op=op, dtype=dtype, **channels, **setting))
        assert_right(on_gpu(case_, name), case_)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["cupy", "torch"])
def test_weights_of_any_magnitude_on_a_gpu(name):
    plain = case(Problem(image=(300, 200), kernel=(9, 9), mode="same"))
    for power in (-110, 100):
        w = plain.w * np.float32(2.0**power)
        y = on_gpu(Case(plain.problem, plain.x, w, plain.expected), name)
        assert_right(y * 2.0**-power, plain)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["cupy", "torch"])
def test_more_than_2_31_pixels_on_a_gpu(name):
    """Its last tiles: an image of 9 GB, made on the card."""
    if reason := find("cuda-overlap-save").missing(name) or missing(name):
        pytest.skip(reason)
    problem, xp = Problem(image=(47000, 47000), kernel=(4, 4), mode="valid"), namespace(name)
    w = np.random.default_rng(0).standard_normal((4, 4), np.float32)
    corner = np.random.default_rng(1).standard_normal((200, 200), np.float32)
    with on(name, "cuda:0"):
        b = from_numpy(w, name, "cuda:0", "float32")
        x = xp.zeros(problem.image, dtype=xp.float32, device=b.device)
        x[-200:, -200:] = from_numpy(corner, name, "cuda:0", "float32")
        instance = find("cuda-overlap-save").prepare(problem, name, "cuda:0")
        instance.load(b)
        y = to_numpy(instance.run(x)[-197:, -197:])
    small = Problem(image=(200, 200), kernel=(4, 4), mode="valid")
    assert_right(y, Case(small, corner, w, by_scipy(small, corner, w)))
