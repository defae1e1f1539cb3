"""cuda-overlap-save without a GPU: run on the CPU through the emulator, compiled for sm_90.

Without a card there is no timing, no launch through CuPy and no race that both orders of the
emulator miss: what is left for a card is marked gpu.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import mmap
import sys

import numpy as np
import pytest

from convcross.measure.accuracy.reference import by_scipy
from convcross.sweeps import data
from convkernels.algorithms.fft import cuda_overlap_save as overlap_save
from convkernels.cuda import emulator
from convkernels.cuda import kernel as cuda
from convkernels.namespaces import round_to
from convkernels.problem import MODES, OPS, Problem
from support.emulated import Guarded, needs_compiler, without
from support.overlap_save import KERNELS, PLAIN, THREADS, assert_right
from support.problems import Case, case, random_case
from support.reference import relative_error


def bits(values):
    """bfloat16, which NumPy holds in float32, as its bits."""
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def stored(values, dtype):
    return bits(values) if dtype == "bfloat16" else values


@pytest.fixture
def emulate(monkeypatch):
    """``emulate(case, reverse=…, edit=…, grid=…)``: plan, load and run on the CPU; gives y,
    bfloat16 in float32, and leaves ``emulate.scales``, the filters' powers of two."""

    def run(case_, *, reverse=False, edit=lambda kernel: kernel.source, grid=None):
        def on_cpu(kernel, device):
            edited = dataclasses.replace(kernel, source=edit(kernel))
            return emulator.on_cpu(edited, reverse)

        monkeypatch.setattr(cuda, "on_gpu", on_cpu)
        problem = case_.problem
        instance, guarded = overlap_save.CUDAOverlapSave(), Guarded()
        assert instance.refuses(problem, "cupy", "cuda:0") is None
        instance.plan(problem, guarded, "cuda:0")
        instance.grid = grid or instance.grid
        instance.load(stored(case_.w, problem.dtype))
        y = instance.run(stored(case_.x, problem.dtype))
        guarded.check()
        run.scales = instance.scales
        if problem.dtype == "bfloat16":
            y = (y.astype(np.uint32) << 16).view(np.float32)
        return y

    return run


# ---- the numbers, in the emulator ------------------------------------------------------------

# Smaller than a tile, a tile's side, one more and one less, several in both directions.
IMAGES = [(1, 1), (5, 64), (63, 65), (71, 140)]
PADDINGS = [((3, 0), (0, 5)), ((35, 2), (1, 33))]


def fits(image, kernel, padding):
    return all(
        size + sum(pads) >= taps for size, pads, taps in zip(image, padding, kernel, strict=True)
    )


@needs_compiler
@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_agrees_with_scipy(emulate, kernel, op):
    zero = ((0, 0), (0, 0))
    settings = [{"image": image, "mode": mode} for image in IMAGES for mode in MODES]
    settings += [{"image": image, "padding": pads} for image in IMAGES for pads in PADDINGS]
    for image, mode in itertools.product(IMAGES, ("full", "same")):
        if fits(image, kernel, zero):
            settings.append({"image": image, "mode": mode, "boundary": "circular"})
    checked = 0
    for index, setting in enumerate(settings):
        pads = setting.get("padding", zero)
        if setting.get("mode") in (None, "valid") and not fits(setting["image"], kernel, pads):
            continue
        case_ = case(Problem(kernel=kernel, op=op, **setting), seed=index)
        assert_right(emulate(case_, reverse=index % 2 == 1), case_)
        checked += 1
    assert checked >= 15


CHANNELS = [
    {"batch": 3},
    {"in_channels": 3, "out_channels": 1},
    {"in_channels": 1, "out_channels": 5},
    {"batch": 2, "in_channels": 6, "out_channels": 4, "groups": 2},
    {"in_channels": 4, "out_channels": 8, "groups": 4},
]


@needs_compiler
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("op", OPS)
def test_batches_channels_and_groups(emulate, channels, op, reverse):
    case_ = case(Problem(image=(37, 133), kernel=(5, 4), op=op, mode="same", **channels))
    assert_right(emulate(case_, reverse=reverse), case_)


@needs_compiler
def test_random_problems(emulate):
    solved = 0
    for index in range(250):
        case_ = random_case(index)
        if overlap_save.CUDAOverlapSave.refuses(case_.problem, "torch", "cuda:0") is None:
            assert_right(emulate(case_, reverse=index % 2 == 1), case_)
            solved += 1
    assert solved >= 50


