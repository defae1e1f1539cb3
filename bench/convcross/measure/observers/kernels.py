"""What ran: the kernels of a run by name, what their names tell, and the state of the libraries.

Names are the libraries' own, as a profiler records them: they tell what a contender did, not what
it says. They tell no more, though: an FFT under another name is not found.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import math
import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

from convcross.machine import describe

KEPT = 12  # kernels a run: those of the largest shares
LONGEST = 200  # characters of a name
RUNS = 3  # on a card, as CUPTI before CUDA 13.1 may lose a session's first kernels (pytorch#192021)

# An FFT, by a part of a name between "::" and before "<" or "(":
# regular_fft, vector_fft_c2r, prime_fft_factor, multi_bluestein_fft, composite_2way_fft_c2r and
# regular_fft_pad (cuFFT, and cuDNN's copy of it), fft2d_r2c_32x32, fft1d_c2r_32 (cuDNN),
# spRadix0064B, dpVector1024D, dpRealComplex (cuFFT before CUDA 9), block_fft_kernel (cuFFTDx),
# VkFFT_main, _fft_conjugate_copy_kernel, aten::_fft_r2c, aten::fft_rfft2 (torch).
FFT = re.compile(
    r"^(\w*_)?fft(_(r2c|c2r|c2c|factor|pad|clip|kernel))*$"
    r"|^fft[123]d_(r2c|c2r|c2c)"
    r"|^_*(__nv_static_\w+_)?[dsh]p(Radix\d|Vector\d|RealComplex)"
    r"|^VkFFT"
    r"|^_fft_(r2c|c2r|c2c|conjugate|with|fill)"
    r"|^fft_(?!\w*(shift|freq))"
)
# The other algorithms; of a name that fits two, the first. cuDNN's "scudnn" kernels are implicit
# matrix products, and so, by its manual, are its algorithms 0 and 1 of both gradients, which the
# names dgrad_engine and wgrad_alg0_engine are taken for. torch's direct_copy_kernel is a copy.
ENGINES = (
    ("depthwise", re.compile(r"depthwise|conv2d_c1_k1")),
    ("direct", re.compile(r"(?<![a-z])direct(?!ion|_copy)")),
    (
        "implicit-gemm",
        re.compile(
            r"implicit_gemm|implicit_convolve|precomputed_convolve|xmma_(fprop|dgrad|wgrad)"
            r"|_[a-z]\d*cudnn_|(?<![a-z])[dw]grad\w*_(alg\d|engine)|dgrad2d_alg"
            r"|cutlass\w*(fprop|dgrad|wgrad)"
        ),
    ),
    ("gemm", re.compile(r"gem[mv]|nvjet|im2col|explicit_convolve|slow_conv|aten::(mm|bmm|addmm)$")),
)


def executed(run: Callable[[], object], device: str) -> dict[str, Any]:
    """The kernels of a run: torch's profiler sees those of the whole process, CuPy's included.

    On the CPU they are torch's operators, by self time; a library that is not torch shows none. The
    run should have been made before, or its plans and its compilation are recorded too.

    On a card RUNS are recorded, and the profiler subscribes to CUPTI, which makes every later
    launch of the process slower: ask it in a process that times nothing (``profiler``). There CUPTI
    stays, unless the environment says otherwise: where Kineto lets it go, in a thread of its own, a
    profile that follows loses its kernels (kineto#1554) or dumps core (kineto#1169).

    Returns
    -------
    dict
        "kernels": [{"name", "share"}], the KEPT of the largest shares of the time on the device,
        largest first; "streams": the profiler's numbers of the streams that they ran on (7 is the
        default stream; empty on a CPU); "reason": why there are no kernels, or None.

    Raises what the run raises.
    """
    # Read when Kineto starts: below 6 it writes lines of its own to stderr, past any capture.
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    cuda = device != "cpu"
    if not cuda and sys.modules.get("torch") is None:
        return _nothing("torch, whose profiler this is, was not imported")
    import torch
    from torch.autograd import profiler

    if cuda and torch.profiler.ProfilerActivity.CUDA not in torch.profiler.supported_activities():
        return _nothing("this torch, whose profiler this is, has no CUDA")
    if torch.autograd._profiler_enabled():
        return _nothing("another profiler is at work")
    # Not torch.profiler.profile: that imports all of torch._inductor at its first start, for 1 s.
    watch = profiler.profile(use_device="cuda" if cuda else None, use_kineto=True)
    if cuda:
        os.environ.setdefault("TEARDOWN_CUPTI", "0")
        torch.cuda.synchronize(device)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(watch)
        except RuntimeError as error:
            return _nothing(f"the profiler did not start: {error}")
        for _ in range(RUNS if cuda else 1):
            run()
        if cuda:
            torch.cuda.synchronize(device)
    return _summary(watch.function_events, device)


def ran_fft(kernels: Iterable[dict[str, Any]]) -> bool:
    """Whether a kernel of ``executed`` is an FFT's, by its name."""
    return any(FFT.search(part) for kernel in kernels for part in _parts(kernel["name"]))


