"""A kernel of rank 1, w = column · row, as a pass along the rows and one along the columns.

y = U · X · V in blocks, with U and V the Toeplitz matrices of the two factors, which an SVD in
float64 finds in ``load``: what the passes are and cost is told in ``_low_rank.py``. Costs about
2·(2n + 62)·N² FLOP for 2·n²·N². A kernel of higher rank is refused in ``load``, with its numerical
rank.

Two passes for a product of factors: Treitel & Shanks 1971, "The Design of Multistage Separable
Planar Filters" (IEEE Trans. Geoscience Electronics 9(1), 10–27).
"""

from __future__ import annotations

from convkernels.algorithms.separable._low_rank import LowRank
from convkernels.registry import algorithm


@algorithm(
    name="separable",
    family="separable",
    namespaces=("numpy", "torch", "cupy"),
    arithmetic="ieee, float32 for 16-bit storage",
    source="Treitel & Shanks 1971; factors by SVD: Eckart & Young 1936",
    directions=("forward", "grad_input"),
)
class Separable(LowRank):
    RANK = 1
