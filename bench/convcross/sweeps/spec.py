"""Sweeps: which problems and which contenders, as validated TOML."""

from __future__ import annotations

import itertools
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from convcross.errors import BadInput, first_complaint
from convcross.sweeps import data
from convcross.sweeps.regimes import REGIMES
from convcross.sweeps.shipped import FOLDER, shipped
from convkernels.problem import BOUNDARIES, DIRECTIONS, DTYPES, MODES, OPS, STEP, Problem, one_of

LARGEST = 1 << 17  # of an image's side: 64 GiB in float32
MOST = 100_000  # cells of a sweep, and numbers in a list of sizes
MOST_LAUNCHES = 20
LEAST_SAMPLES = 5  # of a contender in a launch
RUN_SECONDS = {"cpu": 5.0, "cuda": 0.25}  # the longest run, where a sweep does not say


def numbers(text: str) -> list[int]:
    """Whole numbers from "3,5,7" or "3:63:2" (its end included), or parts of both kinds.

    Raises ValueError naming the part that is neither.
    """
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(?::(\d{1,9})(?::(\d{1,9}))?)?\s*", part)
        if not match or match[3] == "0":
            raise ValueError(f"{part!r} is not a size; allowed: 3,5,7 or first:last:step")
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        if last < first or (last - first) // step + len(found) >= MOST:
            raise ValueError(
                f"{part!r} is an empty or endless range; allowed: first:last:step, "
                f"up to {MOST} numbers"
            )
        found += range(first, last + 1, step)
    return found


def _sizes(value: Any) -> Any:
    return numbers(value) if isinstance(value, str) else value


def _each(what: str, allowed: tuple[str, ...]) -> AfterValidator:
    def check(values: list[str]) -> list[str]:
        for value in values:
            one_of(what, value, allowed)
        return values

    return AfterValidator(check)


def _regime(value: str | None) -> str | None:
    if value is not None:
        one_of("regime", value, tuple(REGIMES))
    return value


def _printable(value: str) -> str:
    if not value.isprintable() or not value.strip():
        raise ValueError(f"name is {value!r}; allowed: printable characters")
    return value


