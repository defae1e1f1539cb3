"""A network that learns handwritten digits, with correlation and with true convolution.

Layers of networks are called convolutions and compute correlations. Does it matter? A convolution
is a correlation with the filter rotated by 180°, so that gradients too are rotated: from rotated
filters, learning should end at the rotated ones, and from the same filters at others that are as
good. Here the same small network learns scikit-learn's digits four times from one start, over
several seeds:

    correlation   torch.nn.Conv2d
    fft           convkernels.torch.FFTConv2d: the same sum by FFT
    convolution   true convolution, by FFT: the theorem as written, no spectrum conjugated
    rotated       the same, from filters rotated by 180°

in float32 and in float64. None computes by flipping a filter and calling another's code, so that
what is equal is equal by mathematics and differs by rounding, which grows as networks learn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convcross.analysis.claims.learning import NETWORKS, ROUNDOFFS
from convcross.errors import BadInput
from convcross.results.schema import Learned
from convkernels import Problem, namespaces, optional

Floats = npt.NDArray[np.float64]
Tensor = Any

INSTALL = "pip install 'convcross[digits]'"
SEEDS = 5
EPOCHS = 12
TESTED = 360  # digits that are kept out of learning, of 1,797
BATCH = 32
RATE, MOMENTUM = 0.02, 0.9
CHANNELS = (8, 16)  # of the two layers
SIDE = 3  # of their filters
CLASSES = 10


@dataclass(frozen=True)
class Digits:
    """Images (count, 1, H, W) of values from 0 to 1, and which digit each is."""

    images: Floats
    digits: npt.NDArray[np.int64]


def digits() -> Digits:
    """Scikit-learn's: 1,797 images of 8 × 8 (Alpaydin & Kaynak 1998, UCI).

    Raises
    ------
    BadInput
        Where scikit-learn or PyTorch is missing, with the command that installs it.
    """
    for module in ("sklearn", "torch"):
        if reason := optional.missing(module, INSTALL):
            raise BadInput(reason)
    from sklearn.datasets import load_digits

    found = load_digits()
    return Digits(found.images[:, None] / 16.0, found.target.astype(np.int64))


def learn(data: Digits, seeds: int = SEEDS, epochs: int = EPOCHS) -> Iterator[Learned]:
    """Every network of every seed and type, each as it is done; "correlation" first."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for layers of this size others only wait
    try:
        for dtype in ROUNDOFFS:
            for seed in range(seeds):
                reference: list[Floats] = []
                for network in NETWORKS:
                    yield _learn(network, dtype, seed, data, epochs, reference)
    finally:
        torch.set_num_threads(threads)


def _learn(
    network: str, dtype: str, seed: int, data: Digits, epochs: int, reference: list[Floats]
) -> Learned:
    """One of them; of "correlation", ``reference`` is given the filters after each epoch."""
    import torch

    model = _model(network, dtype, seed, data.images.shape[-2:])
    images = torch.from_numpy(data.images).to(getattr(torch, dtype))
    classes = torch.from_numpy(data.digits)
    order = torch.Generator().manual_seed(seed)
    kept_out = torch.randperm(len(images), generator=order)
    test, train = kept_out[:TESTED], kept_out[TESTED:]
    descent = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
    loss, accuracy, filters, steps = [], [], [_filters(model, network)], 0
    for _ in range(epochs):
        losses = []
        for batch in train[torch.randperm(len(train), generator=order)].split(BATCH):
            descent.zero_grad()
            wrong = torch.nn.functional.cross_entropy(model(images[batch]), classes[batch])
            wrong.backward()
            descent.step()
            losses.append(float(wrong.detach()))
            steps += 1
        with torch.no_grad():
            right = model(images[test]).argmax(dim=1) == classes[test]
        loss.append(float(np.mean(losses)))
        accuracy.append(float(right.double().mean()))
        filters.append(_filters(model, network))
    if network == "correlation":
        reference.extend(filters)
    apart = [
        float(np.linalg.norm(own - other) / np.linalg.norm(other))
        for own, other in zip(filters, reference, strict=True)
    ]
    first = model[0].weight.detach().double()[:, 0].tolist()
    return Learned(
        network=network,
        dtype=dtype,
        seed=seed,
        steps=steps,
        loss=loss,
        accuracy=accuracy,
        apart=apart,
        filters=first,
    )


def _model(network: str, dtype: str, seed: int, size: tuple[int, ...]) -> Any:
    """Two layers of filters and one of classes, of the seed's own start."""
    import torch

    from convkernels.torch import FFTConv2d

    kinds = {"correlation": torch.nn.Conv2d, "fft": FFTConv2d}
    layer = kinds.get(network) or _true_convolution()
    first, second = CHANNELS
    generator = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        pooled = (size[0] // 2) * (size[1] // 2)
        model = torch.nn.Sequential(
            layer(1, first, SIDE, padding=SIDE // 2, dtype=torch.float64),
            torch.nn.ReLU(),
            layer(first, second, SIDE, padding=SIDE // 2, dtype=torch.float64),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Flatten(),
            torch.nn.Linear(second * pooled, CLASSES, dtype=torch.float64),
        )
    finally:
        torch.random.set_rng_state(generator)
    if network == "rotated":
        with torch.no_grad():
            for module in _layers(model):
                module.weight.copy_(module.weight.flip(-2, -1))
    return model.to(getattr(torch, dtype))


def _true_convolution() -> Callable[..., Any]:
    """A class of layers that convolve: torch.nn.Conv2d in all else."""
    import torch

    from convkernels.layers import passes
    from convkernels.layers.autograd import convolution

    class TrueConv2d(torch.nn.Conv2d):  # type: ignore[misc]
        def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            problem = Problem(
                image=tuple(x.shape[2:]),
                kernel=self.kernel_size,
                batch=x.shape[0],
                in_channels=self.in_channels,
                out_channels=self.out_channels,
                op="convolution",
                padding=tuple((pad, pad) for pad in self.padding),  # type: ignore[arg-type]
                dtype=namespaces.dtype_name(x),
            )
            return convolution(x, weight, passes.fft(problem, "cpu")) + bias[:, None, None]

    return TrueConv2d


def _layers(model: Any) -> list[Any]:
    return [module for module in model if getattr(module, "weight", None) is not None][:2]


def _filters(model: Any, network: str) -> Floats:
    """All of both layers, one after the other; rotated back where they began rotated."""
    weights = [module.weight.detach().double() for module in _layers(model)]
    if network == "rotated":
        weights = [weight.flip(-2, -1) for weight in weights]
    return np.concatenate([weight.numpy().ravel() for weight in weights])
