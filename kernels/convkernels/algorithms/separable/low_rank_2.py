"""A kernel of rank 2 or less as the sum of two separable ones, by a truncated SVD.

w = Σ_q σ_q u_q v_qᵀ, q to 2: the passes of ``separable`` with two rows and two columns, each
pass one product (``_low_rank.py``). Costs 2 times its FLOP, whatever lower rank the kernel has. A
kernel of higher rank is refused in ``load``, with its numerical rank.

Treitel & Shanks 1971; the best fit of a rank: Eckart & Young 1936.
"""

from __future__ import annotations

from convkernels.algorithms.separable._low_rank import LowRank
from convkernels.registry import algorithm


@algorithm(
    name="low-rank-2",
    family="separable",
    namespaces=("numpy", "torch", "cupy"),
    arithmetic="ieee, float32 for 16-bit storage",
    source="Treitel & Shanks 1971; factors by SVD: Eckart & Young 1936",
    directions=("forward", "grad_input"),
)
class LowRank2(LowRank):
    RANK = 2
