"""Intel IPP's direct convolution: ippiConv_32f_C1R with ippAlgDirect, one thread.

kh·kw multiply-adds a pixel whatever the kernel; an impulse answers with kh·kw nonzeros. In float32
alone. Modes full and valid are its own, any other is a valid one of an image grown first.
"""

from __future__ import annotations

from convkernels.algorithms.libraries._ipp import DIRECT, Convolution
from convkernels.registry import algorithm


@algorithm(
    name="ipp-direct",
    family="direct",
    namespaces=("numpy",),
    arithmetic="ieee",
    source="ippiConv_32f_C1R, ippAlgDirect",
)
class IPPDirect(Convolution):
    method = DIRECT
