"""MKL's direct convolution: vslsConvExec and vsldConvExec in VSL_CONV_MODE_DIRECT, one thread.

kh·kw multiply-adds a pixel whatever the kernel; an impulse answers with kh·kw nonzeros. The task
is made once a shape, with the part of the full convolution that a mode wants. MKL chooses its code
by the CPU's vendor and features: on some AMD processors it is that for SSE2.
"""

from __future__ import annotations

from convkernels.algorithms.libraries._mkl import DIRECT, Convolution
from convkernels.registry import algorithm


@algorithm(
    name="mkl-vsl-direct",
    family="direct",
    namespaces=("numpy",),
    arithmetic="ieee",
    source="vslsConvExec, vsldConvExec, VSL_CONV_MODE_DIRECT",
)
class MKLVSLDirect(Convolution):
    method = DIRECT
