"""Networks that learn with correlation and with true convolution: whether it matters which.

A convolution is a correlation with the filter rotated by 180°, and so are its gradients. From
rotated filters a network should learn the rotated ones, to rounding, and from the same filters
others that are as good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from convcross.analysis.claims.finding import Finding
from convcross.analysis.load import Results
from convcross.results.schema import Learned
from convkernels.problem import ROUNDOFF

COMMAND = "convcross demo --learning"
NETWORKS = {
    "correlation": "nn.Conv2d",
    "fft": "FFTConv2d",
    "convolution": "true convolution",
    "rotated": "true convolution from rotated filters",
}
EXACT = ("fft", "rotated")  # which differ from "correlation" by rounding alone
ROUNDOFFS = {dtype: ROUNDOFF[dtype] for dtype in ("float32", "float64")}
JUDGED = "float32"  # whose accuracies are compared: what networks are trained in
# Rounding, as hundreds of steps make it grow, in roundoffs, in the median seed: in some seed of
# float32 it decides which way a ReLU or a maximum goes, and the networks part a little.
MOST_ROUNDOFFS = 1e4


@dataclass(frozen=True)
class Outcome:
    """What networks say of the sentence.

    Attributes
    ----------
    accuracy : network → mean, least and most over seeds, of the last epoch in float32
    apart : dtype → network → distance of the last epoch: of the median seed, and the largest
    steps, seeds : of gradient descent; how many
    same : whether every mean lies as near that of "correlation" as its seeds lie apart
    rounding : whether all of EXACT ended within rounding of "correlation", in both types
    """

    accuracy: dict[str, tuple[float, float, float]]
    apart: dict[str, dict[str, tuple[float, float]]]
    steps: int
    seeds: int
    same: bool
    rounding: bool

    @property
    def holds(self) -> bool:
        return self.same and self.rounding

    def sentences(self) -> list[str]:
        """The numbers, in words."""
        lines = [
            f"{NETWORKS[network]}: {100 * mean:.1f} % of the examples kept out are told right, "
            f"{100 * least:.1f} to {100 * most:.1f} over {self.seeds} seeds."
            for network, (mean, least, most) in self.accuracy.items()
        ]
        for dtype, own in self.apart.items():
            rotated, fft, others = own["rotated"], own["fft"], own["convolution"]
            lines.append(
                f"In {dtype}, after {self.steps} steps, the filters learned from rotated ones are "
                f"the rotated ones of nn.Conv2d to {rotated[0]:.0e} in the median seed, "
                f"{rotated[1]:.0e} in the farthest; those of FFTConv2d its own to {fft[0]:.0e} and "
                f"{fft[1]:.0e}. True convolution from the same filters has learned others, "
                f"{others[0]:.1f} away (relative L2)."
            )
        return lines


def outcome(learned: Sequence[Learned]) -> Outcome | None:
    """None where a network is missing in one of the types."""
    groups: dict[tuple[str, str], list[Learned]] = {}
    for one in learned:
        groups.setdefault((one.dtype, one.network), []).append(one)
    if any((dtype, network) not in groups for dtype in ROUNDOFFS for network in NETWORKS):
        return None
    accuracy = {}
    for network in NETWORKS:
        last = [one.accuracy[-1] for one in groups[JUDGED, network]]
        accuracy[network] = (float(np.mean(last)), min(last), max(last))
    mean, least, most = accuracy["correlation"]
    apart = {
        dtype: {network: _median_and_most(groups[dtype, network]) for network in NETWORKS}
        for dtype in ROUNDOFFS
    }
    return Outcome(
        accuracy=accuracy,
        apart=apart,
        steps=max(one.steps for one in learned),
        seeds=len({one.seed for one in groups[JUDGED, "correlation"]}),
        same=all(abs(own[0] - mean) <= most - least for own in accuracy.values()),
        rounding=all(
            own[network][0] <= MOST_ROUNDOFFS * ROUNDOFFS[dtype]
            for dtype, own in apart.items()
            for network in EXACT
        ),
    )


def _median_and_most(learned: Sequence[Learned]) -> tuple[float, float]:
    last = [one.apart[-1] for one in learned]
    return float(np.median(last)), max(last)


def judge(results: Results) -> list[Finding]:
    """One finding, of all networks in these results."""
    found = outcome(results.learned)
    if found is None:
        why = "no networks have learned both ways, in float32 and in float64"
        return [Finding(results.machine, "not measured here", why, command=COMMAND)]
    numbers, values = found.sentences(), asdict(found)
    if found.holds:
        return [Finding(where(results), "holds", numbers=numbers, values=values)]
    if not found.same:
        why = "accuracies lie further apart than those of seeds do"
        return [Finding(where(results), "false", why, numbers, values=values)]
    why = "rounding is no matter: rotated filters ended further away than it explains"
    return [Finding(where(results), "holds only if", why, numbers, values=values)]


def where(results: Results) -> str:
    """The machine, and what they have learned."""
    return f"{results.machine} (scikit-learn's digits)"
