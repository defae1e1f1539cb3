"""cuda-direct without a GPU: compiled for sm_90, run on the CPU through the emulator."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import signal

from convkernels.algorithms.direct import cuda_direct
from convkernels.cuda import disassembly, emulator, nvrtc, occupancy
from convkernels.cuda import kernel as cuda
from convkernels.discovery import find
from convkernels.namespaces import from_numpy, missing, on, to_numpy
from convkernels.problem import MODES, OPS, Problem, UnsupportedProblem
from convkernels.toolbox import bounds
from support.emulated import Guarded, needs_compiler, without

needs_gpu = pytest.mark.skipif(
    missing("cupy") is not None, reason=f"no CUDA GPU: {missing('cupy')}"
)

H200_PROCESSORS = 132


def operands(problem, seed=0):
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal(problem.x_shape, dtype=np.float32),
        rng.standard_normal(problem.w_shape, dtype=np.float32),
    )


def reference(x, w, problem):
    """SciPy's answer in float64, (B, K, OH, OW)."""
    ins, outs = (n // problem.groups for n in (problem.in_channels, problem.out_channels))
    function = signal.convolve2d if problem.op == "convolution" else signal.correlate2d
    x = x.astype(np.float64).reshape(problem.batch, problem.in_channels, *problem.image)
    w = w.astype(np.float64).reshape(problem.out_channels, ins, *problem.kernel)
    if problem.padding is not None:
        x = np.pad(x, ((0, 0), (0, 0), *problem.padding))
    y = np.zeros((problem.batch, problem.out_channels, *problem.output))
    for item, out in np.ndindex(*y.shape[:2]):
        for channel in range(ins):
            plane = x[item, out // outs * ins + channel]
            y[item, out] += function(plane, w[out, channel], mode=problem.mode or "valid")
    return y


def assert_right(y, x, w, problem):
    expected = reference(x, w, problem)
    # What ‖y‖ is on average over signs: not small when a single output happens to cancel.
    typical = np.sqrt(reference(x * x, w * w, problem).sum())
    error = np.linalg.norm(np.asarray(y, np.float64).reshape(expected.shape) - expected)
    assert y.shape == problem.y_shape
    assert error <= bounds.summation(problem) * max(typical, np.linalg.norm(expected))


@pytest.fixture
def emulate(monkeypatch):
    """``emulate(problem, reverse=…, processors=…, edit=…)``: plan, load and run on the CPU."""

    def run(problem, *, reverse=False, processors=1, edit=lambda source: source, seed=0):
        def on_cpu(kernel, device):
            edited = dataclasses.replace(kernel, source=edit(kernel.source))
            return emulator.on_cpu(edited, reverse)

        monkeypatch.setattr(cuda, "on_gpu", on_cpu)
        monkeypatch.setattr(cuda, "processors", lambda device: processors)
        instance = find("cuda-direct").prepare(problem, "numpy", "cuda:0")
        instance.xp = guarded = Guarded()
        x, w = operands(problem, seed)
        instance.load(w)
        y = instance.run(x)
        guarded.check()
        return y, x, w

    return run


# ---- the numbers, in the emulator -----------------------------------------------------------

# Kernel size, processors of the device (which move small outputs to smaller tiles).
KERNELS = [
    ((1, 1), 1),
    ((3, 3), 1),
    ((3, 3), 4),
    ((3, 3), H200_PROCESSORS),
    ((2, 5), 1),
    ((6, 4), H200_PROCESSORS),
    ((7, 7), 1),
    ((12, 13), 1),
    ((1, 20), 1),
    ((31, 31), 1),
    ((31, 30), H200_PROCESSORS),
    ((33, 33), 1),
    ((47, 36), H200_PROCESSORS),
    ((63, 63), 1),
    ((63, 63), H200_PROCESSORS),
]
# Smaller than a tile, a whole number of tiles, widths that are no multiple of 4.
IMAGES = [(1, 1), (5, 34), (64, 128), (71, 130)]
PADDINGS = [((0, 0), (0, 0)), ((3, 0), (0, 5)), ((35, 2), (1, 33))]


def fits(image, kernel, padding):
    return all(
        size + sum(pads) >= taps for size, pads, taps in zip(image, padding, kernel, strict=True)
    )


@needs_compiler
@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(("kernel", "processors"), KERNELS)
def test_agrees_with_scipy(emulate, kernel, processors, op):
    settings = [{"image": image, "mode": mode} for image in IMAGES for mode in MODES]
    settings += [{"image": image, "padding": pads} for image in IMAGES for pads in PADDINGS]
    zero = PADDINGS[0]
    checked = 0
    for index, setting in enumerate(settings):
        pads = setting.get("padding", zero)
        if (setting.get("mode") in (None, "valid")) and not fits(setting["image"], kernel, pads):
            continue
        problem = Problem(kernel=kernel, op=op, **setting)
        y, x, w = emulate(problem, processors=processors, reverse=index % 2 == 1, seed=index)
        assert_right(y, x, w, problem)
        checked += 1
    assert checked >= 10


@needs_compiler
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "channels",
    [
        {"batch": 3},
        {"in_channels": 3, "out_channels": 1},
        {"in_channels": 1, "out_channels": 5},
        {"batch": 2, "in_channels": 6, "out_channels": 4, "groups": 2},
        {"in_channels": 4, "out_channels": 8, "groups": 4},
    ],
)
@pytest.mark.parametrize("op", OPS)
def test_batches_channels_and_groups(emulate, channels, op, reverse):
    problem = Problem(image=(37, 133), kernel=(3, 3), op=op, mode="same", **channels)
    y, x, w = emulate(problem, reverse=reverse)
    assert_right(y, x, w, problem)


@needs_compiler
def test_takes_views(emulate, monkeypatch):
    """CuPy ignores strides: operands must be made contiguous."""
    problem = Problem(image=(20, 30), kernel=(3, 3), mode="valid")
    emulate(problem)  # leaves the emulator in the place of the GPU
    instance = find("cuda-direct").prepare(problem, "numpy", "cuda:0")
    x, w = operands(problem)
    instance.load(np.asfortranarray(w))
    assert_right(instance.run(np.repeat(x, 2, axis=1)[:, ::2]), x, w, problem)


# ---- the emulator sees what it is for -------------------------------------------------------

THREE_CHANNELS = Problem(image=(40, 140), kernel=(3, 3), in_channels=3, mode="same")


@needs_compiler
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("which", range(3))
def test_every_barrier_is_needed(emulate, which, reverse):
    def edit(source):
        return without(source, "__syncthreads();", which, count=3)

    y, x, w = emulate(THREE_CHANNELS, edit=edit, reverse=reverse)
    with pytest.raises(AssertionError):
        assert_right(y, x, w, THREE_CHANNELS)


@needs_compiler
def test_a_write_past_shared_memory_is_seen(emulate, monkeypatch):
    short = cuda_direct.Tile.shared_bytes
    monkeypatch.setattr(cuda_direct.Tile, "shared_bytes", lambda self, k: short(self, k) - 16)
    with pytest.raises(RuntimeError, match="bytes of shared memory"):
        emulate(THREE_CHANNELS)


@needs_compiler
def test_errors_of_the_compiler_are_told():
    with pytest.raises(RuntimeError, match="refuses nothing"):
        emulator.on_cpu(cuda.Kernel("this is no C++", "nothing", 0))


# ---- machine code for sm_90 -----------------------------------------------------------------

SQUARES = [(n, n) for n in (3, 7, 11, 13, 15, 31, 33, 63)]
RECTANGLES = [(31, 3), (5, 31), (3, 63)]
INSTRUCTION_CACHE = 128 << 10  # bytes, of a multiprocessor: Jia et al. 2018, arXiv:1804.06826


@pytest.mark.parametrize("compiler", nvrtc.COMPILERS)
def test_compiles_without_spills(compiler):
    reason = nvrtc.missing(compiler)
    if reason:
        pytest.skip(reason)
    cases = [(kernel, 1) for kernel in SQUARES + RECTANGLES]
    cases += [((31, 31), 70), ((5, 5), 10**6)]  # both small tiles
    cases += [((63, 63), 70), ((63, 63), 10**6)]
    if compiler != "nvrtc" and not nvrtc.missing("nvrtc"):
        cases = cases[:2]  # CuPy compiles with NVRTC: it is the one that counts
    for size, processors in cases:
        tile = cuda_direct.tile_for(Problem(image=(512, 512), kernel=size), processors)
        kernel = cuda_direct.compose(size, tile)
        used = nvrtc.resources(kernel, compiler)
        threads = tile.across * tile.down
        assert (used.spilled_bytes, used.stack_bytes) == (0, 0), (size, tile, used)
        assert used.registers * threads * tile.resident <= 65536, (size, tile, used)
        assert used.registers <= 255


@pytest.mark.parametrize("n", [7, 11, 13, 15, 31, 33, 63])
def test_the_machine_code_fits_the_instruction_cache(n):
    if reason := nvrtc.missing("nvrtc") or disassembly.missing():
        pytest.skip(reason)
    problem = Problem(image=(4096, 4096), kernel=(n, n), mode="same")
    kernel = cuda_direct.compose(problem.kernel, cuda_direct.tile_for(problem, H200_PROCESSORS))
    names = disassembly.instructions(kernel)
    assert 16 * len(names) <= INSTRUCTION_CACHE
    first, second, *_ = (at for at, name in enumerate(names) if name.startswith("BAR"))
    assert disassembly.mix(names[first:second])["multiply-adds"] > 0.92 * (second - first)


@pytest.mark.parametrize("compiler", nvrtc.COMPILERS)
def test_compiler_errors_are_told(compiler):
    reason = nvrtc.missing(compiler)
    if reason:
        pytest.skip(reason)
    with pytest.raises(RuntimeError, match="nonsense"):
        nvrtc.resources(cuda.Kernel("nonsense", "nothing", 0), compiler)


# ---- the launch ------------------------------------------------------------------------------


@pytest.mark.parametrize("largest", [31, cuda_direct.LARGEST])
def test_shared_memory_fits_every_kernel_size(largest):
    for processors in (1, 40, 10**6):
        problem = Problem(image=(512, 512), kernel=(largest, largest), mode="same")
        tile = cuda_direct.tile_for(problem, processors)
        # The outputs pass through the memory of the inputs.
        assert math.prod(tile.outputs) <= math.prod(tile.inputs((1, 1)))
        assert tile.shared_bytes(problem.kernel) <= cuda.MAX_SHARED_BYTES
    wide = cuda_direct.WIDE
    wanted = occupancy.blocks(128, 255, wide.shared_bytes((cuda_direct.LARGEST,) * 2))
    assert wanted == wide.resident


def test_source_is_ascii():
    problem = Problem(image=(8, 9), kernel=(3, 5))
    tile = cuda_direct.tile_for(problem, H200_PROCESSORS)
    assert cuda_direct.compose(problem.kernel, tile).source.isascii()


def test_shape_is_the_struct_of_the_source():
    problem = Problem(image=(8, 9), kernel=(3, 5))
    struct = re.search(r"struct Shape \{(.*?)\};", cuda_direct.SOURCE, re.DOTALL).group(1)
    fields = re.findall(r"\w+(?=[,;])", re.sub(r"//.*", "", struct))
    assert list(cuda_direct.shape_of(problem, cuda_direct.LIGHT)) == fields


@pytest.mark.parametrize(
    ("image", "kernel", "tile"),
    [
        ((4096, 4096), (3, 3), cuda_direct.LIGHT),
        ((4096, 4096), (7, 7), cuda_direct.MIDDLE),
        ((4096, 4096), (31, 31), cuda_direct.HEAVY),
        ((512, 512), (31, 31), cuda_direct.SMALL[1]),
        ((600, 600), (7, 7), cuda_direct.SMALL[0]),
        ((4096, 4096), (33, 33), cuda_direct.WIDE),
        ((512, 512), (63, 63), cuda_direct.SMALL_WIDE[1]),
    ],
)
def test_tiles_keep_the_processors_at_work(image, kernel, tile):
    problem = Problem(image=image, kernel=kernel, mode="same")
    assert cuda_direct.tile_for(problem, H200_PROCESSORS) == tile


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dtype": "float64"}, "float32 only, not float64"),
        ({"kernel": (64, 3)}, "not 64×3"),
        ({"boundary": "circular"}, "no boundary circular"),
        ({"stride": (2, 1)}, "no stride"),
        ({"dilation": (1, 2)}, "no dilation"),
        ({"direction": "grad_input"}, "no direction grad_input"),
    ],
)
def test_refuses_with_a_reason(change, reason):
    problem = Problem(**{"image": (64, 64), "kernel": (3, 3), "mode": "same"} | change)
    with pytest.raises(UnsupportedProblem, match=reason):
        find("cuda-direct").prepare(problem, "cupy", "cuda:0")


