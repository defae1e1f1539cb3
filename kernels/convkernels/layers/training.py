"""One step of a layer's training: y, the gradient of its input and that of its filters.

Two ways to do it, with one interface, so that one harness times both, the step as one and each pass
apart. ``FFTTraining`` is the scheme of Mathieu, Henaff & LeCun 2013 (arXiv 1312.5851, section 2):
spectra of images, filters and gradients are computed once, and each serves two passes; so a step
does 6 transforms of planes where its three passes apart do 9. ``TorchTraining`` is
``torch.nn.functional.conv2d`` under autograd.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

from convkernels import namespaces, surroundings
from convkernels.layers import sums, tiles
from convkernels.layers.spectra import SharedSpectra
from convkernels.problem import Problem, UnsupportedProblem

Tensor = Any

# What each takes, in order; ``step`` gives the results of the three others, in this order.
OPERANDS = {
    "forward": ("x", "w"),
    "grad_input": ("gy", "w"),
    "grad_weight": ("gy", "x"),
    "step": ("x", "w", "gy"),
}
LEAST_ROOM = 64 << 20  # bytes that any step may hold
ROOM = 16  # times the bytes of its own arrays that it may


def room(problem: Problem) -> float:
    """Bytes that a step may hold beside x, w, gy and its results: 64 MiB, and 16 times the bytes
    of x, w and gy.

    For stride and dilation 1 some tiling always keeps to it: of tiles with as many outputs as the
    kernel has rows, a spectrum has at most 4 times the numbers of its operand (2·M1·(M2/2 + 1) with
    M < 2·n, or of tiles of n outputs each, but for the tiles at the end), the shared ones together
    4 times x, w and gy, one result's 4 times, and a transform passes through less than 8 times its
    operand. With stride or dilation a transform also holds the zeros between, and where no tiling
    keeps to the room, the one that holds least is taken.
    """
    return LEAST_ROOM + ROOM * float(problem.min_bytes)


class Training(Protocol):
    """A step of one layer.

    Attributes
    ----------
    problem : the layer's; its direction is left out of account
    kept_bytes : of what the passes of a step share, beside its operands and results
    workspace_bytes : that a step holds at once, at most, that included
    """

    problem: Problem
    kept_bytes: int
    workspace_bytes: int

    def run(self, name: str, *operands: Tensor) -> Any:
        """The result of a pass, or the three of "step", of the operands that ``OPERANDS`` names.

        No number is kept from one call to the next: a pass transforms its own operands.
        """


class FFTTraining:
    """With spectra that the passes share, in memory that is kept; of one thread at a time.

    Parameters
    ----------
    problem : zero or circular boundary, any op, padding, stride, dilation and groups; "float64" or
        "float32", and 16-bit types, which are computed in float32
    device : "cpu" or "cuda:0"
    memory : bytes that a step may hold beside its operands and results; None for ``room``, where
        that is free

    Raises
    ------
    MemoryError
        Where every tiling needs more, with how much the least one does.
    """

    def __init__(self, problem: Problem, device: str = "cpu", memory: float | None = None) -> None:
        self.problem = dataclasses.replace(problem, direction="forward")
        self.device = device
        tiling = planned(self.problem, device, memory)
        self.spectra = SharedSpectra(tiling, device, keep=True)
        self.kept_bytes, self.workspace_bytes = tiling.kept_bytes, tiling.step_bytes

    def run(self, name: str, *operands: Tensor) -> Any:
        given = _given(self.problem, name, operands)
        with surroundings.held_off("torch", self.device):
            return _shaped(self.problem, name, getattr(self, f"_{name}")(**given))

    def _forward(self, x: Tensor, w: Tensor) -> Tensor:
        return self.spectra.forward(self.spectra.images(x), self.spectra.filters(w))

    def _grad_input(self, gy: Tensor, w: Tensor) -> Tensor:
        return self.spectra.grad_input(self.spectra.gradients(gy), self.spectra.filters(w))

    def _grad_weight(self, gy: Tensor, x: Tensor) -> Tensor:
        return self.spectra.grad_weight(self.spectra.gradients(gy), self.spectra.images(x))

    def _step(self, x: Tensor, w: Tensor, gy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        images, filters = self.spectra.images(x), self.spectra.filters(w)
        y = self.spectra.forward(images, filters)
        gradients = self.spectra.gradients(gy)
        gx = self.spectra.grad_input(gradients, filters)
        del filters
        return y, gx, self.spectra.grad_weight(gradients, images)


class TorchTraining:
    """PyTorch's own: a step is a forward pass under autograd and its backward.

    ``kept_bytes`` and ``workspace_bytes`` are 0: the library does not say what it holds.

    Raises
    ------
    UnsupportedProblem
        Of a circular boundary, which its convolution does not have.
    """

    kept_bytes = workspace_bytes = 0

    def __init__(self, problem: Problem, device: str = "cpu") -> None:
        if problem.boundary != "zero":
            raise UnsupportedProblem(f"boundary is {problem.boundary!r}; allowed: 'zero'")
        self.problem = dataclasses.replace(problem, direction="forward")
        self.device = device

    def run(self, name: str, *operands: Tensor) -> Any:
        given = _given(self.problem, name, operands)
        with surroundings.held_off("torch", self.device):
            return _shaped(self.problem, name, self._computed(name, given))

    def _computed(self, name: str, given: dict[str, Tensor]) -> Any:
        import torch

        problem = self.problem
        if name == "forward":
            return sums.forward(given["x"], given["w"], problem)
        if name == "step":
            x, w = (given[key].detach().requires_grad_() for key in ("x", "w"))
            with torch.enable_grad():
                y = sums.forward(x, w, problem)
                return (y.detach(), *torch.autograd.grad(y, (x, w), given["gy"]))
        gy = given["gy"]
        shapes = operand_shapes(problem)
        # The one that is not given is not read, but its shape is.
        x, w = (given.get(key, gy.new_empty(1).expand(shapes[key])) for key in ("x", "w"))
        wanted = (name == "grad_input", name == "grad_weight")
        found = sums.backward(gy, x, w, problem, wanted)
        return found[0] if wanted[0] else found[1]


def operand_shapes(problem: Problem) -> dict[str, tuple[int, ...]]:
    """Of a layer's arrays with all four axes, of single images too."""
    filters, channels = problem.out_channels, problem.in_channels
    return {
        "x": (problem.batch, channels, *problem.image),
        "w": (filters, channels // problem.groups, *problem.kernel),
        "gy": (problem.batch, filters, *problem.output),
    }


def _given(problem: Problem, name: str, operands: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """The operands of a pass by their names, with all four axes.

    Of what has them, reshape would change the stride of a batch of one: with groups, in float16
    and channels_last, PyTorch 2.13 then computes another gradient of the filters.
    """
    shapes, named = operand_shapes(problem), zip(OPERANDS[name], operands, strict=True)
    return {
        key: value if tuple(value.shape) == shapes[key] else value.reshape(shapes[key])
        for key, value in named
    }


def _shaped(problem: Problem, name: str, found: Any) -> Any:
    """Results in the problem's shapes and dtype."""
    import torch

    if name == "step":
        return tuple(map(_shaped, [problem] * 3, list(OPERANDS), found))
    shapes = (problem.y_shape, problem.x_shape, problem.w_shape)
    shape = dict(zip(OPERANDS, shapes, strict=False))[name]
    return found.to(getattr(torch, problem.dtype)).reshape(shape)


def planned(problem: Problem, device: str, memory: float | None = None) -> tiles.Tiling:
    """The tiling of the least work of a step that fits.

    Raises
    ------
    MemoryError
        As ``FFTTraining``.
    """
    allowed = namespaces.free_bytes("torch", device) if memory is None else memory
    wanted = min(room(problem), allowed)
    tiling = tiles.cheapest(problem, wanted)
    if tiling.step_bytes > allowed:
        raise MemoryError(
            f"a step needs {tiling.step_bytes / 2**20:,.0f} MiB beside its operands and results, "
            f"of which {tiling.kept_bytes / 2**20:,.0f} MiB are spectra; allowed: "
            f"{allowed / 2**20:,.0f} MiB" + (f", free on {device}" if memory is None else "")
        )
    return tiling
