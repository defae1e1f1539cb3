"""A step as one and its passes apart, one interface for both ways, and the memory it takes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from convkernels import Problem, UnsupportedProblem
from convkernels.layers import tiles
from convkernels.layers.training import OPERANDS, FFTTraining, TorchTraining
from support.layers import assert_close, drawn, expected, operands

torch = pytest.importorskip("torch", reason="torch is not installed")

LAYER = Problem((20, 18), (5, 5), batch=3, in_channels=8, out_channels=6, mode="same")


def all_of(training: Any, given: dict[str, Any]) -> dict[str, Any]:
    return {
        name: training.run(name, *(given[key] for key in keys)) for name, keys in OPERANDS.items()
    }


def test_a_step_is_its_passes_to_the_bit() -> None:
    for problem in drawn(10, seed=3, dtype="float32"):
        found = all_of(FFTTraining(problem), operands_of(problem))
        for one, name in zip(found["step"], list(OPERANDS), strict=False):
            assert torch.equal(one, found[name])


def operands_of(problem: Problem) -> dict[str, Any]:
    """In the shapes of the problem: of single images without channels."""
    given = operands(problem)
    shapes = {"x": problem.x_shape, "w": problem.w_shape, "gy": problem.y_shape}
    return {name: value.reshape(shapes[name]) for name, value in given.items()}


@pytest.mark.parametrize("training", [FFTTraining, TorchTraining])
def test_each_pass_against_autograd(training: Any) -> None:
    for problem in drawn(10, seed=4):
        given = operands(problem)
        y, gx, gw = expected(problem, given)
        if training is TorchTraining:  # whose step ``expected`` is
            for name, other, true in (("grad_input", "w", gx), ("grad_weight", "x", gw)):
                found = training(problem).run(name, given["gy"], given[other])
                assert float((found.reshape(true.shape) - true).norm()) < 1e-9
            continue
        found = all_of(training(problem), operands_of(problem))
        true = [y, gx, gw]
        shaped = [one.reshape(other.shape) for one, other in zip(true, found["step"], strict=True)]
        assert_close(found["step"], shaped, given, 1e-12)


def test_channels_last_is_left_as_it_is_given() -> None:
    """PyTorch is wrong on a batch of one whose stride a reshape has changed: x, of groups, here."""
    problem = Problem(
        (18, 17), (5, 9), in_channels=9, out_channels=3, groups=3, op="correlation", dtype="float16"
    )
    given = operands_of(problem)
    given = {name: value.to(torch.float16) for name, value in given.items()}
    last = {
        name: value.contiguous(memory_format=torch.channels_last) for name, value in given.items()
    }
    training = TorchTraining(problem)
    true = training.run("step", *(given[name] for name in OPERANDS["step"]))
    found = training.run("step", *(last[name] for name in OPERANDS["step"]))
    for one, other in zip(found, true, strict=True):
        assert float((one - other).norm()) < 1e-2 * float(other.norm())


def test_single_images_keep_their_shapes() -> None:
    problem = Problem((9, 8), (3, 3), mode="same", dtype="float64")
    y, gx, gw = all_of(FFTTraining(problem), operands_of(problem))["step"]
    assert (y.shape, gx.shape, gw.shape) == ((9, 8), (9, 8), (3, 3))


def test_a_circular_boundary_is_computed_or_refused() -> None:
    problem = Problem((9, 8), (3, 4), in_channels=2, boundary="circular", dtype="float64")
    given = operands_of(problem)
    around = torch.nn.functional.pad(given["x"], (0, 3, 0, 2), mode="circular")
    # Full mode reads on where the image ends; a convolution is turned by its kernel's size.
    whole = FFTTraining(problem).run("forward", given["x"], given["w"])
    turned = torch.nn.functional.conv2d(around, given["w"].flip(-2, -1))
    torch.testing.assert_close(whole.roll((-2, -3), (-2, -1)), turned)
    with pytest.raises(UnsupportedProblem, match="boundary is 'circular'; allowed: 'zero'"):
        TorchTraining(problem)


def test_direction_of_the_problem_is_left_out_of_account() -> None:
    training = FFTTraining(dataclasses.replace(LAYER, direction="grad_input"))
    assert training.problem == LAYER


def test_memory_is_as_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The spectra that passes share, counted as they are made."""
    training = FFTTraining(LAYER)
    given, made = operands(LAYER), []
    spectra = training.spectra
    for name in ("images", "filters", "gradients"):
        monkeypatch.setattr(spectra, name, counted(getattr(spectra, name), made))
    training.run("step", given["x"], given["w"], given["gy"])
    assert sum(made) == training.kept_bytes
    assert len(made) == 3  # each once
    # And all that it computes in, which it keeps.
    assert training.kept_bytes < spectra.held_bytes <= training.workspace_bytes


def counted(make: Any, made: list[int]) -> Any:
    def counting(a: Any) -> Any:
        found = make(a)
        made.append(found.nbytes)
        return found

    return counting


def test_a_step_that_does_not_fit_says_how_much_it_needs() -> None:
    with pytest.raises(MemoryError, match=r"a step needs (\d+) MiB beside .* allowed: 1 MiB$"):
        FFTTraining(dataclasses.replace(LAYER, batch=64), memory=1 << 20)


def test_less_memory_takes_smaller_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "BYTE", 0.0)  # so that what takes more memory is the faster
    tiles.cheapest.cache_clear()
    layer = Problem((48, 48), (5, 5), in_channels=64, out_channels=64, mode="same")
    ample = FFTTraining(layer, memory=1e12)
    tight = FFTTraining(layer, memory=0.85 * ample.workspace_bytes)
    assert tight.workspace_bytes <= 0.85 * ample.workspace_bytes
    assert tight.spectra.tiling.frequencies < ample.spectra.tiling.frequencies
    tiles.cheapest.cache_clear()
