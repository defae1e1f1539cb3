"""F(2×2, 3×3)."""

from __future__ import annotations

from convkernels.algorithms.winograd._winograd import ARITHMETIC, SOURCE, Winograd
from convkernels.namespaces import NAMES
from convkernels.registry import algorithm


@algorithm(
    name="winograd-2x2-3x3",
    family="winograd",
    namespaces=NAMES,
    arithmetic=ARITHMETIC,
    source=SOURCE,
)
class Winograd2x2(Winograd):
    m, r = 2, 3
