"""Intel IPP's filter of any kernel: ippiFilterBorder, a direct correlation, one thread.

kh·kw multiply-adds a pixel whatever the kernel; an impulse answers with kh·kw nonzeros. It keeps
the image's size and takes zeros for what lies outside, with (n − 1) // 2 pixels before; where the
output lies elsewhere, the image is grown first and the filter reads around its region of interest.
``load`` lays each kernel out in the structure that IPP makes of it, once a filter.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

from convkernels.algorithms.libraries import _ipp
from convkernels.problem import ITEMSIZE, Problem
from convkernels.registry import Cost, Implementation, algorithm, forward_only
from convkernels.toolbox import layout
from convkernels.toolbox.planes import by_plane, single_step

CONSTANT, IN_MEMORY = 6, 0xF0  # IppiBorderType
NEAREST = 1  # IppRoundMode, of integers
# Bytes of that structure for each element, as ippiFilterBorderGetSize of IPP 2022 asks for.
SPEC = {"float32": 150.0, "float64": 8.0}


@algorithm(
    name="ipp-filterborder",
    family="direct",
    namespaces=("numpy",),
    arithmetic="ieee",
    source="ippiFilterBorder_32f_C1R, ippiFilterBorder_64f_C1R",
)
class IPPFilterBorder(Implementation):
    threads = 1

    @staticmethod
    def missing(namespace: str) -> str | None:
        return _ipp.missing()

    @staticmethod
    def cost(problem: Problem) -> Cost:
        (kh, kw), item = problem.kernel, ITEMSIZE[problem.dtype]
        filters = problem.out_channels * problem.in_channels // problem.groups
        rows = kh * (5.0 * problem.output[1] + 48.0 * kw) * item / 4
        grown = (size + sum(pads) for size, pads in zip(problem.image, problem.pads, strict=True))
        padded, specs = item * math.prod(grown), filters * kh * kw * SPEC.get(problem.dtype, 0.0)
        return Cost(problem.flops, problem.min_bytes, specs + rows + padded)

    @staticmethod
    def refuses(problem: Problem, namespace: str, device: str) -> str | None:
        if problem.dtype not in _ipp.FLOAT:
            return f"ippiFilterBorder has no {problem.dtype}"
        return forward_only(problem) or single_step(problem, "ippiFilterBorder")

    def plan(self, problem: Problem, xp: Any, device: str) -> None:
        self.problem, self.xp, self.ipp = problem, xp, _ipp.library()
        kernel = problem.kernel
        self.before = ((kernel[0] - 1) // 2, (kernel[1] - 1) // 2)
        ours = tuple((b, n - 1 - b) for b, n in zip(self.before, kernel, strict=True))
        self.same = problem.pads == ours and problem.boundary == "zero"
        self.kind = _ipp.FLOAT[problem.dtype]
        self.suffix = {"float32": "32f", "float64": "64f"}[problem.dtype]
        self.zero = (ctypes.c_double * 1)(0.0)  # of either type
        self.sizes = _ipp.size(kernel), _ipp.size(problem.output)
        spec, buffer = ctypes.c_int(), ctypes.c_int()
        found = (ctypes.byref(spec), ctypes.byref(buffer))
        self.ipp.call("ippiFilterBorderGetSize", *self.sizes, self.kind, self.kind, 1, *found)
        self.spec, self.buffer = spec.value, buffer.value

    def load(self, b: Any) -> None:
        import numpy as np

        w = b[..., ::-1, ::-1] if self.problem.op == "convolution" else b
        self.w = np.array(w, order="C")
        # (…, 1, bytes): by_plane hands each image the structure of its kernel.
        self.specs = np.zeros((*w.shape[:-2], 1, self.spec), dtype=np.uint8)
        for index in np.ndindex(*w.shape[:-2]):
            kernel, spec = self.w[index].ctypes, self.specs[index].ctypes
            self.ipp.call(
                f"ippiFilterBorderInit_{self.suffix}",
                *(ctypes.c_void_p(kernel.data), self.sizes[0], self.kind, 1, NEAREST),
                ctypes.c_void_p(spec.data),
            )

    def run(self, a: Any) -> Any:
        return by_plane(self._plane, a, self.specs, self.problem)

    def provenance(self) -> dict[str, Any]:
        border = "constant" if self.same else "in memory"
        return {"engine": self.ipp.version, "border": border}

    def _plane(self, x: Any, spec: Any) -> Any:
        import numpy as np

        corner, border = (0, 0), CONSTANT
        if not self.same:
            x, corner, border = layout.padded(x, self.problem, self.xp), self.before, IN_MEMORY
        x = np.ascontiguousarray(x)
        y = np.empty(self.problem.output, dtype=x.dtype)
        work = np.empty(self.buffer, dtype=np.uint8)  # a run's own: runs may overlap
        self.ipp.call(
            f"ippiFilterBorder_{self.suffix}_C1R",
            *(*_ipp.image(x, *corner), *_ipp.image(y), self.sizes[1], border, self.zero),
            *(ctypes.c_void_p(each.ctypes.data) for each in (spec, work)),
        )
        return y