def _both(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _unique(values: list[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


# Strict: a TOML true is not 1 and a "3" is not 3.
Whole = Annotated[int, Field(strict=True, ge=1, le=LARGEST)]
Pad = Annotated[int, Field(strict=True, ge=0, le=LARGEST)]
Seconds = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Sizes = Annotated[list[Whole], BeforeValidator(_sizes), AfterValidator(_unique)]
Names = Annotated[list[str], Field(min_length=1), AfterValidator(_unique)]


Cell = tuple[Problem, str, str]  # with its image data and its kernel data


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ImageSizes(Strict):
    sizes: Sizes


def image_sizes(text: str) -> list[int]:
    """Sizes of images from "256,512" or "256:2048:256", each once. Raises BadInput."""
    try:
        return ImageSizes.model_validate({"sizes": text}).sizes
    except ValidationError as error:
        raise BadInput(first_complaint(error)) from None


class Limits(Strict):
    """When to stop. Seconds are of measured code, for one contender and phase."""

    seconds: Seconds = 1.0
    samples: int = Field(400, strict=True, ge=LEAST_SAMPLES, le=400)
    run_seconds: Seconds | None = None  # a longer run is a timeout; None: RUN_SECONDS
    cell_seconds: Seconds = 60.0  # a call of a contender that has not returned by then has hung

    def shared(self, launches: int) -> Limits:
        """A launch's part, where so many share them."""
        samples = max(LEAST_SAMPLES, self.samples // launches)
        return self.model_copy(update={"seconds": self.seconds / launches, "samples": samples})

    def longest_run(self, device: str) -> float:
        """Seconds of the longest run that is measured on this device."""
        return self.run_seconds or RUN_SECONDS[device.partition(":")[0]]


class Layer(Strict):
    """One layer of a network: the problem's fields that a grid does not give."""

    name: str
    image: tuple[Whole, Whole]
    kernel: tuple[Whole, Whole]
    batch: Whole = 1
    in_channels: Whole = 1
    out_channels: Whole = 1
    groups: Whole = 1
    padding: tuple[tuple[Pad, Pad], tuple[Pad, Pad]] | None = None
    stride: Whole | tuple[Whole, Whole] = 1
    dilation: Whole | tuple[Whole, Whole] = 1
    batch_of: Whole | None = None  # the batch that was scaled to this one
    source: str = ""  # where its numbers are from

    def fields(self) -> dict[str, Any]:
        """Those of its problem."""
        return self.model_dump(exclude={"name", "batch_of", "source"})


class Sweep(Strict):
    """A sweep's TOML: a grid of square images and kernels, or of lines, or layers, or both.

    A grid goes to n = N: kernels larger than their image are none of its cells. In the place of
    image sizes it may have sizes of outputs, of valid convolutions as layers have them. The
    problems are the product of sizes × kernels × batches × channels (and layers) with ops, modes,
    dtypes, directions and data.
    """

    name: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]
    title: str = ""
    sizes: Sizes = Field(default_factory=list)
    kernels: Sizes = Field(default_factory=list)
    dimensions: Literal[1, 2] = 2  # 1: the grid is of images 1 × N with kernels 1 × n
    layers: list[Layer] = Field(default_factory=list)
    outputs: Sizes = Field(default_factory=list)  # in mode valid: of images N = output + n − 1
    batches: Sizes = [1]
    channels: Sizes = [1]  # of the grid's images, and as many of their outputs
    ops: Annotated[Names, _each("op", OPS)] = ["convolution"]
    modes: Annotated[Names, _each("mode", MODES)] = ["same"]
    dtypes: Annotated[Names, _each("dtype", DTYPES)] = ["float32"]
    directions: Annotated[Names, _each("direction", (*DIRECTIONS, STEP))] = ["forward"]
    boundary: str = "zero"
    image_data: Annotated[Names, _each("image_data", data.IMAGES)] = ["normal"]
    kernel_data: Annotated[Names, _each("kernel_data", data.KERNELS)] = ["normal"]
    seed: int = Field(0, strict=True, ge=0, lt=2**63)
    # Draws of the data at which errors are measured: seed, seed + 1, …; times are of the first.
    error_seeds: int = Field(1, strict=True, ge=1)
    regime: Annotated[str | None, AfterValidator(_regime)] = None  # None: the device's default
    threads: int | None = Field(
        None, strict=True, ge=1, le=1024
    )  # None: the cores this process may use
    contenders: Names = ["*"]
    # Fresh processes that each pass over the sweep; they share the limits' seconds and samples.
    launches: int = Field(3, strict=True, ge=1, le=MOST_LAUNCHES)
    # The largest batch and channels on a CPU, which a card's would take minutes: layers have no
    # more, a grid has all in proportion.
    cpu_batch: Whole | None = None
    cpu_channels: Whole | None = None  # of the grid
    grid_of: dict[str, list[Whole]] = {}  # batches and channels that were scaled to these
    energy: bool = Field(False, strict=True)  # measure it too, some 4 s for each contender
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _not_empty(self) -> Sweep:
        one_of("boundary", self.boundary, BOUNDARIES)
        if self.sizes and self.outputs:
            raise ValueError("outputs: there are sizes too; allowed: one of the two")
        if self.outputs and self.modes != ["valid"]:
            raise ValueError(f"modes is {self.modes}; allowed with outputs: valid")
        if bool(self.sizes or self.outputs) != bool(self.kernels):
            empty = "sizes" if self.kernels else "kernels"
            raise ValueError(f"{empty}: the grid is empty; allowed: at least one whole number >= 1")
        if self.sizes and min(self.kernels) > max(self.sizes):
            raise ValueError("kernels: all are larger than the images; allowed: n <= N")
        if not self.kernels and not self.layers:
            raise ValueError("sizes: the grid is empty; allowed: sizes and kernels, or layers")
        if "denormal" in (*self.image_data, *self.kernel_data) and self.dtypes != ["float32"]:
            raise ValueError(f"dtypes is {self.dtypes}; allowed with data denormal: float32")
        if "denormal" in self.image_data and self.directions != ["forward"]:
            # Of a gradient both operands may be images, whose products would all be 0.
            raise ValueError(
                f"directions is {self.directions}; allowed with image_data denormal: forward"
            )
        lists = [self.ops, self.modes, self.dtypes, self.image_data, self.kernel_data]
        lists.append(self.directions)
        shapes = (len(self.sizes) + len(self.outputs)) * len(self.kernels)
        shapes = shapes * len(self.batches) * len(self.channels) + len(self.layers)
        if (count := shapes * math.prod(len(values) for values in lists)) > MOST:
            raise ValueError(f"sizes: the grid has {count} cells; allowed: up to {MOST}")
        return self

    def cells(self) -> Iterator[Cell]:
        """Every cell, each once: layers may be alike.

        Raises ValueError for a cell that is no problem, as a kernel larger than its image in
        mode valid.
        """
        seen: set[Problem] = set()
        for key, shape in self._shapes():
            for op, mode, dtype, direction in itertools.product(
                self.ops, self.modes, self.dtypes, self.directions
            ):
                padded = shape.get("padding") is not None  # in the place of a mode
                try:
                    problem = Problem(
                        **shape,
                        op=op,
                        mode=None if padded else mode,
                        dtype=dtype,
                        boundary=self.boundary,
                        direction=direction,
                    )
                except ValueError as error:
                    raise ValueError(f"{key}: {error}") from None
                if problem not in seen:
                    seen.add(problem)
                    kernels = (
                        self.kernel_data[:1] if direction == "grad_weight" else self.kernel_data
                    )
                    for kinds in itertools.product(self.image_data, kernels):  # which has no kernel
                        yield (problem, *kinds)

    def scaled_to(self, devices: Sequence[str]) -> Sweep:
        """The sweep with batches and channels as these devices can bear."""
        if any(device != "cpu" for device in devices):
            return self
        most = self.cpu_batch
        changed: dict[str, Any] = {}
        if most is not None:
            changed["layers"] = [
                layer
                if layer.batch <= most
                else layer.model_copy(update={"batch": most, "batch_of": layer.batch})
                for layer in self.layers
            ]
        grid_of = dict(self.grid_of)
        for key, limit in (("batches", most), ("channels", self.cpu_channels)):
            values: list[int] = getattr(self, key)
            if self.kernels and limit is not None and max(values) > limit:
                scaled = {max(1, value * limit // max(values)): value for value in values}
                changed[key], grid_of[key] = list(scaled), list(scaled.values())
        return self.model_copy(update={**changed, "grid_of": grid_of})

    def has(self, problem: Problem) -> bool:
        """Whether a problem is on the grid, and not of a layer."""
        size = problem.output[1] if self.outputs else problem.image[1]
        return size in (self.outputs or self.sizes) and problem.kernel[1] in self.kernels

    def said_of(self, problem: Problem) -> str | None:
        """How a problem differs from the layer, or the cell, that it stands for, in words."""
        for layer in self.layers:
            if layer.batch_of is None or layer.batch != problem.batch:
                continue
            fields = {key: getattr(problem, key) for key in layer.fields()}
            pairs = {"stride": _both(layer.stride), "dilation": _both(layer.dilation)}
            if fields == layer.fields() | pairs:
                return f"batch {layer.batch}; in the sweep's layer {layer.batch_of}"
        if not self.grid_of or not self.has(problem):
            return None
        here = {"batches": problem.batch, "channels": problem.in_channels}
        words = {"batches": "batch", "channels": "channels"}
        there = {
            key: dict(zip(getattr(self, key), values, strict=True))[here[key]]
            for key, values in self.grid_of.items()
        }
        told = ", ".join(f"{words[key]} {here[key]}" for key in there)
        return f"{told}; in the sweep's grid {', '.join(map(str, there.values()))}"

    def _shapes(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(the key that a complaint names, fields of the problem) of grid and layers."""
        for size, kernel, batch, channels in itertools.product(
            self.outputs or self.sizes, self.kernels, self.batches, self.channels
        ):
            N = size + kernel - 1 if self.outputs else size
            if kernel <= N:
                height, kh = (1, 1) if self.dimensions == 1 else (N, kernel)
                shape = {"image": (height, N), "kernel": (kh, kernel)}
                many = {"batch": batch, "in_channels": channels, "out_channels": channels}
                yield "kernels", {**shape, **many}
        for layer in self.layers:
            yield f"layer {layer.name!r}", layer.fields()


def load(name_or_path: str, overrides: Mapping[str, Any] | None = None) -> Sweep:
    """Read a sweep by name or from a TOML file, with keys overridden.

    Raises
    ------
    BadInput
        Names the file, the key, the value and what is allowed.
    """
    path = FOLDER / f"{name_or_path}.toml" if name_or_path in shipped() else Path(name_or_path)
    try:
        # Newlines as they are: TOML forbids a lone CR. A byte order mark is an editor's.
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else "not a text file"
        raise BadInput(
            f"sweep {name_or_path!r}: {problem}; allowed: {', '.join(shipped())}, or a TOML file"
        ) from None
    try:
        keys = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of 5000 digits is a bare ValueError
        raise BadInput(f"sweep {name_or_path!r}: not TOML: {error}") from None
    keys = {"name": path.stem, **keys, **(overrides or {})}
    if overrides and ("sizes" in overrides or "kernels" in overrides):
        if not keys.get("sizes") and not keys.get("kernels"):
            raise BadInput(f"sweep {name_or_path!r}: it lists layers; there is no grid to override")
        if "sizes" in overrides:
            keys["outputs"] = []
        keys["layers"] = []
    return validated(keys, f"sweep {name_or_path!r}")


def validated(keys: Mapping[str, Any], where: str) -> Sweep:
    """A sweep from its keys, every cell checked. Raises BadInput."""
    try:
        sweep = Sweep.model_validate(dict(keys))
    except ValidationError as error:
        raise BadInput(f"{where}: {_allowed(first_complaint(error), error)}") from None
    # The grid's kernels fit their images: one cell of it tells whether the rest of it is sound.
    corner = {key: sorted(getattr(sweep, key))[:1] for key in ("sizes", "outputs", "kernels")}
    try:
        for _ in sweep.model_copy(update=corner).cells():
            pass
    except ValueError as error:
        raise BadInput(f"{where}: {error}") from None
    return sweep


def _allowed(complaint: str, error: ValidationError) -> str:
    if not complaint.endswith("unknown key"):
        return complaint
    location = error.errors()[0]["loc"]
    models: dict[str, type[BaseModel]] = {"limits": Limits, "layers": Layer}
    model = models.get(str(location[0]), Sweep)
    return f"{complaint}; allowed: {', '.join(model.model_fields)}"
