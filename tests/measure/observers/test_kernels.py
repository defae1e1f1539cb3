"""What ran is told by the names of kernels, and ordinary names are taken for nothing else."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from convcross.machine import describe
from convcross.measure.observers import kernels as provenance
from convcross.measure.observers.kernels import KEPT, engine, executed, libraries, ran_fft

# As profilers have printed them in public traces.
FFTS = [
    "void regular_fft<192u, EPT<12u, 16u>, 16u, (padding_t)6>(kernel_arguments_t<unsigned int>)",
    "void regular_fft_r2c<384u, EPT<4u, 6u>, 2u, 6u>(kernel_arguments_t<unsigned int>)",
    "void regular_fft_c2r<300u>(kernel_arguments_t<unsigned int>)",
    "void regular_fft_factor<101u>(kernel_arguments_t<unsigned int>)",
    "void vector_fft<64u, 1u, 8u, 8u, (padding_t)0>(kernel_arguments_t<unsigned int>)",
    "void vector_fft_r2c<2048u>(kernel_arguments_t<unsigned int>)",
    "void prime_fft_factor<53u>(kernel_arguments_t<unsigned int>)",
    "void regular_bluestein_fft<1024u>(kernel_arguments_t<unsigned int>)",
    "void multi_bluestein_fft<1u, 2u>(kernel_arguments_t<unsigned int>)",
    "void composite_2way_fft<20u, 4u, 32u>(kernel_arguments_t<unsigned int>)",
    "void composite_2way_fft_c2r<72u, 8u, 16u>(kernel_arguments_t<unsigned int>)",
    "void dpRadix0256C::kernel1Mem<unsigned int, double, (fftDirection_t)-1>(kernel_parameters_t)",
    "dpVector1024D::kernelTex<unsigned int>",
    "__nv_static_45__32_dpRealComplex_compute_70_cpp1_ii_f01f2bc9__ZN13dpRealComplex24postpro",
    "void spRealComplex::postprocessC2C_kernelMem<unsigned int, float>(ComplexT<float>*)",
    "void fft2d_r2c_32x32<float, false, 1u, false>(float2*, float const*, cudnn::reduced_divisor)",
    "void fft2d_c2r_16x16<float, false>(float*, float2*, int)",
    "void fft2d_r2c_64x64<float>(float2*, float const*, int)",
    "void fft1d_r2c_32<float, float, float2, false, false>(float2*, float const*, int)",
    "void fft1d_c2r_32<float2, float, float, false, true>(float*, float2 const*, int)",
    "void DSE::regular_fft_clip<1, 2, 256, 16, 16, 1, float, float, float2>(float*, float2*, int)",
    "void DSE::regular_fft_pad<0, 1, 128, 16, 32, 1, __half, float, float2>(float2*, __half*)",
    "void DSE::vector_fft<0, 1, 256, 16, 16, 1, __half, float, float2>(float2*, float2, int)",
    "void block_fft_kernel<cufftdx::FFT<256u>>(cufftdx::complex<float>*)",
    "VkFFT_main",
    "void at::native::_fft_conjugate_copy_kernel<float>(long, float*)",
    "aten::_fft_r2c",
    "aten::_fft_c2r",
    "aten::_fft_c2c",
    "aten::fft_rfft2",
    "aten::fft_irfftn",
]
ORDINARY = {
    "void cudnn::cnn::implicit_convolve_sgemm<float, float, 128, 5, 5, 3, 3, 3, 1, true>(int)": (
        "implicit-gemm"
    ),
    "void implicit_convolve_sgemm<float, float, 512, 6, 8>(int)": "implicit-gemm",
    "void cudnn::detail::precomputed_convolve_sgemm<float, 1024, 5, 5>(int)": "implicit-gemm",
    "sm90_xmma_fprop_implicit_gemm_f32f32_tf32f32_f32_nhwckrsc_nhwc_tilesize64x128x32": (
        "implicit-gemm"
    ),
    "sm80_xmma_wgrad_implicit_gemm_indexed_tf32f32_tf32f32_f32_nhwckrsc_nhwc_tilesize128x128x16": (
        "implicit-gemm"
    ),
    "void cutlass__5x_cudnn::Kernel<cutlass_tensorop_f16_s16816fprop_optimized_f16>(Params)": (
        "implicit-gemm"
    ),
    "cutlass3x_sm100_tensorop_s256x256x16implicit_gemm_fprop_bf16": "implicit-gemm",
    "maxwell_scudnn_128x64_relu_interior_nn": "implicit-gemm",
    "volta_fp16_s884cudnn_fp16_256x128_ldg8_relu_exp_interior_nhwc_tn_v1": "implicit-gemm",
    "void cudnn::cnn::wgrad_alg0_engine<float, 512, 6, 5, 3, 3, 3, false, 512>(int)": (
        "implicit-gemm"
    ),
    "void cudnn::cnn::dgrad_engine<float, 128, 6, 7, 3, 3, 5, false>(int)": "implicit-gemm",
    "void cudnn::detail::explicit_convolve_sgemm<float, int, 512, 6, 8>(int)": "gemm",
    "void im2col4d_kernel<float, int>(im2col4d_params, cudnnConvolutionStruct)": "gemm",
    "ampere_sgemm_128x64_nt": "gemm",
    "void cutlass::Kernel2<cutlass_80_simt_sgemm_256x128_8x4_nn_align1>(T1::Params)": "gemm",
    "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize256x128x64_execute_kernel__5x_cublas": "gemm",
    "nvjet_hsh_128x256_64x4_1x2_h_bz_coopA_TNT": "gemm",
    "void gemv2T_kernel_val<int, int, float, float, float, float, 128, 16, 4, 4>(float)": "gemm",
    "aten::_slow_conv2d_forward": "gemm",
    "aten::addmm": "gemm",
    "ampere_scudnn_winograd_128x128_ldg1_ldg4_relu_tile148t_nt_v1": "winograd",
    "void cudnn::winograd_nonfused::winogradForwardData4x4<float, float>(Params)": "winograd",
    "void cudnn::cnn::conv2d_grouped_direct_kernel<false, true, false, false>(float)": "direct",
    "void dgrad2d_grouped_direct_kernel<float, float, float, true, 0, 1>(cudnnTensorStruct)": (
        "direct"
    ),
    "direct_f32_7x7": "direct",
    "void at::native::(anonymous namespace)::conv_depthwise2d_forward_kernel<5, float, int>(int)": (
        "depthwise"
    ),
    "void cudnn::cnn::conv2d_c1_k1_nhwc_kernel<__half, __half, float>(int)": "depthwise",
    "void cudnn::engines_precompiled::nchwToNhwcKernel<float, float, float>(float)": None,
    "void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<float>>(int)": None,
    "void at::native::elementwise_kernel<128, 2, direct_copy_kernel_cuda()>(int)": None,
    "Memcpy DtoD (Device -> Device)": None,
    "Memset (Device)": None,
    "cupy_multiply__complex64_complex64_complex64": None,
    "aten::mkldnn_convolution": None,
    "aten::copy_": None,
    # Traps: letters of an FFT that are none's.
    "void computeOffsetsKernel(int, int*)": None,
    "fourierShiftKernel": None,
    "lift_fft_like": None,
    "aten::fft_fftshift": None,
    "aten::fft_rfftfreq": None,
    "aten::__lshift__": None,
    "void scale<fft_direction>(fftDirection_t, float)": None,
    "void scale<std::tuple<float>, regular_fft>(int)": None,
    "void diffft(int)": None,
}


def kernels(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "share": 1 / len(names)} for name in names]


@pytest.mark.parametrize("name", FFTS)
def test_an_fft_is_told_by_its_name(name: str) -> None:
    found = kernels("Memset (Device)", name[: provenance.LONGEST], "ampere_cgemm_32x32_tn")
    assert ran_fft(found)
    assert engine(found) == "fft"


@pytest.mark.parametrize(("name", "word"), ORDINARY.items())
def test_ordinary_kernels_are_no_ffts(name: str, word: str | None) -> None:
    assert not ran_fft(kernels(name))
    assert engine(kernels(name)) == word


def test_products_of_a_winograd_convolution_are_no_gemm() -> None:
    found = kernels("volta_sgemm_128x64_nn", "void winogradForwardOutput4x4<float>(int)")
    assert engine(found) == "winograd"


def test_the_largest_share_that_tells_decides() -> None:
    found = kernels("aten::copy_", "sm80_xmma_fprop_implicit_gemm_f32", "ampere_sgemm_32x32_nn")
    assert engine(found) == "implicit-gemm"
    assert engine([]) is None


def test_operators_of_a_convolution_and_of_an_fft_on_the_cpu(
    capfd: pytest.CaptureFixture[str],
) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")

    x, w = torch.ones(1, 1, 32, 32), torch.ones(1, 1, 5, 5)
    direct = executed(lambda: torch.nn.functional.conv2d(x, w), "cpu")
    assert any("convolution" in kernel["name"] for kernel in direct["kernels"])
    assert not ran_fft(direct["kernels"])

    by_fft = executed(lambda: torch.fft.irfft2(torch.fft.rfft2(x) * 2), "cpu")
    assert {"aten::_fft_r2c", "aten::_fft_c2r"} <= {kernel["name"] for kernel in by_fft["kernels"]}
    assert ran_fft(by_fft["kernels"])

    for found in (direct, by_fft):
        shares = [kernel["share"] for kernel in found["kernels"]]
        assert shares == sorted(shares, reverse=True)
        assert 0.9 < sum(shares) <= 1
        assert len(shares) <= KEPT
        assert found["reason"] is None
        assert found["streams"] == []
        json.dumps(found, allow_nan=False)
    assert capfd.readouterr().err == ""  # Kineto's own lines


def test_what_runs_no_operator_has_a_reason() -> None:
    pytest.importorskip("torch", reason="torch is not installed")  # else that were it

    found = executed(lambda: None, "cpu")
    assert found == {
        "kernels": [],
        "streams": [],
        "reason": "torch's profiler saw no kernel",
    }


def test_another_profiler_is_left_alone() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")

    with torch.autograd.profiler.profile(use_kineto=True) as other:
        found = executed(lambda: torch.ones(3).sum(), "cpu")
        torch.ones(2).prod()
    assert found["reason"] == "another profiler is at work"
    assert any(event.name == "aten::prod" for event in other.function_events)


def test_a_failing_run_raises_and_ends_the_profile() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")

    with pytest.raises(ZeroDivisionError):
        executed(lambda: 1 / 0, "cpu")
    assert executed(lambda: torch.ones(3).sum(), "cpu")["kernels"]


def in_a_new_process(code: str) -> Any:
    command = [sys.executable, "-W", "error", "-c", f"import json, sys\n{code}"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return json.loads(subprocess.check_output(command, env=environment, text=True))


def test_numpy_alone_imports_no_torch() -> None:
    found, versions, imported = in_a_new_process(
        "import numpy\n"
        "from convcross.measure.observers.kernels import executed, libraries\n"
        "found = executed(lambda: numpy.ones(3).sum(), 'cpu'), libraries('numpy', 'cpu')\n"
        "print(json.dumps([*found, 'torch' in sys.modules]))"
    )
    assert found["reason"] == "torch, whose profiler this is, was not imported"
    assert list(versions) == ["numpy"]
    assert not imported


def test_a_card_without_torch_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")

    cpu = {torch.profiler.ProfilerActivity.CPU}
    monkeypatch.setattr(torch.profiler, "supported_activities", lambda: cpu)
    found = executed(lambda: pytest.fail("ran"), "cuda:0")
    assert found["reason"] == "this torch, whose profiler this is, has no CUDA"


def event(name: str, microseconds: float, **different: Any) -> types.SimpleNamespace:
    """A profile's event on the second card."""
    return types.SimpleNamespace(
        name=name,
        time_range=types.SimpleNamespace(elapsed_us=lambda: microseconds),
        **{
            "device_type": types.SimpleNamespace(name="CUDA"),
            "device_index": 1,
            "device_resource_id": 7,
            "is_user_annotation": False,
            **different,
        },
    )


