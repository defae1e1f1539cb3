"""What is computed, and nothing about how: shapes, op, mode, dtype, and what they imply."""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
from collections.abc import Mapping
from typing import Any

OPS = ("convolution", "correlation")
MODES = ("full", "same", "valid")
BOUNDARIES = ("zero", "circular")
DIRECTIONS = ("forward", "grad_input", "grad_weight")  # each a pass over a layer
STEP = "step"  # of training: the three at once
DTYPES = ("float64", "float32", "float16", "bfloat16")
ITEMSIZE = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
# Unit roundoff: half the distance from 1 to the next number of the format.
ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}

Size = tuple[int, int]
Shape = tuple[int, ...]


class UnsupportedProblem(NotImplementedError):
    """An algorithm refuses a problem; the message is the reason."""


def one_of(what: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{what} is {value!r}; allowed: {', '.join(allowed)}")


def whole(value: Any) -> int | None:
    """The value as an int, where it is a whole number of any library; no bool is."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _pair(what: str, value: Any, least: int) -> Size:
    number = whole(value)
    pair = value if number is None else (number, number)
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(f"{what} is {value!r}; allowed: a pair of whole numbers >= {least}")
    first, second = map(whole, pair)
    if first is None or second is None or min(first, second) < least:
        raise ValueError(f"{what} is {value!r}; allowed: whole numbers >= {least}")
    return (first, second)


def _padding(value: Any) -> tuple[Size, Size]:
    try:
        down, across = value
        return (_pair("padding", list(down), 0), _pair("padding", list(across), 0))
    except (TypeError, ValueError):
        raise ValueError(
            f"padding is {value!r}; allowed: ((top, bottom), (left, right)), whole numbers >= 0"
        ) from None


def _sums_below(limit: int, first: int, second: int) -> int:
    """Pairs of whole numbers, one under ``first`` and one under ``second``, whose sum is under
    ``limit``: those of a triangle, less the corners that reach past either."""

    def triangle(side: int) -> int:
        return side * (side + 1) // 2 if side > 0 else 0

    past_both = triangle(limit - first - second)
    return triangle(limit) - triangle(limit - first) - triangle(limit - second) + past_both


@dataclasses.dataclass(frozen=True)
class Problem:
    """One two-dimensional convolution or correlation.

    Op and mode mean what ``scipy.signal.convolve2d`` and ``correlate2d`` with zero fill mean,
    even kernels included. With ``boundary="circular"`` the output has the image's size; mode
    "full" starts at the origin, so that y = ifft(fft(x) · fft(w)) for a convolution, and mode
    "same" is centred, as SciPy's ``boundary="wrap"``.

    Parameters
    ----------
    image : (H, W)
    kernel : (kh, kw)
    batch, in_channels, out_channels, groups : int
        in_channels and out_channels are multiples of groups.
    op : "convolution" (the kernel is flipped) or "correlation" (it is not)
    mode : "full" (where none is given), "same" or "valid"; None where padding takes its place
    padding : None or ((top, bottom), (left, right))
        Zeros put around the image before a valid convolution, in the place of a mode.
    stride, dilation : int or (vertical, horizontal)
    boundary : "zero" or "circular"
    dtype : "float64", "float32", "float16" or "bfloat16"
        Storage type of x, w and y; the arithmetic is the algorithm's.
    direction : "forward" (x, w → y), "grad_input" (gy, w → gx), "grad_weight" (gy, x → gw), or
        "step" (x, gy, w → y, gx, gw), all three at once

    Raises
    ------
    ValueError
        Names the value and what is allowed.
    """

    image: Size
    kernel: Size
    batch: int = 1
    in_channels: int = 1
    out_channels: int = 1
    groups: int = 1
    op: str = "convolution"
    mode: str | None = None
    padding: tuple[Size, Size] | None = None
    stride: Size = (1, 1)
    dilation: Size = (1, 1)
    boundary: str = "zero"
    dtype: str = "float32"
    direction: str = "forward"

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        for name in ("image", "kernel", "stride", "dilation"):
            put(name, _pair(name, getattr(self, name), 1))
        for name in ("batch", "in_channels", "out_channels", "groups"):
            value = getattr(self, name)
            number = whole(value)
            if number is None or number < 1:
                raise ValueError(f"{name} is {value!r}; allowed: whole numbers >= 1")
            put(name, number)
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; allowed: multiples of groups={self.groups}"
                )
        one_of("op", self.op, OPS)
        one_of("boundary", self.boundary, BOUNDARIES)
        one_of("dtype", self.dtype, DTYPES)
        one_of("direction", self.direction, (*DIRECTIONS, STEP))
        if self.padding is None:
            put("mode", "full" if self.mode is None else self.mode)
            one_of("mode", self.mode, MODES)
        elif self.mode is not None:
            raise ValueError(f"mode is {self.mode!r} and padding is given; allowed: one of them")
        else:
            put("padding", _padding(self.padding))
        self._check_fit()

    def _check_fit(self) -> None:
        if self.boundary == "circular":
            if self.padding is not None:
                raise ValueError(f"padding is {self.padding}; allowed with circular: none")
            if self.mode == "valid":
                raise ValueError("mode is 'valid'; allowed with boundary circular: full, same")
            room = self.image
        elif self.mode in ("full", "same"):
            return
        else:
            (top, bottom), (left, right) = self.padding or ((0, 0), (0, 0))
            room = (self.image[0] + top + bottom, self.image[1] + left + right)
        if self.extent[0] > room[0] or self.extent[1] > room[1]:
            where = "boundary circular" if self.boundary == "circular" else f"mode {self.mode}"
            where = "this padding" if self.padding is not None else where
            dilated = "" if self.dilation == (1, 1) else f" (dilated: {list(self.extent)})"
            raise ValueError(
                f"kernel is {list(self.kernel)}{dilated}; allowed with {where}: "
                f"up to {list(room)} for image {list(self.image)}"
            )

    # ---- shapes ------------------------------------------------------------------------------

    @functools.cached_property
    def extent(self) -> Size:
        """Rows and columns that the dilated kernel spans."""
        kernel, dilation = self.kernel, self.dilation
        return ((kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1)

    @functools.cached_property
    def pads(self) -> tuple[Size, Size]:
        """((top, bottom), (left, right)) by which the image grows, with zeros or by wrapping.

        A valid *correlation* of the grown image with the kernel (flipped for a convolution) is
        the answer to every op, mode and boundary; this is where their conventions live.
        """
        if self.padding is not None:
            return self.padding
        return (self._pad(self.extent[0]), self._pad(self.extent[1]))

    def _pad(self, extent: int) -> Size:
        if self.mode == "valid":
            return (0, 0)
        before, after = extent // 2, (extent - 1) // 2  # same, convolution
        if self.mode == "full":
            before, after = extent - 1, 0 if self.boundary == "circular" else extent - 1
        return (before, after) if self.op == "convolution" else (after, before)

    @functools.cached_property
    def output(self) -> Size:
        """(OH, OW)"""
        (top, bottom), (left, right) = self.pads
        height = (self.image[0] + top + bottom - self.extent[0]) // self.stride[0] + 1
        width = (self.image[1] + left + right - self.extent[1]) // self.stride[1] + 1
        return (height, width)

    @property
    def is_image(self) -> bool:
        """One channel in and out: x is (H, W) or (B, H, W), w is (kh, kw)."""
        return self.in_channels == self.out_channels == 1

    def _shape(self, channels: int, size: Size) -> Shape:
        if not self.is_image:
            return (self.batch, channels, *size)
        return size if self.batch == 1 else (self.batch, *size)

    @property
    def x_shape(self) -> Shape:
        """(H, W) or (B, H, W) for images, else (B, C, H, W)."""
        return self._shape(self.in_channels, self.image)

    @property
    def w_shape(self) -> Shape:
        """(kh, kw) for images, else (K, C/groups, kh, kw)."""
        if self.is_image:
            return self.kernel
        return (self.out_channels, self.in_channels // self.groups, *self.kernel)

    @property
    def y_shape(self) -> Shape:
        """(OH, OW) or (B, OH, OW) for images, else (B, K, OH, OW)."""
        return self._shape(self.out_channels, self.output)

    @property
    def shapes(self) -> tuple[Shape, Shape, Shape]:
        """Shapes of the operands a and b, and of the result, in this direction.

        Raises ValueError of a step, which has three of each: see ``passes``.
        """
        one_of("direction", self.direction, DIRECTIONS)
        x, w, y = self.x_shape, self.w_shape, self.y_shape
        return {"forward": (x, w, y), "grad_input": (y, w, x), "grad_weight": (y, x, w)}[
            self.direction
        ]

    @property
    def passes(self) -> tuple[Problem, ...]:
        """The three of a step, in the order of its results; else itself alone."""
        if self.direction != STEP:
            return (self,)
        return tuple(dataclasses.replace(self, direction=direction) for direction in DIRECTIONS)

    # ---- what it costs at least --------------------------------------------------------------

    @property
    def terms(self) -> int:
        """Products that one element of the result is the sum of, at most: C/groups · kh · kw in the
        forward direction; of grad_input K/groups and the kernel elements that a stride leaves to
        meet, of grad_weight all outputs of the batch, of a step the most of the three."""
        if self.direction == STEP:
            return max(one.terms for one in self.passes)
        if self.direction == "grad_weight":
            return self.batch * self.output[0] * self.output[1]
        if self.direction == "forward":
            return self.in_channels // self.groups * self.kernel[0] * self.kernel[1]
        met = self.out_channels // self.groups
        for size, stride, dilation in zip(self.kernel, self.stride, self.dilation, strict=True):
            apart = 1 if self.boundary == "circular" else stride // math.gcd(stride, dilation)
            met *= math.ceil(size / apart)
        return met

    def _products(self, axis: int) -> int:
        """Pairs of an output and a kernel element, along one axis, that meet the image."""
        before, size = self.pads[axis][0], self.image[axis]
        count, stride, dilation = self.output[axis], self.stride[axis], self.dilation[axis]
        if self.boundary == "circular":
            return count * self.kernel[axis]
        if stride == dilation == 1:  # they meet where before <= output + element < before + size
            inside = (count, self.kernel[axis])
            return _sums_below(before + size, *inside) - _sums_below(before, *inside)
        pairs = 0
        for element in range(self.kernel[axis]):
            shift = element * dilation - before  # output o reads image row o·stride + shift
            first = max(0, math.ceil(-shift / stride))
            last = min(count - 1, (size - 1 - shift) // stride)
            pairs += max(0, last - first + 1)
        return pairs

    @property
    def flops(self) -> int:
        """Operations of the defining sums: 2 a product, products with padding not counted."""
        channels = self.out_channels * (self.in_channels // self.groups)
        return 2 * len(self.passes) * self.batch * channels * self._products(0) * self._products(1)

    @property
    def min_bytes(self) -> int:
        """All operands read once and all results written once, in bytes."""
        shapes = (self.x_shape, self.w_shape, self.y_shape)
        times = 2 if self.direction == STEP else 1
        return times * ITEMSIZE[self.dtype] * sum(map(math.prod, shapes))

    # ---- JSON --------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        def lists(value: Any) -> Any:
            return [lists(item) for item in value] if isinstance(value, tuple) else value

        return {field.name: lists(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Problem:
        """The problem that ``to_json`` wrote. Raises ValueError on an unknown or missing key."""
        known = [field.name for field in dataclasses.fields(cls)]
        for key in data:
            if key not in known:
                raise ValueError(f"problem key is {key!r}; allowed: {', '.join(known)}")
        for key in ("image", "kernel"):
            if key not in data:
                raise ValueError(f"problem has no {key!r}; allowed: {', '.join(known)}")
        return cls(**data)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """A field of a pydantic model: read from and written as the JSON of ``to_json``."""
        from pydantic_core import core_schema

        def read(value: Any) -> Problem:
            if isinstance(value, Problem):
                return value
            if not isinstance(value, Mapping):
                raise ValueError(f"problem is a {type(value).__name__}; allowed: an object")
            key = repr(value)  # thousands of records have one problem
            if key not in _read:
                if len(_read) >= 4096:
                    _read.clear()
                try:
                    _read[key] = cls.from_json(value)
                except TypeError as error:
                    raise ValueError(str(error)) from None
            return _read[key]

        return core_schema.no_info_plain_validator_function(
            read, serialization=core_schema.plain_serializer_function_ser_schema(cls.to_json)
        )


_read: dict[str, Problem] = {}  # what was read, by its JSON
