"""F(6×6, 3×3)."""

from __future__ import annotations

from convkernels.algorithms.winograd._winograd import ARITHMETIC, SOURCE, Winograd
from convkernels.namespaces import NAMES
from convkernels.registry import algorithm


@algorithm(
    name="winograd-6x6-3x3",
    family="winograd",
    namespaces=NAMES,
    arithmetic=ARITHMETIC,
    source=SOURCE,
)
class Winograd6x6(Winograd):
    m, r = 6, 3