@needs_compiler
@pytest.mark.parametrize("image_data", data.IMAGES[:-1])  # subnormal numbers count as zero
@pytest.mark.parametrize("kernel_data", data.KERNELS[:-1])
def test_kinds_of_data(emulate, image_data, kernel_data):
    problem = Problem(image=(100, 130), kernel=(9, 7), batch=2, mode="same")
    x = data.image(image_data, problem.x_shape, 1).astype(np.float32)
    w = data.kernel(kernel_data, problem.w_shape, 1).astype(np.float32)
    case_ = Case(problem, x, w, by_scipy(problem, x, w))
    assert_right(emulate(case_), case_)


@needs_compiler
@pytest.mark.parametrize("exponent", [-110, -60, 0, 60, 120])
def test_weights_of_any_magnitude(emulate, exponent):
    """The spectrum is of weights near 1: at 2^-110 it would be subnormal, at 2^120 infinite."""
    plain = case(Problem(image=(30, 70), kernel=(5, 5), in_channels=2, mode="valid"))
    x = plain.x * np.float32(2.0 ** -(exponent // 2))
    scaled = Case(plain.problem, x, plain.w * np.float32(2.0**exponent), plain.expected)
    y = emulate(scaled) * 2.0 ** -(exponent - exponent // 2)
    assert np.array_equal(y, emulate(plain))


@needs_compiler
@pytest.mark.parametrize("weight", [2.0**-126, -(2.0**-126), 1.5 * 2.0**127, -(2.0**127)])
def test_the_least_and_the_largest_weight(emulate, weight):
    """Ends of float32, where neither the weight's power of two nor its inverse may leave it."""
    problem = Problem(image=(30, 70), kernel=(1, 1), mode="valid")
    size = 2.0**60 if abs(weight) < 1 else 2.0**-60
    x = (np.random.default_rng(0).standard_normal((30, 70)) * size).astype(np.float32)
    w = np.full((1, 1), weight, np.float32)
    case_ = Case(problem, x, w, x.astype(float) * weight)
    assert_right(emulate(case_), case_)


@needs_compiler
def test_no_weight_but_zero(emulate):
    plain = case(Problem(image=(30, 70), kernel=(5, 5), mode="valid"))
    assert not emulate(dataclasses.replace(plain, w=np.zeros_like(plain.w))).any()


@needs_compiler
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_storage_of_16_bits_is_rounded_once(emulate, dtype):
    """A kernel of one tap of 1 gives back what was stored, every number of 16 bits."""
    problem = Problem(image=(256, 256), kernel=(1, 1), mode="same", dtype=dtype)
    every = np.arange(1 << 16, dtype=np.uint16)
    if dtype == "float16":
        values = every.view(np.float16)
    else:
        values = (every.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(invalid="ignore"):
        usual = np.abs(values.astype(np.float32)) < 256  # beyond, neighbours lose their last bits
    x = np.where(usual, values, 0).astype(values.dtype).reshape(256, 256)
    y = emulate(Case(problem, x, np.ones((1, 1), values.dtype), x.astype(float)))
    assert np.abs(y.astype(float) - x).max() <= 2.0**-12
    assert_right(y, Case(problem, x, np.ones((1, 1), values.dtype), x.astype(float)))


@needs_compiler
@pytest.mark.parametrize(
    ("dtype", "value"), [("float16", np.nan), ("bfloat16", np.nan), ("float16", 60000.0)]
)
def test_what_no_number_of_16_bits_is_stays_none(emulate, dtype, value):
    """Rounding carries no NaN over into a number, nor what is too large."""
    problem = Problem(image=(3, 3), kernel=(1, 1), mode="same", dtype=dtype)
    x, w = (
        round_to(np.full(shape, number), dtype)
        for shape, number in (((3, 3), value), ((1, 1), 300.0))
    )
    assert not np.isfinite(emulate(Case(problem, x, w, x.astype(float)))).any()


@needs_compiler
def test_takes_views(emulate, monkeypatch):
    """Kernels count in C order: operands are made contiguous."""
    case_ = case(Problem(image=(20, 30), kernel=(3, 2), mode="valid"))
    emulate(case_)  # leaves the emulator in the place of the GPU
    instance = overlap_save.CUDAOverlapSave()
    instance.plan(case_.problem, Guarded(), "cuda:0")
    instance.load(np.asfortranarray(case_.w))
    assert_right(instance.run(np.repeat(case_.x, 2, axis=1)[:, ::2]), case_)


def sparse(shape):
    """float32 zeros in memory that is there once it is touched."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000  # Linux's MAP_NORESERVE
    memory = mmap.mmap(-1, 4 * math.prod(shape), flags=flags)
    return np.frombuffer(memory, np.float32).reshape(shape)


@needs_compiler
@pytest.mark.skipif(sys.platform != "linux", reason="takes memory as Linux gives it")
def test_images_of_more_than_2_31_pixels(emulate, monkeypatch):
    """The last tile of three of them, alone: within the image its place is past what 31 bits
    count, and in memory past 32."""
    problem = Problem(image=(47000, 47000), kernel=(4, 4), batch=3, mode="valid")
    last = overlap_save.pairs(problem) - 1
    monkeypatch.setattr(Guarded, "empty", lambda self, shape, dtype, device=None: sparse(shape))

    def last_alone(kernel):
        assert kernel.source.count("block = blockIdx.x,") == 1
        return kernel.source.replace("block = blockIdx.x,", f"block = {last},")

    x, w = sparse(problem.x_shape), np.random.default_rng(0).standard_normal((4, 4), np.float32)
    corner = np.random.default_rng(1).standard_normal((40, 40), np.float32)
    x[2, -40:, -40:] = corner
    y = emulate(Case(problem, x, w, None), edit=last_alone, grid=(1, 1, 1))[2]
    small = Problem(image=(40, 40), kernel=(4, 4), mode="valid")
    kept = 46997 % 61  # rows and columns of the last tile
    expected = by_scipy(small, corner, w)[-kept:, -kept:]
    error = relative_error(y[-kept:, -kept:], expected, corner[-kept:, -kept:], w)
    assert error <= overlap_save.CUDAOverlapSave.error_bound(small)
    assert not y[: 46997 - kept, -kept:].any()


# ---- the emulator sees what it is for --------------------------------------------------------

SEVERAL = Problem(image=(70, 100), kernel=(17, 17), in_channels=2, mode="same")
BARRIERS = [("__syncthreads();", 5), ("__syncwarp();", 2)]  # three of the five in load alone


@needs_compiler
@pytest.mark.parametrize(
    ("barrier", "which", "count"),
    [(name, which, count) for name, count in BARRIERS for which in range(count)],
)
def test_every_barrier_is_needed(emulate, barrier, which, count):
    where = "overlap_save_load" if which >= 2 else "overlap_save"

    def edit(kernel):
        wanted = kernel.name == where
        return without(kernel.source, barrier, which, count) if wanted else kernel.source

    case_, wrong = case(SEVERAL), 0
    case_.w.setflags(write=True)
    case_.w.flat[300] = 9.0  # the largest, in the second half of the block's threads
    case_ = dataclasses.replace(case_, expected=by_scipy(SEVERAL, case_.x, case_.w))
    assert_right(emulate(case_), case_)
    assert emulate.scales == 16.0
    for reverse in (False, True):
        y = emulate(case_, reverse=reverse, edit=edit)
        try:
            assert_right(y, case_)
            assert emulate.scales == 16.0
        except AssertionError:
            wrong += 1
    assert wrong


@needs_compiler
def test_a_write_past_shared_memory_is_seen(emulate, monkeypatch):
    monkeypatch.setattr(overlap_save, "SHARED_BYTES", overlap_save.SHARED_BYTES - 16)
    with pytest.raises(RuntimeError, match="bytes of shared memory"):
        emulate(case(PLAIN))


@needs_compiler
def test_shared_memory_has_no_bank_conflicts():
    """Numbers of 8 bytes go in halves of a warp: 16 threads, 16 banks of 8 bytes."""
    names = ("exchange_write", "exchange_read", "line_write", "column_read")
    calls = "\n".join(
        f"to[({index} * 8 + k) * {THREADS} + thread] = "
        f"convkernels::Places::{name}(threadIdx.y, threadIdx.x, k);"
        for index, name in enumerate(names)
    )
    source = f"""{overlap_save.SOURCE}
extern "C" __global__ void places(int* to) {{
  const int thread = threadIdx.y * 8 + threadIdx.x;
  for (int k = 0; k < 8; k++) {{ {calls} }}
}}"""
    places = np.zeros((len(names), 8, THREADS), np.int32)
    launch = emulator.on_cpu(cuda.Kernel(source, "places", 0))
    launch((1, 1, 1), overlap_save.BLOCK, (places,), shared_mem=0)
    banks = np.sort(places.reshape(len(names), 8, -1, 16) % 16, axis=-1)
    assert (banks == np.arange(16)).all()
    assert places.min() == 0
    assert 8 * (places.max() + 1) <= overlap_save.SHARED_BYTES