@pytest.mark.parametrize("shared_bytes", [48 * 1024, 48 * 1024 + 16])
def test_large_shared_memory_is_asked_for(monkeypatch, shared_bytes):
    """Without a GPU only the calls can be checked: device, source, options, opt-in."""
    calls = []
    function = SimpleNamespace()

    class Device:
        def __init__(self, index):
            calls.append(("device", index))

        def __enter__(self):
            calls.append("enter")

        def __exit__(self, *_):
            calls.append("exit")

    def raw_module(*, code, options):
        calls.append((code, options))
        return SimpleNamespace(get_function=lambda name: calls.append(name) or function)

    fake = SimpleNamespace(cuda=SimpleNamespace(Device=Device), RawModule=raw_module)
    monkeypatch.setitem(sys.modules, "cupy", fake)
    kernel = cuda.Kernel("source", "name", shared_bytes)
    assert cuda._load(kernel, "cuda:1") is function
    assert calls == [("device", 1), "enter", ("source", ("--std=c++17",)), "name", "exit"]
    asked = getattr(function, "max_dynamic_shared_size_bytes", None)
    assert asked == (shared_bytes if shared_bytes > 48 * 1024 else None)


# ---- the GPU ---------------------------------------------------------------------------------


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("processors", [None, 1, 10**6])  # the device's, largest and least tile
@pytest.mark.parametrize(
    "kernel", [(1, 1), (3, 3), (2, 5), (7, 7), (12, 13), (31, 31), (63, 63), (31, 2)]
)
def test_on_a_gpu(monkeypatch, kernel, processors):
    if processors is not None:
        monkeypatch.setattr(cuda, "processors", lambda device: processors)
    grouped = {"batch": 2, "in_channels": 4, "out_channels": 6, "groups": 2}
    cases = itertools.product([((64, 128), {}), ((211, 301), {}), ((50, 141), grouped)], MODES, OPS)
    for (image, channels), mode, op in cases:
        problem = Problem(image=image, kernel=kernel, mode=mode, op=op, **channels)
        x, w = operands(problem)
        with on("cupy", "cuda:0"):
            instance = find("cuda-direct").prepare(problem, "cupy", "cuda:0")
            instance.load(from_numpy(w, "cupy", "cuda:0", "float32"))
            y = to_numpy(instance.run(from_numpy(x, "cupy", "cuda:0", "float32")))
        assert_right(y, x, w, problem)
