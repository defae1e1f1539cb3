"""Machine code by kinds: read from a listing, and of a kernel whose instructions are known."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from convkernels.cuda import disassembly, nvrtc
from convkernels.cuda.kernel import Kernel

SOURCE = """
extern "C" __global__ void known(float4* y, const float4* __restrict__ x) {
  __shared__ float4 between[64];
  const float4 a = x[threadIdx.x];
  between[threadIdx.x] = a;
  __syncthreads();
  const float4 b = between[63 - threadIdx.x];
  y[threadIdx.x] = make_float4(fmaf(a.x, b.x, a.y), a.z + b.z, a.w * b.w, 0.f);
}
"""
LISTING = """
\t.section\t.text.known,"ax",@progbits
        /*0000*/                   LDC R1, c[0x0][0x28] ;
        /*0010*/                   S2R R0, SR_TID.X ;
        /*0020*/              @!P0 LDG.E.128.CONSTANT R4, desc[UR4][R2.64] ;
        /*0030*/             @!UP1 UIADD3 UR4, UR4, 0x1, URZ ;
        /*0040*/                   STS.64 [R0], R4 ;
        /*0050*/                   NOP ;
        /*0060*/                   LDS R4, [R0] ;
        /*0070*/                   EXIT ;
.L_x_0:
        /*0080*/                   BRA `(.L_x_0);
        /*0090*/                   NOP;
"""


def test_names_are_read_from_a_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disassembly, "tool", lambda: "nvdisasm")
    monkeypatch.setattr(nvrtc, "compiled", lambda *_: nvrtc.Compiled(b"code", ""))
    seen = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        seen.append((command[:2], Path(command[2]).read_bytes()))
        return SimpleNamespace(returncode=0, stdout=LISTING, stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    names = disassembly.instructions(Kernel("source", "a listing", 0))
    assert seen == [(["nvdisasm", "-c"], b"code")]
    assert names == ("LDC", "S2R", "LDG.E.128.CONSTANT", "UIADD3", "STS.64", "LDS", "EXIT")
    assert disassembly.mix(names) == {"shared memory": 2, "global memory": 1, "all else": 4}
    assert disassembly.shared_wavefronts(names) == 3


def test_a_kernel_whose_instructions_are_known() -> None:
    if reason := nvrtc.missing("nvrtc") or disassembly.missing():
        pytest.skip(reason)
    kernel = Kernel(SOURCE, "known", 0)
    names = disassembly.instructions(kernel)
    mix = disassembly.mix(names)
    assert (mix["multiply-adds"], mix["additions and products"]) == (1, 2)
    assert (mix["shared memory"], mix["global memory"], mix["barriers"]) == (2, 2, 1)
    assert disassembly.shared_wavefronts(names) == 8
    assert names[-1] == "EXIT"
    assert nvrtc.resources(kernel, "nvrtc").shared_bytes == 64 * 16


def test_a_missing_tool_is_told_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disassembly, "tool", lambda: None)
    with pytest.raises(FileNotFoundError, match="no nvdisasm: pip install nvidia-cuda-nvdisasm"):
        disassembly.instructions(Kernel("source", "nothing", 0))