def test_kernels_of_a_card() -> None:
    events = [
        event("cudaLaunchKernel", 500.0, device_type=types.SimpleNamespace(name="CPU")),
        event("elsewhere", 500.0, device_index=0),
        event("multiply", 500.0, is_user_annotation=True),
        event("vector_fft" + 300 * "x", 6.0),
        event("multiply", 1.0, device_resource_id=13),
        event("multiply", 1.0),
        *[event(f"small {index}", 0.1) for index in range(20)],
    ]
    found = provenance._summary(events, "cuda:1")
    assert found["kernels"][0] == {"name": "vector_fft" + 190 * "x", "share": 0.6}
    assert found["kernels"][1] == {"name": "multiply", "share": 0.2}
    assert len(found["kernels"]) == KEPT
    assert found["streams"] == [7, 13]


@pytest.mark.parametrize("wish", [None, "1"])
def test_cupti_stays_unless_somebody_wishes(
    monkeypatch: pytest.MonkeyPatch, wish: str | None
) -> None:
    """With stand-ins for the card and the profiler: what is called, in which order."""
    torch = pytest.importorskip("torch", reason="torch is not installed")

    called: list[str] = []

    class Profile:
        function_events = (event("vector_fft", 1.0, device_index=0),)

        def __init__(self, **options: Any) -> None:
            assert options == {"use_device": "cuda", "use_kineto": True}

        def __enter__(self) -> None:
            called.append("start")

        def __exit__(self, *error: object) -> None:
            called.append(f"stop {os.environ.get('TEARDOWN_CUPTI')}")

    activities = {torch.profiler.ProfilerActivity.CUDA}
    monkeypatch.setattr(torch.profiler, "supported_activities", lambda: activities)
    monkeypatch.setattr(torch.autograd.profiler, "profile", Profile)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: called.append("wait"))
    monkeypatch.setenv("TEARDOWN_CUPTI", "")  # so that it is put back
    monkeypatch.delenv("TEARDOWN_CUPTI")
    if wish is not None:
        monkeypatch.setenv("TEARDOWN_CUPTI", wish)
    assert ran_fft(executed(lambda: called.append("run"), "cuda:0")["kernels"])
    runs = provenance.RUNS * ["run"]
    assert called == ["wait", "start", *runs, "wait", f"stop {wish or '0'}"]


