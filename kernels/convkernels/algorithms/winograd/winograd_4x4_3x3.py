"""F(4×4, 3×3)."""

from __future__ import annotations

from convkernels.algorithms.winograd._winograd import ARITHMETIC, SOURCE, Winograd
from convkernels.namespaces import NAMES
from convkernels.registry import algorithm


@algorithm(
    name="winograd-4x4-3x3",
    family="winograd",
    namespaces=NAMES,
    arithmetic=ARITHMETIC,
    source=SOURCE,
)
class Winograd4x4(Winograd):
    m, r = 4, 3