def engine(kernels: Iterable[dict[str, Any]]) -> str | None:
    """What a library chose: "fft", "winograd", "depthwise", "direct", "implicit-gemm" or "gemm".

    By the first name that tells, largest share first; None where none does. On the CPU the names
    are torch's, and oneDNN's choice is behind them ("aten::mkldnn_convolution"): None.
    """
    kernels = list(kernels)
    if ran_fft(kernels):
        return "fft"
    names = [kernel["name"].lower() for kernel in kernels]
    if any("winograd" in name for name in names):
        return "winograd"
    for name in names:
        for word, pattern in ENGINES:
            if pattern.search(name):
                return word
    return None


def libraries(namespace: str, device: str) -> dict[str, Any]:
    """Versions and the state that changes arithmetic, as they are outside of any contender.

    The array library's version; on a card "runtime", "cudnn" and "cufft"
    (`describe.cuda_libraries`, asked once a process); and of torch, where it is imported,
    "tf32_matmul", "tf32_cudnn", "cudnn_benchmark" and "cudnn_deterministic" on a card, and on a CPU
    what oneDNN may compute
    float32 in ("onednn_matmul", "onednn_conv": "none", "ieee", "tf32" or "bf16"). A contender that
    sets them for its own run is seen in its kernels' names at most ("…_tf32f32_…").
    """
    module, torch = sys.modules.get(namespace), sys.modules.get("torch")
    found: dict[str, Any] = {namespace: module.__version__ if module else None}
    if device != "cpu":
        cuda = _cuda_libraries()
        found |= {name: cuda[name] for name in ("runtime", "cudnn", "cufft")}
    if namespace == "cupy":
        found["tf32_matmul"] = os.environ.get("CUPY_TF32") == "1"
    if namespace == "torch" and torch is not None:
        found |= _on_card(torch) if device != "cpu" else _on_processor(torch)
    return found


@functools.cache
def _cuda_libraries() -> dict[str, str | None]:
    return describe.cuda_libraries()


def _on_card(torch: Any) -> dict[str, bool]:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    # From 2.9 on: allow_tf32 raises once anybody has used fp32_precision, which always reads.
    if hasattr(cudnn, "conv"):
        tf32 = [part.fp32_precision == "tf32" for part in (matmul, cudnn.conv)]
    else:
        tf32 = [matmul.allow_tf32, cudnn.allow_tf32]
    return {
        "tf32_matmul": tf32[0],
        "tf32_cudnn": tf32[1],
        "cudnn_benchmark": cudnn.benchmark,
        "cudnn_deterministic": cudnn.deterministic,
    }


def _on_processor(torch: Any) -> dict[str, str]:
    onednn = torch.backends.mkldnn
    if not hasattr(onednn, "conv"):  # before 2.9
        return {}
    return {
        "onednn_matmul": onednn.matmul.fp32_precision,
        "onednn_conv": onednn.conv.fp32_precision,
    }


def _nothing(reason: str) -> dict[str, Any]:
    return {"kernels": [], "streams": [], "reason": reason}


def _summary(events: Iterable[Any], device: str) -> dict[str, Any]:
    """Of a profile's events, those of this device."""
    spent: collections.Counter[str] = collections.Counter()
    streams = set()
    for event in events:
        if device == "cpu":
            microseconds = event.self_cpu_time_total
        elif (
            event.device_type.name == "CUDA"
            and event.device_index == int(device.partition(":")[2])
            and not event.is_user_annotation  # the CPU's ranges, drawn over the card's time
        ):
            microseconds = event.time_range.elapsed_us()
            streams.add(event.device_resource_id)
        else:
            continue
        spent[event.name] += microseconds
    whole = sum(spent.values())
    if whole <= 0:
        return _nothing("torch's profiler saw no kernel")
    kernels = [
        {"name": name[:LONGEST], "share": math.floor(1e4 * microseconds / whole) / 1e4}
        for name, microseconds in spent.most_common(KEPT)
    ]
    return {"kernels": kernels, "streams": sorted(streams), "reason": None}


def _parts(name: str) -> list[str]:
    """The parts of a name, without the arguments of its templates and its function.

    "void cudnn::fft_like<float>(int)" has the parts void, cudnn and fft_like.
    """
    depth, bare = 0, []
    for letter in name:
        if letter in "<(":
            depth += 1
            bare.append(" ")
        elif letter in ">)":
            depth = max(0, depth - 1)
        elif depth == 0:
            bare.append(letter)
    return re.split(r"::|\s+", "".join(bare))