def test_the_profiler_takes_what_the_stand_in_takes() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    parameters = inspect.signature(torch.autograd.profiler.profile).parameters
    assert {"use_device", "use_kineto"} <= parameters.keys()


@pytest.fixture
def torch_state() -> Iterator[Any]:
    """torch.backends, put back by the calls that read in every state."""
    torch = pytest.importorskip("torch", reason="torch is not installed")

    yield torch.backends
    torch.backends.cudnn.conv.fp32_precision = "tf32"
    torch.backends.cuda.matmul.fp32_precision = "none"
    torch.backends.cudnn.benchmark = False


def test_state_of_torch_on_a_card(torch_state: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[None] = []

    def cuda_libraries() -> dict[str, str | None]:
        asked.append(None)
        return {"driver": "580", "runtime": "13.0", "cudnn": "9.24", "cufft": "12.2"}

    monkeypatch.setattr(describe, "cuda_libraries", cuda_libraries)
    provenance._cuda_libraries.cache_clear()
    try:
        default = libraries("torch", "cuda:0")
        # Set by the new names, after which the old ones raise.
        torch_state.cuda.matmul.fp32_precision = "tf32"
        torch_state.cudnn.conv.fp32_precision = "ieee"
        torch_state.cudnn.benchmark = True
        changed = libraries("torch", "cuda:0")
    finally:
        provenance._cuda_libraries.cache_clear()
    state = {
        "tf32_matmul": False,
        "tf32_cudnn": True,
        "cudnn_benchmark": False,
        "cudnn_deterministic": False,
    }
    assert {**default, "torch": None} == {
        "torch": None,
        "runtime": "13.0",
        "cudnn": "9.24",
        "cufft": "12.2",
        **state,
    }
    assert changed["tf32_matmul"] is True
    assert changed["tf32_cudnn"] is False
    assert changed["cudnn_benchmark"] is True
    assert len(asked) == 1


def test_state_of_torch_before_2_9() -> None:
    cudnn = types.SimpleNamespace(allow_tf32=False, benchmark=False, deterministic=True)
    cuda = types.SimpleNamespace(matmul=types.SimpleNamespace(allow_tf32=True))
    torch = types.SimpleNamespace(backends=types.SimpleNamespace(cudnn=cudnn, cuda=cuda))
    assert provenance._on_card(torch) == {
        "tf32_matmul": True,
        "tf32_cudnn": False,
        "cudnn_benchmark": False,
        "cudnn_deterministic": True,
    }


def test_state_of_torch_on_the_cpu() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")

    try:
        torch.backends.mkldnn.matmul.fp32_precision = "bf16"
        found = libraries("torch", "cpu")
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = "none"
    assert found == {"torch": torch.__version__, "onednn_matmul": "bf16", "onednn_conv": "none"}
