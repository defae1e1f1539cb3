"""What drivers in Numba's code need: kernels by their address, and memory by its."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from convkernels.problem import Size

BYTE, WORD = ir.IntType(8), ir.IntType(64)

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a driver, or what it calls: serial code, without a way in from Python."""
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return numba.njit(error_model="numpy", **options)(function)  # type: ignore[no-any-return]


@intrinsic  # type: ignore[untyped-decorator]
def call(typingctx: Any, address: Any, arguments: Any) -> Any:
    """Call the kernel at an address with a tuple of whole numbers."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        numbers = cgutils.unpack_tuple(builder, values[1])
        kind = ir.FunctionType(ir.VoidType(), [WORD] * len(numbers))
        builder.call(builder.inttoptr(values[0], kind.as_pointer()), numbers)
        return context.get_dummy_value()

    words = types.UniTuple(types.int64, len(arguments))  # type: ignore[attr-defined]
    return types.void(types.int64, words), code


@intrinsic  # type: ignore[untyped-decorator]
def copy(typingctx: Any, target: Any, source: Any, count: Any) -> Any:
    """Copy ``count`` bytes, of memory that does not overlap."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        to, of = (builder.inttoptr(value, BYTE.as_pointer()) for value in values[:2])
        cgutils.raw_memcpy(builder, to, of, values[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), code


@intrinsic  # type: ignore[untyped-decorator]
def clear(typingctx: Any, target: Any, count: Any) -> Any:
    """Set ``count`` bytes to zero."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        cgutils.memset(builder, builder.inttoptr(values[0], BYTE.as_pointer()), values[1], 0)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), code


@intrinsic  # type: ignore[untyped-decorator]
def get(typingctx: Any, address: Any) -> Any:
    """The word at an address."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load(builder.inttoptr(values[0], WORD.as_pointer()))

    return types.int64(types.int64), code


@intrinsic  # type: ignore[untyped-decorator]
def put(typingctx: Any, address: Any, word: Any) -> Any:
    """Write a word to an address."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.store(values[1], builder.inttoptr(values[0], WORD.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), code


@compiled
def copy_padded(
    target: int, stride: int, x: int, image: Size, origin: Size, size: Size, item: int
) -> None:
    """A rectangle of an image from ``origin`` on, with zeros for what lies outside.

    Parameters
    ----------
    target, x : addresses
    stride : numbers between rows of the target
    image, size : (rows, columns)
    item : bytes of a number
    """
    low = min(size[1], max(0, -origin[1]))
    high = max(low, min(size[1], image[1] - origin[1]))
    for row in range(size[0]):
        at, i = target + item * row * stride, origin[0] + row
        if i < 0 or i >= image[0]:
            clear(at, item * size[1])
        else:
            clear(at, item * low)
            copy(at + item * low, x + item * (i * image[1] + origin[1] + low), item * (high - low))
            clear(at + item * high, item * (size[1] - high))


TILE = 32  # bytes of what ``row_of_crossing`` is told of a tile: four words


@compiled
def row_of_crossing(
    row: int,
    count: int,
    crossing: int,
    addresses: int,
    image: Size,
    width: int,
    item: int,
    edges: int,
    zeros: int,
) -> None:
    """Where to read a row of each tile that reaches over its image's border: in the image where it
    lies within, else a row of zeros, or a copy with zeros around.

    Parameters
    ----------
    count : of such tiles
    crossing : address of TILE bytes each: which tile, row and column of the image where it begins,
        address of the image
    addresses : of a word a tile, which is written
    image : (H, W)
    width : of a tile
    item : bytes of a number
    edges : address of a row a tile, zero outside the image, as no row of a tile reaches further
    zeros : of a row
    """
    for number in range(count):
        at = crossing + TILE * number
        t, i, j = get(at), get(at + 8) + row, get(at + 16)
        low, high = max(0, -j), min(width, image[1] - j)
        pixels = get(at + 24) + item * (i * image[1] + j)
        edge = edges + item * t * width
        if i < 0 or i >= image[0] or high <= low:
            put(addresses + 8 * t, zeros)
        elif low == 0 and high == width:
            put(addresses + 8 * t, pixels)
        else:
            copy(edge + item * low, pixels + item * low, item * (high - low))
            put(addresses + 8 * t, edge)
